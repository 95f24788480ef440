"""Finished stages of a plan that other sources than the present ones have made (†)."""

from __future__ import annotations

from harness.canonical import types_of
from harness.plan.plan import Plan, StageRun
from harness.spec.run import sources
from harness.store.record import Records


def stale_keys(plan: Plan, records: Records) -> frozenset[str]:
    """Return the keys of a plan's finished stages that are stale.

    A stage is stale if the digest of its record is not that of the present sources, or if the
    stage that it started from is stale.
    """
    digests: dict[frozenset[type], str] = {}
    stale: set[str] = set()
    for step in plan.stage_runs:  # each after the stages that it starts from
        record = records.read(step.key)
        if record is None or record.status != "done":
            continue
        if _before(step) in stale or not record.provenance.made_by(_digest(step, digests)):
            stale.add(step.key)
    return frozenset(stale)


def _before(step: StageRun) -> str | None:
    return step.run.key(step.num_stages - 1) if step.num_stages > 1 else None


def _digest(step: StageRun, known: dict[frozenset[type], str]) -> str:
    """Return the digest of a stage's present sources, which depends on its types alone."""
    types = frozenset(t for stage in step.run.stages[: step.num_stages] for t in types_of(stage))
    if types not in known:
        known[types] = sources(step.run, step.num_stages)
    return known[types]
