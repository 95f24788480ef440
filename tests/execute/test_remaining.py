"""Time left of a plan, from counted work and measured speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness import provenance
from harness.execute import remaining
from harness.execute.remaining import PlanTime, makespan
from harness.plan.plan import Plan, StageRun
from harness.store.heartbeat import Heartbeat
from harness.store.record import Record, Records
from harness.store.result import Device
from tests import claims, plans, records

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remaining, "_COUNTED", {})


def _plan() -> Plan:
    """Return pre-training and fine-tuning of MAE and SimMIM: four stages of four kinds."""
    return plans.of_table1("mae", "simmim")


def _time(plan: Plan, again: dict[str, str] | None = None) -> PlanTime:
    return PlanTime(plan, plan.stage_runs, Records(plan.options.runs), CPU, again or {})


def _done(step: StageRun, seconds: float, *, failed: str | None = None) -> Record:
    made = records.record(step.key, step.run.definition(step.num_stages), failed=failed)
    device = Device(**provenance.device_facts(CPU))
    made = replace(made, provenance=replace(made.provenance, device=device, seconds=seconds))
    Records(Path("runs")).write(made)
    return made


def _counts(monkeypatch: pytest.MonkeyPatch, flops: Mapping[str, float | None]) -> list[str]:
    """Let stages have these FLOPs per image, by title; return the titles that are counted."""
    counted: list[str] = []

    def count(load: remaining.Load, options: object) -> float | None:
        counted.append(load.step.title)
        return flops[load.step.title.partition(" / ")[0]]

    monkeypatch.setattr(remaining, "_count", count)
    monkeypatch.setattr(remaining, "PATIENCE", -1.0)
    return counted


def test_who_is_free_first_takes_the_next() -> None:
    assert makespan([10], []) == 10
    assert makespan([10], [5, 7]) == 22
    assert makespan([10, 1], [5, 7]) == 13  # 1 + 5 + 7 beside 10
    assert makespan([0, 0], [4, 4, 4]) == 8


def test_other_kinds_take_as_long_per_flop(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = _plan()
    flops = {
        "pretrain mae": 2.0,
        "finetune mae": 6.0,
        "pretrain simmim": 4.0,
        "finetune simmim": 8.0,
    }
    _counts(monkeypatch, {**flops})
    first, *rest = plan.stage_runs
    images = {s.key: s.stage.recipe.epochs for s in plan.stage_runs}  # of as many images an epoch
    left = _time(plan)
    with left.of(first):
        found = left.left(each=3.0, epochs=7)
    speed = 3.0 / 2.0  # seconds of an epoch per FLOP per image
    assert found == pytest.approx(
        21 + sum(speed * flops[s.title.partition(" / ")[0]] * images[s.key] for s in rest)
    )


def test_finished_stages_of_the_kind_come_before_flops(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plans.of_table1("mae", seeds=(0, 1))
    counted = _counts(monkeypatch, {})
    pretrained, finetuned, again, last = plan.stage_runs
    assert (again.run.seed, last.run.seed) == (1, 1)
    _done(pretrained, 50.0)
    _done(finetuned, 33.0)
    left = _time(plan)
    with left.of(again):
        assert left.left(each=1.0, epochs=4) == pytest.approx(4 + 33)
    assert counted == []


def test_nothing_is_counted_in_the_first_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = _plan()
    counted = _counts(monkeypatch, {})
    monkeypatch.setattr(remaining, "PATIENCE", 30.0)
    left = _time(plan)
    with left.of(plan.stage_runs[0]):
        assert left.left(1.0, 3) is None
    assert counted == []
    assert left.left(1.0, 3) is None  # no stage is trained


def test_what_cannot_be_counted_takes_as_long_per_image(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plans.of_table1("mae")
    _counts(monkeypatch, {"pretrain mae": 2.0, "finetune mae": None})
    first, second = plan.stage_runs
    left = _time(plan)
    with left.of(first):
        assert left.left(3.0, 2) == pytest.approx(6 + 3.0 * second.stage.recipe.epochs)


def test_stages_of_others_and_those_that_cannot_be_trained_do_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = _plan()
    _counts(monkeypatch, dict.fromkeys(("pretrain mae", "finetune mae"), 1.0))
    first, _, third, _ = plan.stage_runs
    assert third.title.startswith("pretrain simmim")
    failed = _done(third, 1.0, failed="no")
    with Heartbeat(Path("runs"), first.key, first.title, 10):
        left = _time(plan)
        with left.of(first):
            alone = left.left(1.0, 5)
    # Neither the failed stage nor the one after it is trained; as one that is tried again both are.
    _counts(
        monkeypatch,
        dict.fromkeys(("pretrain mae", "finetune mae"), 1.0)
        | {"pretrain simmim": 1.0, "finetune simmim": 1.0},
    )
    tried = _time(plan, {third.key: failed.digest})
    with tried.of(first):
        more = tried.left(1.0, 5)
    assert alone is not None and more is not None and more > alone
    # Another process has the pre-training of SimMIM: the rest is shared with it.
    claims.elsewhere(Path("runs"), third.key)
    shared = _time(plan, {third.key: failed.digest})
    with shared.of(first):
        less = shared.left(1.0, 5)
    assert less is not None and less < more


def test_real_flops_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remaining, "PATIENCE", -1.0)
    plan = plans.of_table1("vit", "resnet50", seeds=(0, 1))
    left = _time(plan)
    with left.of(plan.stage_runs[0]):
        first = left.left(1.0, 1)
        assert first is not None and first > 1
        assert len(remaining._COUNTED) == 2 and all(remaining._COUNTED.values())
        monkeypatch.setattr(remaining, "_count", None)  # would fail if it were called again
        assert left.left(1.0, 1) == first
