"""Own tables that train in a second: chains of one linear layer, sound or with a planted fault."""

from __future__ import annotations

from pathlib import Path

from harness.sources import same_names

METHODS = '''
"""Chains of one linear layer."""

import sys
from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from harness.api import Augmentation, Column, Recipe, Row, Stage, Table, Task, UserError


class Odd(Exception):
    def __str__(self):
        sys.exit(3)


@dataclass(frozen=True, kw_only=True)
class Start:
    key_name: ClassVar = "own.start"
    backbone: ClassVar = None

    fault: str = ""
    names: dict = field(default_factory=dict)  # settings with a mapping have no hash

    def build(self, dataset, backbones):  # FAULT settings
        if self.fault == "settings":
            object.__setattr__(self, "fault", "another")
        if self.fault == "helper_build":
            import broken_helper
        if self.fault == "build":
            return undefined_in_build  # FAULT build
        return StartTask(self.fault, len(dataset.classes))


class StartTask(Task):
    augmentations = (Augmentation(),)
    factor = 1.0

    def __init__(self, fault, classes):
        super().__init__()
        self.fault = fault
        self.encoder = nn.Linear(3, classes)

    def losses(self, batch, at):  # FAULT nan
        if self.fault in FAULTS:
            FAULTS[self.fault](self, batch)
        outputs = self.encoder(batch.images[0].mean((2, 3)))
        if self.fault in ("nothing", "no_total"):
            return {"loss": outputs.mean()} if self.fault == "no_total" else None
        return {"total": outputs.square().mean() * (float("nan") if self.fault == "nan" else 1)}

    def features(self, images):
        if self.fault == "features":
            raise ValueError("in features")  # FAULT features
        return images.mean((2, 3))

    def state_dict(self, *args, **kwargs):
        if self.fault == "state_dict":
            raise ValueError("in state_dict")  # FAULT state_dict
        return super().state_dict(*args, **kwargs)

    def after_epoch(self, epoch, look, augmented):  # FAULT figure
        if self.fault == "no_figures":
            return None
        figures = {"figure": object(), "figure_text": "b", "figure_bool": True}
        return {"mine": figures[self.fault]} if self.fault in figures else {}


def value(task, batch):
    raise ValueError("my bug\\nwith a second line")  # FAULT value


def name(task, batch):
    return undefined_name  # FAULT name


def shape(task, batch):
    return task.encoder(batch.images[0])  # FAULT shape


def helper(task, batch):
    import broken_helper


def leaves(task, batch):
    sys.exit("bye")  # FAULT leaves


def interrupts(task, batch):
    raise KeyboardInterrupt  # FAULT interrupts


def deep(task, batch):
    return deep(task, batch)  # FAULT deep


def odd(task, batch):
    raise Odd  # FAULT odd


def escape(task, batch):
    raise ValueError("\\x1b[2J" + "x" * 3_000_000)  # FAULT escape


def refused(task, batch):
    raise UserError("mine is refused")  # FAULT refused


def disk(task, batch):
    raise OSError(28, "No space left on device", "/a/file/of/mine")  # FAULT disk


def endless(task, batch):
    sys.stdout.write("y" * 1_000_001)  # FAULT endless


def globals_(task, batch):
    import os
    import signal
    import warnings
    import numpy
    import torch

    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.set_default_device("meta")
    torch.autograd.set_detect_anomaly(True)
    numpy.seterr(all="raise")
    warnings.simplefilter("error")
    signal.signal(signal.SIGUSR1, lambda *_: None)
    os.makedirs("elsewhere", exist_ok=True)
    os.chdir("elsewhere")
    sys.excepthook = sys.stdout = sys.stderr = None
    raise ValueError("after all this")  # FAULT globals_


def folder(task, batch):
    import os

    os.makedirs("elsewhere", exist_ok=True)
    os.chdir("elsewhere")
    raise ValueError("elsewhere")  # FAULT folder


def moves(task, batch):
    import os

    os.makedirs("elsewhere", exist_ok=True)
    os.chdir("elsewhere")


def exits(task, batch):
    import os

    os._exit(0)  # FAULT exits


def closes(task, batch):
    sys.stdout.write("y" * 1_000_000)
    sys.stdout.close()
    raise ValueError("closed")  # FAULT closes


def segfault(task, batch):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGSEGV)


FAULTS = {f.__name__: f for f in (value, name, shape, helper, leaves, interrupts, deep, odd)}
FAULTS |= {f.__name__: f for f in (escape, refused, disk, endless)}
FAULTS |= {f.__name__: f for f in (globals_, folder, moves, exits, closes, segfault)}


@dataclass(frozen=True, kw_only=True)
class Tune:
    key_name: ClassVar = "own.tune"
    backbone: ClassVar = None

    def build(self, dataset, backbones):
        return TuneTask("", len(dataset.classes))


class TuneTask(StartTask):
    features = Task.features

    def losses(self, batch, at):
        loss = nn.functional.cross_entropy(self.predict(batch.images[0]), batch.labels)
        return {"total": self.factor * loss}

    def predict(self, images):
        return self.encoder(images.mean((2, 3)))

    def start_from(self, previous):
        self.load_state_dict(previous)


RECIPE = Recipe(epochs=1, batch_size=64, base_lr=1e-3, warmup_epochs=0)
TUNE = Stage(phase="finetune", method=Tune(), recipe=RECIPE)


def row(fault, name):
    start = Stage(phase="pretrain", method=Start(fault=fault), recipe=RECIPE)
    return Row(name=name, label=name, stages=(start, TUNE))


def table(*faults):
    rows = (row("", "sound"), *(row(fault, fault) for fault in faults))
    return Table(title="Own", source="", columns=(Column(dataset="btmd"),), rows=rows)
'''.lstrip()

BUILD = "    def build(self, dataset, backbones):  # FAULT settings"
"""The line in which the first method's task is built."""

FAULTS = (
    *("value", "name", "shape", "nan", "helper", "leaves", "interrupts", "deep", "odd", "escape"),
    *("refused", "disk", "endless", "build", "features", "state_dict", "figure", "figure_text"),
    *("settings", "globals_", "folder", "exits", "closes"),
    *("nothing", "no_total", "no_figures", "helper_build"),
)
"""Faults that a row of ``write`` can have."""

OPTIONS = ("--profile", "smoke", "--datasets", "phantom-mri", "--track", "off")


def write(*faults: str, folder: Path = Path(), more: str = "") -> Path:
    """Write ``own.py``, a table of a sound row and one per fault, and return its path."""
    same_names._TYPES.clear()  # those of other tests, whose tables differ
    path = folder / "own.py"
    path.write_text(f"{METHODS}\n\nEXPERIMENT = table(*{faults!r})\n{more}")
    (folder / "broken_helper.py").write_text("import not_there_at_all\n")
    return path


def line_of(fault: str) -> str:
    """Return the file and line at which a fault lies, as a failed run names them."""
    same = {"figure_text": "figure", "no_figures": "figure", "nothing": "nan", "no_total": "nan"}
    fault = same.get(fault, fault)  # of one function
    if fault in ("helper", "helper_build"):
        return "broken_helper.py:1"
    lines = METHODS.split("\n")
    return f"own.py:{1 + next(i for i, text in enumerate(lines) if f'# FAULT {fault}' in text)}"
