"""Training one stage: what its record says of how it was made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.execute import stage
from harness.execute.executor import Executor
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.progress import Progress
from harness.spec import profiles
from harness.store.record import Records
from tests import prepared


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
    monkeypatch.setattr(stage, "sources", lambda run, num_stages: seen["sources"])
    monkeypatch.setattr(stage.provenance, "commit", lambda: (seen["sources"], False))
    monkeypatch.setattr(stage.provenance, "versions", lambda: dict(seen))
    prepared.ensure(tmp_path / "data")
    options = Options(
        profile=replace(profiles.SMOKE, train_images=32, eval_images=24),
        datasets=("phantom-mri",),
        rows=("resnet50",),
        overrides=("recipe.epochs=1", "recipe.warmup_epochs=0"),
        data=tmp_path / "data",
        runs=tmp_path / "runs",
    )
    made = plan.make(*catalog.load("table1"), options)
    assert Executor(torch.device("cpu")).execute(made, _Edits(seen)).failed == ()
    record = Records(options.runs).read(made.stage_runs[0].key)
    assert record is not None and seen["sources"] == "edited"
    found = record.provenance
    assert (found.sources, found.commit, found.versions) == (
        *("trained", "trained"),
        {"sources": "trained"},
    )
    assert found.seconds > 0
