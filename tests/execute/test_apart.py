"""A user's code that breaks its process: its row alone suffers, the others keep every bit."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from harness.sources import same_names
from tests import prepared
from tests.conftest import Harness

TABLE = '''
"""Rows that break their process, then one that ships."""

import builtins, ctypes, glob, json, os, sys, threading, time
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from harness.api import (
    MAE, Augmentation, Column, Recipe, Row, Stage, Table, Task, VisionTransformer, paper
)


@dataclass(frozen=True, kw_only=True)
class Mine:
    key_name: ClassVar = "apart"
    backbone: ClassVar = None
    fault: str = ""

    def build(self, dataset, backbones):  # HERE
        return MineTask(self.fault, len(dataset.classes))


class MineTask(Task):
    augmentations = (Augmentation(),)

    def __init__(self, fault, classes):
        super().__init__()
        self.fault, self.head = fault, nn.Linear(3, classes)

    def losses(self, batch, at):
        globals()[self.fault]()
        return {"total": nn.functional.cross_entropy(self.predict(batch.images[0]), batch.labels)}

    def predict(self, images):
        return self.head(images.mean((2, 3)))


def again():
    while True:
        torch.manual_seed(1)
        time.sleep(0.001)


def leaks():
    torch.backends.mkldnn.enabled = False
    torch.nn.functional.layer_norm = lambda x, *args, **named: x
    torch.randperm = lambda n, **named: torch.arange(n)
    torch.optim.AdamW.step = lambda self, closure=None: None
    torch.nn.modules.module.register_module_forward_hook(lambda module, given, out: None)
    register_optimizer_step_pre_hook(lambda *given: None)
    torch.autocast("cpu", torch.bfloat16).__enter__()
    VisionTransformer.forward = lambda self, images: images
    threading.Thread(target=again, daemon=True).start()
    threading.Thread(target=time.sleep, args=(9999,)).start()
    sys.path.clear()


def modes():
    torch.backends.cuda.enable_flash_sdp(False)
    torch.autograd.graph.saved_tensors_hooks(lambda t: t + 1, lambda t: t).__enter__()
    nn.modules.linear.F = None
    nn.Linear.forward.__code__ = (lambda self, input: 2 * input).__code__


def tells():
    ctypes.CDLL(None)._exit(2)


def renews():
    ctypes.CDLL(None)._exit(76)


def sound():
    pass


def crashes():
    ctypes.string_at(0)


def kills():
    ctypes.CDLL(None).kill(os.getpid(), 9)


def asks():
    os.kill(os.getpid(), 15)


def forks():
    if os.fork() == 0:
        time.sleep(9999)


def copies():
    if not COPIES:
        COPIES.append(1)
        os.fork()


COPIES = []


def deletes():
    for path in glob.glob("runs/checkpoints/*") + glob.glob("runs/claims/*"):
        os.remove(path)


def breaks():
    json.dumps = lambda *given, **named: "?"
    time.time = lambda: 0
    builtins.isinstance = builtins.len = lambda *given: 1 / 0


RECIPE = Recipe(epochs=1, batch_size=64, base_lr=1e-3, warmup_epochs=0)
COLUMNS = (Column(dataset="btmd"),)


@dataclass(frozen=True, kw_only=True)
class Other(Mine):
    key_name: ClassVar = "another"


def row(fault):
    method = Other(fault=fault) if fault == "sound" else Mine(fault=fault)
    return Row(name=fault, label=fault, stages=(
        Stage(phase="finetune", method=method, recipe=RECIPE),
    ))


def ships(ratio):
    start = Stage(phase="pretrain", method=MAE(mask_ratio=ratio), recipe=replace(RECIPE, epochs=2))
    plain = paper.finetune_plain()
    end = replace(plain, recipe=replace(plain.recipe, epochs=1, warmup_epochs=0))
    return Row(name="mae", label="MAE", stages=(start, end))
'''.lstrip()
FAULTS = (
    "leaks",
    "modes",
    "tells",
    "renews",
    "sound",
    "crashes",
    "kills",
    "asks",
    "forks",
    "copies",
    "deletes",
    "breaks",
)
OPTIONS = ("--profile", "smoke", "--datasets", "phantom-mri", "--track", "off")
PLACE = f"(own.py:{1 + next(i for i, s in enumerate(TABLE.split(chr(10))) if '# HERE' in s)})"


@pytest.fixture(autouse=True)
def images(own_folder: Path) -> None:
    prepared.ensure(own_folder / "data")


def _write(*faults: str) -> None:
    same_names._TYPES.clear()  # those of other tests, whose tables differ
    rows = ", ".join([*(f"row({fault!r})" for fault in faults), "ships(0.5)"])
    end = f'EXPERIMENT = Table(title="T", source="", columns=COLUMNS, rows=({rows},))\n'
    Path("random.py").write_text("raise ValueError('not Python's')\n")
    Path("own.py").write_text(f"{TABLE}\n\n{end}")


def _records(folder: str) -> dict[str, dict[str, Any]]:
    """Return the records by their fault, those of the row that ships by their phase."""
    found = {}
    for path in Path(folder).glob("records/*.json"):
        record = json.loads(path.read_text())
        last = record["definition"]["stages"][-1]
        found[last["method"].get("fault", last["phase"])] = record
    return found


def _results(records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {phase: records[phase]["result"] for phase in ("pretrain", "finetune")}


@pytest.mark.slow
def test_whatever_a_method_does_to_its_process_the_others_keep_every_bit(harness: Harness) -> None:
    _write(*FAULTS)
    assert harness("run", "own.py", *OPTIONS, "--rows", "mae,sound", "--runs", "alone")[0] == 0
    begin = time.monotonic()
    code, out, err = harness("run", "own.py", *OPTIONS)
    assert code == 1, err[-3000:]
    assert time.monotonic() - begin < 600  # threads and children that sleep are not waited for
    records = _records("runs")
    alone = _records("alone")
    assert _results(records) == _results(alone)
    assert records["sound"]["result"] == alone["sound"]["result"]
    assert records.keys() == {*FAULTS, "pretrain", "finetune"}
    assert records["sound"]["status"] == "done"
    errors = {fault: records[fault]["error"] for fault in FAULTS}
    assert errors["crashes"] == f"its process ended by SIGSEGV {PLACE}"
    assert errors["kills"] == f"its process ended by SIGKILL {PLACE}"
    assert errors["tells"] == f"its process ended with code 2 {PLACE}"
    assert errors["renews"] == f"its process ended with code 76 {PLACE}"
    assert errors["asks"].startswith("ProcessEndError: os.kill: its process got SIGTERM (own.py:")
    assert errors["deletes"] == (
        f"its claim was deleted 3 times, and no other process has taken it over {PLACE}"
    )
    assert "its process ended" in errors["breaks"]
    assert "it replaces torch." in err and "a new process goes on" in err
    assert " stages trained, 0 found done" in out
    mine = [p for p in Path("/proc").glob("[0-9]*") if _works_in(p, Path.cwd())]
    assert mine == [Path("/proc") / str(os.getpid())] or not Path("/proc").is_dir()


@pytest.mark.slow
def test_what_is_left_behind_unseen_reaches_no_other_method(harness: Harness) -> None:
    _write("modes", "sound")
    assert harness("run", "own.py", *OPTIONS, "--rows", "sound", "--runs", "alone")[0] == 0
    code, _, err = harness("run", "own.py", *OPTIONS, "--rows", "modes,sound")
    assert code == 1, err[-3000:]
    records = _records("runs")
    assert records["modes"]["status"] == "failed"
    assert records["sound"]["result"] == _records("alone")["sound"]["result"]


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink() == folder
    except OSError:
        return False
