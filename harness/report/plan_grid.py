"""The grid of a plan: its records, counted costs and measured times, laid out as one table."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from harness import provenance
from harness.console import note
from harness.latency import timings
from harness.plan.plan import Plan
from harness.report import collect, looks
from harness.report.costs import fill
from harness.report.evidence import KeptPredictions
from harness.report.grid import lay_out
from harness.report.table_style import FULL, TableStyle
from harness.report.values import Context, Grid


@dataclass(frozen=True, kw_only=True)
class Making:
    """How the tables of a command are made.

    Attributes:
        command: that makes them, as text.
        device: that they name and that times are of.
        experiment: its name or path, by which times are found.
        measure: measure the times that a table shows and this machine has not measured.
        anew: measure them also where it has.
    """

    command: str
    device: torch.device
    experiment: str
    measure: bool = False
    anew: bool = False


def grid_of(plan: Plan, making: Making, style: TableStyle = FULL) -> Grid:
    """Lay out a plan's table from the records."""
    context = context_of(plan, making)
    timing = _timing(plan, making)
    timing_notes = () if timing is None else (timing.note,)
    laid = lay_out(
        replace(plan.table, notes=(*timing_notes, *plan.table.notes)),
        collect.entries(plan),
        collect.column_contexts(plan),
        context,
        costings=fill(plan, timing),
        images=KeptPredictions(plan),
        style=style,
    )
    return replace(laid, looks=looks.of_table(plan.whole))


def context_of(plan: Plan, making: Making) -> Context:
    """Return the options and environment that a plan's table is made with."""
    facts = provenance.device_facts(making.device)
    return collect.context(plan, command=making.command, device=f"{facts['kind']} {facts['name']}")


def _timing(plan: Plan, making: Making) -> timings.Timing | None:
    """Return the times of a table's rows on this machine; None if it shows or has none."""
    if not timings.kinds(plan) or not plan.chains:
        return None
    anew = making.measure and making.anew
    timing = None if anew else timings.read(plan, making.experiment, making.device)
    if timing is None and making.measure:
        note(f"Timing the rows of {plan.name} ...")
        timing = timings.take(plan, making.experiment, making.device)
    return timing
