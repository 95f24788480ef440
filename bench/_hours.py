"""Hours that the paper's tables take, from measured speeds of every kind of stage."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import _modes
from bench._stages import Kind, kinds
from harness.cost import estimate
from harness.plan import catalog, plan, summary
from harness.plan.options import Options
from harness.spec.profile import Profile
from harness.spec.recipe import Stage
from harness.store.record import Records

TABLES = ("table1", "table2", "table3", "table7", "table8")
"""The paper's tables that need training."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Measured speeds, and the tables whose hours they give.

    Attributes:
        profile: at whose size the speeds were measured.
        found: results of ``bench.steps.of`` by "KIND/MODE".
        tables, rows, datasets: what is counted; rows and data sets are all by default.
    """

    profile: Profile
    found: Mapping[str, Mapping[str, Any]]
    tables: tuple[str, ...] = TABLES
    rows: tuple[str, ...] | None = None
    datasets: tuple[str, ...] | None = None

    def of(self, kind: str, mode: str) -> float | None:
        """Return the FLOP/s of a kind in a mode; None where it was not measured."""
        rate = self.found.get(f"{kind}/{mode}", {}).get("tflops_per_s")
        return None if rate is None else rate * 1e12


def kind_of(stage: Stage, known: tuple[Kind, ...], scale: Profile) -> Kind | None:
    """Return the kind that a stage is most like: the same method, then more and more in common.

    Stages of Table 8 differ from a kind in a setting; what that does to their FLOPs is counted.
    """
    alike = [k for k in known if type(k.stage.method) is type(stage.method)]

    def likeness(kind: Kind) -> tuple[float, ...]:
        measured = scale.scaled(kind.stage)
        method, other = vars(measured.method), vars(stage.method)
        equal = sum(method[name] == other[name] for name in method)
        same_phase = measured.phase == stage.phase
        return (measured == stage, same_phase, equal, measured.recipe == stage.recipe)

    return max(alike, key=likeness, default=None)


def extrapolated(rates: Rates) -> dict[str, Any]:
    """Return the hours of the unique stages of one seed, by kind of stage and mode.

    A stage's hours are its FLOPs (images × epochs × those of a step) over the FLOP/s of its kind.
    Passes for attention maps, evaluations, checkpoints and start-up are not part of them.
    """
    if not any(rates.of(kind.name, "eager") for kind in kinds()):
        return {"skipped": "no speed is on record: run the parts eager-... first"}
    with tempfile.TemporaryDirectory() as folder:
        options = Options(
            profile=rates.profile,
            rows=rates.rows,
            datasets=rates.datasets,
            seeds=(0,),
            unprepared=True,
            data=Path(folder) / "data",
            runs=Path(folder) / "runs",
        )
        plans = plan.make_all([catalog.load(name) for name in rates.tables], options)
        stages = summary.unique_loads(plans, Records(options.runs))
        counted = estimate.estimate(plans, stages)
    known, flops, steps_, stages_of = (
        kinds(),
        defaultdict(float),
        defaultdict(int),
        defaultdict(int),
    )
    for work in stages:
        stage = work.step.stage
        kind = kind_of(stage, known, rates.profile)
        if kind is None or work.step.key not in counted["stage_flops"]:
            continue
        flops[kind.name] += counted["stage_flops"][work.step.key]
        steps_[kind.name] += work.epochs * (work.images // stage.recipe.batch_size)
        stages_of[kind.name] += 1
    rows = [
        {
            "kind": name,
            "stages": stages_of[name],
            "steps": steps_[name],
            "pflop": flops[name] / 1e15,
            **{f"{mode}_hours": _hours(flops[name], rates.of(name, mode)) for mode in _modes.MODES},
        }
        for name in flops
    ]
    return {
        "profile": rates.profile.name,
        "stages": len(stages),
        "left_out": len(stages) - sum(stages_of.values()),
        "steps": sum(steps_.values()),
        "totals": {mode: _total(rows, mode) for mode in _modes.MODES},
        "kinds": rows,
    }


def _hours(flops: float, rate: float | None) -> float | None:
    return None if rate is None else flops / rate / 3600


def _total(rows: list[dict[str, Any]], mode: str) -> dict[str, Any]:
    """Return the hours of the kinds that were measured, and how many stages these have."""
    known = [row for row in rows if row[f"{mode}_hours"] is not None]
    return {
        "hours": sum(row[f"{mode}_hours"] for row in known) if known else None,
        "stages": sum(row["stages"] for row in known),
    }
