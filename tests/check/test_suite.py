"""Each check says what is wrong with a method that is wrong in one way, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.check.find import find
from harness.check.suite import CHECKS, Answer, answers
from harness.spec.profiles import SMOKE
from tests.conftest import Harness

METHOD = '''\
"""A linear classifier of mean colours."""

import dataclasses
import random
import threading
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from harness.api import Augmentation, Task


@dataclass(frozen=True, kw_only=True)
class Mine:
    key_name: ClassVar = "mine-for-tests"
    backbone: ClassVar = None
    scale: float = 1.0

    def build(self, dataset, backbones):
        return MineTask(self, len(dataset.classes))


class MineTask(Task):
    augmentations = (Augmentation(),)
    needs_whole = None

    def __init__(self, settings, classes):
        super().__init__()
        self.scale = settings.scale
        self.steps = 0
        self.head = nn.Linear(3, classes)

    def losses(self, batch, at):
        logits = self.predict(batch.images[0])
        return {"total": nn.functional.cross_entropy(logits, batch.labels)}

    def predict(self, images):
        return self.head(self.scale * images.mean((2, 3)))

    def after_step(self, at):
        self.steps += 1
'''
SMALL = "logits = self.predict(batch.images[0])"
LOSS = "nn.functional.cross_entropy(logits, batch.labels)"
FAULTS = {
    "thawed": ("frozen=True, ", "", "settings are frozen", "can be changed after planning"),
    "no field": ("scale: float = 1.0", "scale = 1.0", "settings are frozen", "no type annotation"),
    "overwritten": (
        "    def build",
        "    def __post_init__(self):\n"
        '        object.__setattr__(self, "scale", 1.0)\n\n    def build',
        "the key is stable and holds every field",
        "changing scale does not change the key",
    ),
    "no task": ("MineTask(self, len(dataset.classes))", "3", "the task is built", "return a Task"),
    "no view": ("(Augmentation(),)", "()", "the task is built", "an Augmentation per view"),
    "unused": (
        "self.steps = 0",
        "self.unused = nn.Linear(2, 2)",
        "losses are finite, gradients reach all parameters",
        "2 of 4 parameters get no gradient: unused.weight, unused.bias",
    ),
    "no mean": (
        "batch.labels)}",
        'batch.labels, reduction="none")}',
        "losses are finite, gradients reach all parameters",
        "the loss 'total' is (8,); return a scalar",
    ),
    "detached": (
        "batch.labels)}",
        "batch.labels).detach()}",
        "losses are finite, gradients reach all parameters",
        "has no gradient",
    ),
    "NaN": (
        "batch.labels)}",
        'batch.labels) * float("nan")}',
        "losses are finite, gradients reach all parameters",
        "the loss 'total' is nan at epoch 0",
    ),
    "no total": ('"total"', '"loss"', "losses are finite, gradients reach all parameters", "loss"),
    "own error": (
        SMALL,
        'raise ValueError("my bug")',
        "losses are finite, gradients reach all parameters",
        "ValueError: my bug",
    ),
    "shape": (
        "nn.Linear(3, classes)",
        "nn.Linear(3, 9)",
        "predictions have their shapes",
        "the shape (6, 9); it must be (6, 4)",
    ),
    "neighbours": (
        "images.mean((2, 3))",
        "(images - images.mean(0)).mean((2, 3))",
        "predictions have their shapes",
        "depends on the others of its batch",
    ),
    "figure": (
        "    def predict",
        '    def after_epoch(self, epoch, look, augmented):\n        return {"a": "b"}\n\n'
        "    def predict",
        "no global randomness is used",
        "after_epoch: the figure 'a' of an epoch is str 'b'; it must be a finite number",
    ),
    "changes settings": (
        "self.steps = 0",
        'self.steps = 0\n        object.__setattr__(settings, "scale", 2.0)',
        "settings stay as they are in training",
        "it changed its settings while it was trained (scale)",
    ),
    "name of a loss": (
        '"total": nn',
        '"a\\n|b": logits.mean(), "total": nn',
        "losses are finite, gradients reach all parameters",
        "the name 'a\\n|b' of a loss must be a text",
    ),
    "InitVar": (
        "scale: float = 1.0",
        "scale: float = 1.0\n    more: dataclasses.InitVar[float] = 2.0",
        "settings are frozen",
        "Mine.more is an InitVar",
    ),
    "key name": ('"mine-for-tests"', '" "', "settings are frozen", "key_name is ' '"),
    "seeds": (
        "self.steps = 0",
        "self.steps = 0\n        torch.manual_seed(0)",
        "no global randomness is used",
        "torch.manual_seed sets the global generator",
    ),
    "moves": (
        SMALL,
        f'{SMALL}\n        __import__("os").chdir("/")',
        "it leaves its process as it was",
        "it changes the working directory",
    ),
    "thread": (
        SMALL,
        f"{SMALL}\n        threading.Thread(target=lambda: time.sleep(0.2)).start()",
        "it leaves its process as it was",
        "it leaves the thread",
    ),
    "hook": (
        "self.steps = 0",
        "self.steps = 0\n        nn.modules.module.register_module_forward_hook(print).remove()\n"
        "        nn.Linear.extra_repr = lambda self: str()",
        "it leaves its process as it was",
        "it replaces torch.nn.Linear.extra_repr",
    ),
    "torch": (
        SMALL,
        f"{SMALL} + torch.rand(1)",
        "no global randomness is used",
        "torch.rand draws from the global generator",
    ),
    "random": (
        SMALL,
        f"{SMALL} + random.random()",
        "no global randomness is used",
        "Python's random (",
    ),
    "numpy": (
        SMALL,
        f"{SMALL} * float(np.random.rand())",
        "no global randomness is used",
        "it draws from numpy.random (",
    ),
    "not repeatable": (
        LOSS,
        f"{LOSS} * random.random()",
        "the same key gives the same weights",
        "another head.weight",
    ),
    "steps are lost": (
        LOSS,
        f"{LOSS} * (1 + self.steps)",
        "a resumed training ends the same",
        "get_extra_state",
    ),
    "a sum": (
        "batch.labels)}",
        'batch.labels, reduction="sum")}',
        "micro-batches give the whole batch's gradient",
        "another gradient from parts of 3",
    ),
}  # fmt: skip


def _answer(text: str, title: str) -> Answer:
    Path("mine.py").write_text(text)
    (found,) = find("mine.py")
    (answer,) = answers(found.subject(SMOKE), {title: CHECKS[title]})
    return answer


def test_a_sound_method_passes_every_check(harness: Harness) -> None:
    Path("mine.py").write_text(METHOD)
    code, out, err = harness("check", "mine.py")
    assert (code, err) == (0, "")
    assert out.count("  ok    ") == len(CHECKS) + 1  # the last compares two processes
    assert "1 method checked: all in order." in out


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_its_check(fault: str) -> None:
    old, new, title, told = FAULTS[fault]
    assert METHOD.count(old) == 1
    assert _answer(METHOD, title).mend is None
    answer = _answer(METHOD.replace(old, new), title)
    assert told in (answer.mend or "")
    assert "mine.py, line" in answer.place + (answer.mend or "")


BROKEN = {
    "Leaves": ("raise SystemExit(3)", "SystemExit: 3"),
    "Interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "Crashes": ("ctypes.string_at(0)", "reach all parameters: its process ended by SIGSEGV"),
    "Reads": ("loss = loss * float(os.environ.get('MY_ALPHA', '1'))", "where MY_ALPHA has another"),
    "Sorts": (
        "loss = loss + logits.square().mean() * sum(i * ord(c) for i, c in enumerate(set('abcd')))",
        "with other weights in another process",
    ),
    "Sound": ("pass", ""),
}


@pytest.mark.slow
def test_nothing_that_a_method_does_ends_the_check(harness: Harness) -> None:
    head, _, rest = METHOD.partition("@dataclass")
    text = f"{head}import ctypes, os\n"
    line = f'return {{"total": {LOSS}}}'
    for name, (what, _) in BROKEN.items():
        one = f"@dataclass{rest}".replace("MineTask", f"{name}Task").replace("Mine:", f"{name}:")
        one = one.replace("mine-for-tests", name)
        text += one.replace(
            line, f'loss = {LOSS}\n        {what}\n        return {{"total": loss}}'
        )
    Path("mine.py").write_text(text)
    code, out, err = harness("check", "mine.py")
    assert (code, err) == (1, "")
    parts = out.split(", at the size of smoke:\n")[1:]
    for part, (_, told) in zip(parts, BROKEN.values(), strict=True):
        assert told in part
        assert ("  MEND  " in part) == bool(told), part
    assert "6 methods checked: " in out


def test_the_place_of_an_error_is_the_user_s_line(harness: Harness) -> None:
    Path("helper.py").write_text("def losses():\n    return undefined_name\n")
    text = METHOD.replace(SMALL, "import helper; logits = helper.losses()")
    Path("mine.py").write_text(text)
    code, out, _ = harness("check", "mine.py")
    assert code == 1
    assert "name 'undefined_name' is not defined" in out
    assert f"{Path('helper.py').resolve()}, line 2, in losses" in out


def test_whole_batches_are_a_remark(harness: Harness) -> None:
    text = METHOD.replace("needs_whole = None", 'needs_whole = "its negatives are the batch"')
    answer = _answer(text, "micro-batches give the whole batch's gradient")
    assert answer.mend is None
    assert answer.remark == "only whole batches: its negatives are the batch"


def test_methods_are_those_of_the_table_and_the_file(harness: Harness) -> None:
    table = """
from harness.api import Column, Recipe, Row, Stage, Table, mae, paper
RECIPE = Recipe(epochs=5, batch_size=64, base_lr=1e-3)
def row(scale):
    stage = Stage(phase="supervised", method=Mine(scale=scale), recipe=RECIPE)
    return Row(name=f"r{scale}", label="", stages=(stage,))
EXPERIMENT = Table(title="", source="", columns=(Column(dataset="btmd"),),
    rows=(row(1.0), row(2.0), Row(name="mae", label="", stages=mae.stages())))
"""
    Path("mine.py").write_text(METHOD + table)
    titles = [one.title for one in find("mine.py")]
    assert titles[:2] == ["Mine (row r1.0, supervised)", "Mine (row r2.0, supervised)"]
    assert [one.ships for one in find("mine.py")] == [False, False, True, True]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("WIDTH = 3\n", "mine.py has no method"),
        ("def f(:\n", "mine.py is not valid Python"),
        ("undefined_name\n", "NameError: name 'undefined_name' is not defined"),
        (METHOD.replace("scale: float = 1.0", "scale: float"), "Mine has no defaults for scale"),
    ],
)
def test_what_cannot_be_checked_is_one_line(harness: Harness, text: str, told: str) -> None:
    Path("mine.py").write_text(text)
    code, out, err = harness("check", "mine.py")
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def test_names_that_are_unknown_are_one_line(harness: Harness) -> None:
    for name, told in (("nothing.py", "No file 'nothing.py'"), ("mea", "Did you mean 'mae'?")):
        code, _, err = harness("check", name)
        assert code == 2
        assert told in err
        assert err.count("\n") == 1
