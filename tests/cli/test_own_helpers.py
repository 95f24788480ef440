"""A helper beside a user's file is found by every command, and its edits make records stale."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import prepared
from tests.conftest import Harness

HELPER = '''
"""Beside the table."""
WIDTH = 3


def loss(logits, labels):
    from torch import nn

    return nn.functional.cross_entropy(logits, labels)
'''
TABLE = '''
"""A linear classifier, whose loss stands in a helper."""
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

import helper
from harness.api import Augmentation, Column, Recipe, Row, Stage, Table, Task


@dataclass(frozen=True, kw_only=True)
class Mine:
    key_name: ClassVar = "helped"
    backbone: ClassVar = None
    scale: float = 1.0

    def build(self, dataset, backbones):
        return MineTask(self.scale, len(dataset.classes))


class MineTask(Task):
    augmentations = (Augmentation(),)
    needs_whole = None

    def __init__(self, scale, classes):
        super().__init__()
        self.scale = scale
        self.head = nn.Linear(helper.WIDTH, classes)

    def losses(self, batch, at):
        return {"total": helper.loss(self.predict(batch.images[0]), batch.labels)}

    def predict(self, images):
        return self.head(self.scale * images.mean((2, 3)))


RECIPE = Recipe(epochs=5, batch_size=64, base_lr=1e-3)


def row(scale):
    stage = Stage(phase="supervised", method=Mine(scale=scale), recipe=RECIPE)
    return Row(name=f"s{scale:g}", label=f"Scale {scale:g}", stages=(stage,))


EXPERIMENT = Table(
    title="Mine", source="", columns=(Column(dataset="btmd"),), rows=(row(1.0), row(2.0))
)
'''
SWEEP = """
from mine import RECIPE, row
from harness.api import Real, Space, Sweep

EXPERIMENT = Sweep(
    title="Mine",
    dataset="btmd",
    row=row(1.0),
    space=Space(
        dimensions=(
            Real(name="scale", fields=("supervised.method.scale",), low=0.5, high=2.0, step=0.5),
        )
    ),
    trials=1,
)
"""
COMMON = ("--profile", "smoke", "--track", "off")


@pytest.mark.slow
def test_a_helper_is_found_by_the_script_workers_sweeps_and_reports(harness: Harness) -> None:
    prepared.ensure(Path("data"))
    folder = Path("own")
    folder.mkdir()
    for name, text in (("helper", HELPER), ("mine", TABLE), ("search", SWEEP)):
        (folder / f"{name}.py").write_text(text.lstrip("\n"))
    script = Path(sys.executable).with_name("harness")
    start = [str(script)] if script.exists() else [sys.executable, "-m", "harness"]
    ran = subprocess.run(
        [*start, "run", "own/mine.py", *COMMON, "--jobs", "2"],
        capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "2 stages trained, 0 found done, 0 failed" in ran.stdout
    code, out, err = harness("sweep", "own/search.py", *COMMON, "--trials", "1")
    assert code == 0, err
    code, out, err = harness("report", "own/search.py", "--profile", "smoke")
    assert code == 0, err
    code, out, err = harness("report", "own/mine.py", "--profile", "smoke")
    assert code == 0, err
    assert "†" not in Path("reports/smoke/mine.md").read_text()
    # An edit of the helper is another source under the same keys.
    helper = folder / "helper.py"
    helper.write_text(helper.read_text().replace("return nn", "return 2 * nn"))
    code, out, err = harness("report", "own/mine.py", "--profile", "smoke", "--force")
    assert code == 0, err
    assert "†" in Path("reports/smoke/mine.md").read_text()
    code, out, err = harness("plan", "own/mine.py", "--profile", "smoke")
    assert "2 stale" in out
