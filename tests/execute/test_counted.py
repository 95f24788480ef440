"""Counted costs are counted once per definition, sources and versions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cost import stage as cost_stage
from harness.execute import counted
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.spec import profiles
from tests import prepared, records


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the phases that were counted."""
    found: list[str] = []
    whole = cost_stage.of_stage

    def of_stage(stage: Any, *rest: Any) -> Any:
        found.append(stage.phase)
        return whole(stage, *rest)

    monkeypatch.setattr(cost_stage, "of_stage", of_stage)
    monkeypatch.setattr(counted, "_KNOWN", {})
    return found


def _plan(folder: Path, *, seeds: tuple[int, ...] = (0,), overrides: tuple[str, ...] = ()) -> Plan:
    if not (folder / "data").exists():
        prepared.ensure(folder / "data")
    options = Options(
        profile=replace(profiles.SMOKE, train_images=32, eval_images=24),
        datasets=("phantom-mri",),
        rows=("resnet50",),
        seeds=seeds,
        overrides=overrides,
        data=folder / "data",
        runs=folder / "runs",
    )
    return plan.make(*catalog.load("table1"), options)


def test_stages_of_two_seeds_are_counted_once_and_found_again(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, provenance = _plan(tmp_path, seeds=(0, 1)), records.provenance()
    first, second = made.stage_runs
    cost = counted.counted(first, 32, made.options, provenance)
    assert cost.error is None and cost.training is not None
    assert counted.counted(second, 32, made.options, provenance) == cost
    assert calls == ["supervised"]
    monkeypatch.setattr(counted, "_KNOWN", {})  # as another process
    assert counted.counted(second, 32, made.options, provenance) == cost
    assert calls == ["supervised"]
    (path,) = (tmp_path / "runs/costs").glob("*.json")
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"deployed"', b'"deplayed"'))
    monkeypatch.setattr(counted, "_KNOWN", {})
    assert counted.counted(first, 32, made.options, provenance) == cost
    assert len(calls) == 2 and path.read_bytes() == content


@pytest.mark.parametrize(
    "changes",
    [
        {"sources": "6" * 64},
        {"versions": {"python": "3.12.0"}},
        {"images": 31},
        {"overrides": ("recipe.batch_size=16",)},
        {"overrides": ("recipe.epochs=3",)},
        {"counting": "another"},
    ],
)
def test_what_the_cost_depends_on_is_counted_anew(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    made = _plan(tmp_path)
    counted.counted(made.stage_runs[0], 32, made.options, records.provenance())
    changes = dict(changes)
    images, overrides = changes.pop("images", 32), changes.pop("overrides", ())
    if (counting := changes.pop("counting", None)) is not None:
        monkeypatch.setattr(counted, "_sources", lambda: counting)
    made = _plan(tmp_path, overrides=overrides)
    counted.counted(made.stage_runs[0], images, made.options, records.provenance(**changes))
    assert len(calls) == 2


def test_what_cannot_be_counted_is_not_kept(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise ValueError("no formula")

    made = _plan(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(cost_stage, "of_stage", fails)
        found = counted.counted(made.stage_runs[0], 32, made.options, records.provenance())
    assert found.error is not None and "no formula" in found.error
    assert not (tmp_path / "runs/costs").exists()
    assert counted.counted(made.stage_runs[0], 32, made.options, records.provenance()).error is None
