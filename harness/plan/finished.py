"""Seeds that have finished runs of a plan, although no command asks for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness.plan.plan import Plan
from harness.store.record import Records

SEARCHED = 32
"""Seeds below this number are looked for among the finished runs, besides the default ones."""


def seeds(
    plan: Plan, among: Iterable[int] | None = None, records: Records | None = None
) -> tuple[int, ...]:
    """Return the seeds with which at least one run of a plan is finished, in ascending order.

    Args:
        plan: with any seeds of its own.
        among: seeds that are looked for; None for those of the plan, its default ones and all
            below ``SEARCHED``.
        records: of the plan's run store; None to open it.
    """
    if among is None:
        default = plan.whole.seeds or plan.options.profile.seeds
        among = {*plan.seeds, *default, *range(SEARCHED)}
    records = records or Records(plan.options.runs)
    kept = {path.stem for path in (records.folder / "records").glob("*.json")}
    if not kept:
        return ()
    # A probe is one of a stage that further runs of a table start from, and is no run of it.
    runs = {
        cell_run.run.key(): cell_run.run
        for cell_run in plan.cell_runs
        if cell_run.seed == plan.seeds[0] and cell_run.column.probe is None
    }

    def finished(seed: int) -> bool:
        keys = (replace(run, seed=seed).key() for run in runs.values())
        return any(key in kept and records.finished(key) is not None for key in keys)

    return tuple(seed for seed in sorted(among) if finished(seed))


def shown(plan: Plan) -> Plan:
    """Return a plan with all seeds that have finished runs, unless the command names seeds.

    The default seeds stay, finished or not, so that a table shows what is missing.
    """
    if plan.options.seeds is not None:
        return plan
    further = tuple(seed for seed in seeds(plan) if seed not in plan.seeds)
    return with_seeds(plan, (*plan.seeds, *further)) if further else plan


def with_seeds(plan: Plan, wanted: tuple[int, ...]) -> Plan:
    """Return a plan of the same rows and columns with other seeds."""
    return replace(
        plan,
        seeds=wanted,
        cell_runs=tuple(
            replace(cell_run, seed=seed, run=replace(cell_run.run, seed=seed))
            for cell_run in plan.cell_runs
            if cell_run.seed == plan.seeds[0]
            for seed in wanted
        ),
    )
