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

import random
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
    assert out.count("  ok    ") == len(CHECKS)
    assert "1 method checked: all in order." in out


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_its_check(fault: str) -> None:
    old, new, title, told = FAULTS[fault]
    assert METHOD.count(old) == 1
    assert _answer(METHOD, title).mend is None
    answer = _answer(METHOD.replace(old, new), title)
    assert told in (answer.mend or "")
    assert "mine.py, line" in answer.place + (answer.mend or "")


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
