"""What is read of a plan's records for its verdicts, once for several readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.plan.plan import Plan
from harness.report import collect
from harness.report.costs import fill
from harness.report.evidence import KeptPredictions
from harness.report.values import Costing, Entry
from harness.store.record import Records


@dataclass(frozen=True, kw_only=True)
class Read:
    """What was read of a plan's records and counted of its costs, for several readers.

    Attributes:
        entries: one per cell and seed.
        costs: by names of row and column.
        kept: the predictions that are kept.
        records: of the plan's run store; None to open it.
    """

    entries: Sequence[Entry]
    costs: Mapping[tuple[str, str], Costing]
    kept: KeptPredictions
    records: Records | None = None


def read(plan: Plan) -> Read:
    """Read a plan's records; no time is measured or read."""
    return Read(entries=collect.entries(plan), costs=fill(plan, None), kept=KeptPredictions(plan))
