"""``harness.api``: every name is there, loads late, is seen by type checkers and by digests."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness import api
from harness.sources import user_files
from harness.sources.definitions import parse
from harness.sources.digest import definition_digest, digest_of

TEXT = Path(api.__file__).read_bytes()
HEAVY = {"torch", "timm", "numpy", "mlflow", "pandas", "scipy", "lightly", "mmseg", "optuna"}

LIGHT = """
from harness.api import (
    Table, Row, Column, Scatter, Panels, Sweep, Space, Real, Whole, Choice, Dimension, SumAtMost,
    Stage, Recipe, Phase, Order, Method, Checked, Prepared, NeedsMasks, EPOCHS, PER_STEP,
    as_before, UserError, Backbone, BackboneSizes, VIT, SWIN, RESNET, VitSize, SwinSize, ResNetSize,
    Dataset, Item, Listing, Source, Metric, Profile, Scale, SMOKE, LAPTOP, PAPER, PROFILES,
    experiments, datasets, load_table, load_sweep, Options, Records, Record,
)
"""
"""What tables, data sets and profiles are written with."""


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_is_there(name: str) -> None:
    home = parse(TEXT).lazy[name]
    module = importlib.import_module(home.module)
    assert getattr(api, name) is getattr(module, home.name or name)


def test_the_names_are_those_that_type_checkers_see() -> None:
    assert len(api.__all__) == len(set(api.__all__))
    assert set(api.__all__) == set(parse(TEXT).lazy) == set(dir(api))


@pytest.mark.parametrize("statement", ["import harness.api", LIGHT], ids=["module", "names"])
def test_light_names_load_nothing_heavy(statement: str, tmp_path: Path) -> None:
    program = f"import sys\n{statement}\nprint(sorted({HEAVY} & sys.modules.keys()))"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'harness\.api' has no attribute 'Tabel'"):
        _ = api.Tabel  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="cannot import name 'Tabel'"):
        exec("from harness.api import Tabel")


def test_type_checkers_refuse_an_unknown_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from harness.api import Tabel, Task\nclass M(Task): ...\n")
    root = Path(harness.__file__).parent.parent
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", str(root / "pyproject.toml"),
         str(tmp_path / "mine.py")],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 'has no attribute "Tabel"; maybe "Table"?' in ran.stdout
    assert "Found 1 error" in ran.stdout


METHOD = """
from dataclasses import dataclass
{imports}

@dataclass(frozen=True, kw_only=True)
class Mine:
    width: int = 3
    def build(self, dataset, backbones):
        return MineTask(self.width)

class MineTask({task}):
    augmentations = ({augmentation}(),)
    def losses(self, batch, at):
        return {{"total": {patchify}(batch.images[0], 4).mean()}}
"""
DIRECT = METHOD.format(
    imports="from harness.train.task import Task\n"
    "from harness.augment.view import Augmentation\n"
    "from harness.methods.msmae import patches",
    task="Task",
    augmentation="Augmentation",
    patchify="patches.patchify",
)
FROM = METHOD.format(
    imports="from harness.api import Augmentation, Task, patchify",
    task="Task",
    augmentation="Augmentation",
    patchify="patchify",
)
MODULE = METHOD.format(
    imports="from harness import api",
    task="api.Task",
    augmentation="api.Augmentation",
    patchify="api.patchify",
)


def _digests(path: Path, text: str) -> tuple[str, str]:
    path.write_text(text)
    kind = user_files.load(path).Mine
    return digest_of([kind]), definition_digest(kind)


def test_a_record_s_sources_are_those_that_the_names_stand_for(tmp_path: Path) -> None:
    """Not every module that ``harness.api`` names: most act on nothing of this method."""
    digests = {_digests(tmp_path / "mine.py", text) for text in (DIRECT, FROM, MODULE)}
    assert len(digests) == 1
    changed = FROM.replace("patchify(batch", "normalise_patches(batch")
    changed = changed.replace("Task, patchify", "Task, normalise_patches")
    assert _digests(tmp_path / "mine.py", changed) not in digests
