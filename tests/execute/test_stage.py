"""Training one stage: what its record says of how it was made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.execute import made as made_by
from harness.execute.executor import Executor
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.progress import Progress
from harness.spec import profiles
from harness.store.record import Records
from tests import prepared


def _plan(folder: Path) -> Plan:
    """Return a plan of one stage of one epoch."""
    options = Options(
        profile=replace(profiles.SMOKE, train_images=32, eval_images=24),
        datasets=("phantom-mri",),
        rows=("resnet50",),
        overrides=("recipe.epochs=1", "recipe.warmup_epochs=0"),
        data=folder / "data",
        runs=folder / "runs",
    )
    return plan.make(*catalog.load("table1"), options)


class _Edits(Progress):
    """Stands for someone who edits a file while it is being trained."""

    def __init__(self, seen: dict[str, str]) -> None:
        super().__init__()
        self._seen = seen

    def epoch(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        self._seen["sources"] = "edited"


def test_the_sources_are_those_from_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {"sources": "trained"}
    monkeypatch.setattr(made_by, "sources", lambda run, num_stages: seen["sources"])
    monkeypatch.setattr(made_by.provenance, "commit", lambda: (seen["sources"], False))
    monkeypatch.setattr(made_by.provenance, "versions", lambda: dict(seen))
    prepared.ensure(tmp_path / "data")
    made = _plan(tmp_path)
    assert Executor(torch.device("cpu")).execute(made, _Edits(seen)).failed == ()
    record = Records(tmp_path / "runs").read(made.stage_runs[0].key)
    assert record is not None and seen["sources"] == "edited"
    found = record.provenance
    assert (found.sources, found.commit, found.versions) == (
        *("trained", "trained"),
        {"sources": "trained"},
    )
    assert found.seconds > 0


class _Raises(Progress):
    """Stands for an own method that raises at the end of an epoch."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def epoch(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        raise self._error


class _Odd(Exception):
    def __str__(self) -> str:
        raise ValueError("no text either")


@pytest.mark.parametrize(
    "error",
    [AssertionError("a"), SystemExit(0), StopIteration(), _Odd(), OSError(2, "gone"), KeyError(1)],
)
def test_whatever_an_own_method_raises_is_a_failed_run(
    error: BaseException, tmp_path: Path
) -> None:
    prepared.ensure(tmp_path / "data")
    made = _plan(tmp_path)
    outcome = Executor(torch.device("cpu")).execute(made, _Raises(error))
    (record,) = outcome.failed
    assert record.error is not None and record.error.startswith(type(error).__name__)
    assert (tmp_path / "runs/failures" / f"{record.key}.txt").read_text().startswith("Traceback")
