"""Values of a table's cost columns: operations counted from shapes, and measured times."""

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
from harness.stats.intervals import Interval

Costings = dict[tuple[str, str], Costing]
"""Costs by names of row and column."""


def fill(plan: Plan, timing: Timing | None) -> Mapping[tuple[str, str], Costing]:
    """Return the costs of a plan's cells, by names of row and column.

    Rows without stages have no costs, and without a timing no row has times. Changes are relative
    to the first row.

    Raises:
        UncountedError: an operator has no formula.
    """
    costings: Costings = {}
    counted: dict[str, tuple[Pass, ...]] = {}
    for column in plan.columns:
        cost = column.column.cost
        if cost is None:
            continue
        if cost.what == "macs":
            costings |= _macs(plan, column, cost, counted)
        elif timing is not None:
            costings |= _seconds(plan.chains, column, cost, timing)
    return costings


def _macs(
    plan: Plan, column: ColumnPlan, cost: CostQuantity, counted: dict[str, tuple[Pass, ...]]
) -> Costings:
    """Return the multiply-accumulates of a column; ``counted`` caches passes over columns."""
    backbones = (PAPER if cost.size == "paper" else plan.options.profile).backbones
    costings: Costings = {}
    base: float | None = None
    for row, chain in plan.chains.items():
        key = digest([chain[-1], backbones])
        if key not in counted:
            counted[key] = _passes(chain[-1], column.used, backbones)
        (counted_pass,) = (p for p in counted[key] if p.name.startswith(cost.kind))
        value = counted_pass.forward[CONVENTION]
        base = value if base is None else base
        detail = {
            "convention": CONVENTION,
            "pass": counted_pass.name,
            "image_size": backbones.image_size,
            "classes": len(column.used.classes),
            "batch": counted_pass.batch,
        }
        costings[row, column.column.name] = Costing(
            value=value, change=value / base - 1, detail=detail
        )
    return costings


def _passes(stage: Stage, dataset: Dataset, backbones: BackboneSizes) -> tuple[Pass, ...]:
    """Count the passes of a stage's model on shapes."""
    convention = conventions.find(CONVENTION)
    with seed.third_party("cost", "count"):
        model = Model(name="", label="", stage=stage)
        return measure(model, dataset, backbones, conventions=(convention,), memory=False).passes


def _seconds(
    rows: Iterable[str], column: ColumnPlan, cost: CostQuantity, timing: Timing
) -> Costings:
    """Return the measured times of a column; the change is the ratio to the first row, less 1."""
    names = list(rows)
    costings: Costings = {}
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
        costings[row, column.column.name] = Costing(
            value=times.p50,
            change=ratio.p50 - 1,
            interval=None
            if times.low is None or times.high is None
            else Interval(times.low, times.high),
            noisy=(*times.noisy, *unstable),
            detail=detail,
        )
    return costings
