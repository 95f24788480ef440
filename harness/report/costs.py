"""Fill a table's columns of costs: counted on shapes, and times from this machine's timing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness import seed
from harness.canonical import digest
from harness.cost import conventions
from harness.cost.models import Model
from harness.cost.stage import Pass, measure
from harness.latency.timings import Timing
from harness.plan.columns import ColumnPlan
from harness.plan.plan import Plan
from harness.report.values import Costing
from harness.spec.backbones import BackboneSizes
from harness.spec.costs import CONVENTION
from harness.spec.dataset import Dataset
from harness.spec.profiles import PAPER
from harness.spec.quantity import CostQuantity
from harness.spec.recipe import Stage
from harness.stats import Interval

Places = dict[tuple[str, str], Costing]


def fill(plan: Plan, timing: Timing | None) -> Mapping[tuple[str, str], Costing]:
    """Return the costs of a plan's cells, by names of row and column.

    Rows without stages have none, and no row a time without a timing. Changes are against the
    first row.

    Raises:
        UncountedError: an operator has no formula.
    """
    found: Places = {}
    counted: dict[str, tuple[Pass, ...]] = {}
    for column in plan.columns:
        cost = column.column.cost
        if cost is None:
            continue
        if cost.what == "macs":
            found |= _macs(plan, column, cost, counted)
        elif timing is not None:
            found |= _seconds(plan.chains, column, cost, timing)
    return found


def _macs(
    plan: Plan, column: ColumnPlan, cost: CostQuantity, counted: dict[str, tuple[Pass, ...]]
) -> Places:
    backbones = (PAPER if cost.size == "paper" else plan.options.profile).backbones
    found: Places = {}
    base: float | None = None
    for row, chain in plan.chains.items():
        key = digest([chain[-1], backbones])
        if key not in counted:
            counted[key] = _passes(chain[-1], column.used, backbones)
        (one,) = (p for p in counted[key] if p.name.startswith(cost.kind))
        value = one.forward[CONVENTION]
        base = value if base is None else base
        detail = {
            "convention": CONVENTION,
            "pass": one.name,
            "image_size": backbones.image_size,
            "classes": len(column.used.classes),
            "batch": one.batch,
        }
        found[row, column.column.name] = Costing(
            value=value, change=value / base - 1, detail=detail
        )
    return found


def _passes(stage: Stage, dataset: Dataset, backbones: BackboneSizes) -> tuple[Pass, ...]:
    convention = conventions.find(CONVENTION)
    with seed.third_party("cost", "count"):
        model = Model(name="", label="", stage=stage)
        return measure(model, dataset, backbones, conventions=(convention,), memory=False).passes


def _seconds(rows: Iterable[str], column: ColumnPlan, cost: CostQuantity, timing: Timing) -> Places:
    names = list(rows)
    found: Places = {}
    for row in names:
        times = timing.times(row, cost.kind)
        ratio = timing.ratio(row, names[0], cost.kind)
        unstable = () if timing.stable(row, cost.kind) else ("not stable after warming up",)
        detail: dict[str, Any] = {
            "seconds": times.to_json(),
            "ratio_to_first": ratio.to_json(),
            "batch": cost.batch,
            "provenance": timing.provenance,
            "device": timing.answers[0]["device"],
        }
        found[row, column.column.name] = Costing(
            value=times.p50,
            change=ratio.p50 - 1,
            interval=None
            if times.low is None or times.high is None
            else Interval(times.low, times.high),
            noisy=(*times.noisy, *unstable),
            detail=detail,
        )
    return found
