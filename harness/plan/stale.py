"""Finished stages of a plan that other sources than the present ones have made (†)."""

from __future__ import annotations

from harness.plan.plan import Plan, StageRun
from harness.spec.run import Run, sources
from harness.store.record import Records


class Digests:
    """The digests of the present sources that act on the runs of one command, each computed once.

    They depend on a run's stages and on whether it starts from given weights, not on data or seed.
    """

    def __init__(self) -> None:
        """Begin without any."""
        # The runs are held, so that no other stages get the identity of theirs.
        self._known: dict[tuple[object, ...], tuple[Run, str]] = {}

    def of(self, run: Run, count: int) -> str:
        """Return the digest of the sources of a run's first ``count`` stages."""
        name = (*map(id, run.stages[:count]), run.start is None)
        if name not in self._known:
            self._known[name] = run, sources(run, count)
        return self._known[name][1]


def stale_keys(plan: Plan, records: Records) -> frozenset[str]:
    """Return the keys of a plan's finished stages that are stale.

    A stage is stale if the digest of its record is not that of the present sources, or if the
    stage that it started from is stale.
    """
    digests = Digests()
    stale: set[str] = set()
    for step in plan.stage_runs:  # each after the stages that it starts from
        record = records.read(step.key)
        if record is None or record.status != "done":
            continue
        if _before(step) in stale or not record.provenance.made_by(
            digests.of(step.run, step.num_stages)
        ):
            stale.add(step.key)
    return frozenset(stale)


def _before(step: StageRun) -> str | None:
    return step.run.key(step.num_stages - 1) if step.num_stages > 1 else None
