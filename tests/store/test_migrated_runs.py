"""Real runs, sweeps and mirrors before and after a migration: nothing is trained or shown twice.

The old form is not made up: the same files are run first as an older version had them, with a
method whose type and field are then renamed and which gets another field.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from safetensors.torch import load_file

from harness.interrupt import Stopped
from harness.progress import Progress
from harness.sources import same_names
from harness.store import form
from tests import prepared
from tests.conftest import Harness
from tests.report import tracked
from tests.store import stores

pytestmark = pytest.mark.slow

METHOD = '''"""{what} of one's own method."""

from dataclasses import dataclass, field
from typing import ClassVar

from harness.canonical import renamed_from
from harness.methods.baselines.mae import MAE
from harness.methods.msmae import paper
from harness.spec.backbones import VIT
from harness.spec.recipe import Stage
from harness.spec.space import Choice, Real, Space
from harness.spec.sweep import Sweep
from harness.spec.table import Column, Row, Table


@dataclass(frozen=True, kw_only=True)
class Own:
    """Settings."""

    key_name: ClassVar[str] = "{kind}"
    backbone: ClassVar = VIT
    {field}: float = {value}
    {more}

    def build(self, dataset, backbones):
        """Build MAE's task."""
        return MAE(mask_ratio=self.{field}).build(dataset, backbones)


ROW = Row(
    name="own",
    label="Own",
    stages=(
        Stage(phase="pretrain", method=Own(), recipe=paper.PRETRAIN),
        paper.finetune_plain(),
    ),
)
'''
TABLE = """
EXPERIMENT = Table(title="T", source="", rows=(ROW,), columns=(Column(dataset="phantom-mri"),))
"""
SWEEP = """
EXPERIMENT = Sweep(
    title="S", dataset="phantom-mri", trials=3, row=ROW,
    space=Space(dimensions=(
        Real(name="share", low=0.3, high=0.6, step=0.3, fields=("pretrain.method.{field}",)),
        Choice(name="rate", choices=(1e-3, 2e-3), fields=("pretrain.recipe.base_lr",)),
    )),
)
"""
BEFORE = {"kind": "test.own", "field": "share", "value": "0.5", "more": ""}
MIGRATED = {
    "kind": "test.mine",
    "field": "mask_share",
    "value": "0.5",
    "more": 'rule: str = "plain"',
}
DECLARED = {
    "kind": "test.own",
    "field": "mask_share",
    "value": 'field(default=0.5, metadata=renamed_from("share"))',
    "more": "",
}
QUICK = ("--profile", "smoke", "--set", "recipe.epochs=2", "--set", "recipe.warmup_epochs=0")
QUICK += ("--set", "recipe.batch_size=64")
WHOLE = ("--runs", "whole", "--out", "whole-tables")
"""A store of its own, whose tables do not replace those of the other one."""

# In this process, where tests put renamings and interruptions.
HERE = ("--launcher", "here")
RUN, SEARCH = ("run", "table.py", *QUICK, *HERE), ("sweep", "search.py", *QUICK, *HERE)


@pytest.fixture(autouse=True)
def images(own_folder: Path) -> None:
    """Generated brains stand where the commands look."""
    prepared.ensure(own_folder / "data")


def _write(words: dict[str, str]) -> None:
    """Write table and sweep as a version has them, for what would be another process."""
    same_names._TYPES.clear()
    for name, text in (("table", TABLE), ("search", SWEEP)):
        content = METHOD.format(what=name, **words) + text.replace("{field}", words["field"])
        Path(f"{name}.py").write_text(content)


def _records(folder: str = "runs") -> dict[str, dict[str, Any]]:
    return {p.stem: json.loads(p.read_bytes()) for p in Path(folder, "records").glob("*.json")}


def _results(folder: str) -> list[str]:
    """Return what all records say but the digest of weights, whose file has the key inside."""
    found = [{**r["result"], "weights": ""} for r in _records(folder).values()]
    return sorted(json.dumps(result) for result in found)


def _trials() -> list[Any]:
    (name,) = optuna.study.get_all_study_names("sqlite:///runs/optuna.db")
    return optuna.load_study(study_name=name, storage="sqlite:///runs/optuna.db").trials


def _children() -> dict[tuple[str, str], Any]:
    """Return the mirrored runs by experiment and name; none is doubled, none is running."""
    runs = tracked.runs(Path("runs"))
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(runs) - len(children) == 2  # one parent for the table, one for the sweep
    named = {(r.data.tags["harness.table"], r.data.tags["harness.name"]): r for r in children}
    assert len(named) == len(children)
    return named


def _interrupt(harness: Harness, seed: str, folder: str = "runs") -> None:
    """Run another seed and press Ctrl-C after an epoch whose checkpoint was written."""

    def epoch(self: Progress, number: int, epochs: int, figures: dict[str, float]) -> None:
        if number == 1:
            raise Stopped(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "epoch", epoch)
        command = (*RUN, "--seeds", seed, "--track", "off", "--runs", folder)
        assert harness(*command)[0] == 130
    assert len(list(Path(folder, "checkpoints").glob("*.pt"))) == 1


def _same_predictions(one: str, two: str) -> None:
    (first,), (second,) = (list(Path(f, "predictions").glob("*.npz")) for f in (one, two))
    arrays = [np.load(path) for path in (first, second)]
    assert arrays[0].files == arrays[1].files
    for name in arrays[0].files:
        np.testing.assert_array_equal(arrays[0][name], arrays[1][name])


def test_a_migrated_store_goes_on_as_if_nothing_had_been_renamed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(BEFORE)
    assert harness(*RUN)[0] == 0
    assert harness(*SEARCH)[0] == 0
    old = _records()
    assert len(_trials()) == 3
    mirrored = _children()
    assert len(mirrored) == 3 + 3  # a row, its two stages; trials

    _write(MIGRATED)
    stores.use(monkeypatch, stores.RENAMING)
    before = stores.contents(Path("runs"))
    for command in (RUN, SEARCH, ("report", "search.py", *QUICK), ("track", "table.py", *QUICK)):
        code, _, err = harness(*command)
        assert code == 2
        assert "has form 2, this version reads form 3" in err and len(err.splitlines()) == 1
    assert stores.contents(Path("runs")) == before
    code, out, _ = harness("migrate")
    assert code == 0 and "left alone" not in out
    new = _records()
    assert len(new) == len(old) and not new.keys() & old.keys()

    code, out, _ = harness(*RUN)
    assert code == 0
    assert "0 stages trained, 2 found done, 0 failed" in out
    code, out, err = harness(*SEARCH)
    assert code == 0, err
    assert ": epoch " not in err
    assert len(_trials()) == 3
    children = _children()
    assert children.keys() == mirrored.keys()
    assert {c.data.tags["harness.key"] for c in children.values()} <= new.keys()
    assert {c.data.tags["harness.key"] for c in mirrored.values()} <= old.keys()
    assert {c.info.run_id for c in children.values()}.isdisjoint(
        {c.info.run_id for c in mirrored.values()}
    )
    page = json.loads(next(Path("reports/smoke").glob("search*.json")).read_text())
    assert {trial["key"] for trial in page["trials"]} <= new.keys()
    assert all(trial["commit"] for trial in page["trials"])  # its record was found
    for command in (("track", "table.py", *QUICK), ("track", "search.py", *QUICK)):
        assert "mirrored" not in harness(*command)[1]
    # Another trial starts from a pre-training that there is.
    assert harness(*SEARCH, "--trials", "4")[0] == 0
    assert len(_trials()) == 4
    assert len(_children()) == 3 + 4


def test_an_interrupted_training_goes_on_with_the_same_draws(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(BEFORE)
    assert harness(*RUN, "--seeds", "1", "--track", "off", *WHOLE)[0] == 0
    _interrupt(harness, "1")

    _write(MIGRATED)
    stores.use(monkeypatch, stores.RENAMING)
    assert harness("migrate")[0] == 0
    code, out, err = harness(*RUN, "--seeds", "1", "--track", "off")
    assert code == 0
    assert "2 stages trained, 0 found done" in out
    assert ": epoch 1/2" not in err.partition("finetune")[0]  # the first epoch was kept
    assert _results("runs") == _results("whole")
    _same_predictions("runs", "whole")
    weights = {p.stem: load_file(p) for p in Path().glob("*/weights/*")}
    assert len(weights) == 4

    # A new training has the draws that it would have had, too.
    assert harness(*RUN, "--seeds", "1", "--track", "off", "--runs", "anew")[0] == 0
    assert _results("anew") == _results("whole")
    assert _records("anew").keys() == _records("runs").keys()


def test_a_field_renamed_by_its_user_needs_no_migration(harness: Harness) -> None:
    _write(BEFORE)
    assert harness(*RUN)[0] == 0
    assert harness(*SEARCH)[0] == 0
    old, mirrored = stores.contents(Path("runs/records")), _children()
    _interrupt(harness, "1")

    _write(DECLARED)
    code, out, _ = harness(*RUN)
    assert code == 0
    assert "0 stages trained, 2 found done, 0 failed" in out
    code, _, err = harness(*SEARCH)
    assert code == 0, err
    assert ": epoch " not in err
    assert len(_trials()) == 3
    assert stores.contents(Path("runs/records")) == old
    assert {c.info.run_id for c in _children().values()} == {
        c.info.run_id for c in mirrored.values()
    }
    assert harness(*RUN, "--seeds", "1", "--track", "off")[0] == 0
    assert harness(*RUN, "--seeds", "1", "--track", "off", *WHOLE)[0] == 0
    whole = _results("whole")
    assert len(whole) == 2 and set(whole) <= set(_results("runs"))
    assert form.former_keys(Path("runs")) == {}
