"""Cells and claims as JSON values, and a table that is made from them again.

A page of verdicts holds all that its verdicts are made from, so that they can be judged again
without the run store.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.spec.claim import Change, Claim, Margin, Ordering
from harness.spec.costs import COSTS
from harness.spec.printed import Printed
from harness.spec.quantity import Quantity
from harness.spec.table import Column, Row, Table
from harness.verdict.cell import Cell, Gathered
from harness.verdict.values import Evidence


@dataclass(frozen=True, kw_only=True)
class StoredCell:
    """A cell as a page holds it; ``title`` is the heading of its metric."""

    row: str
    label: str
    dataset: str
    metric: str
    probe: str | None
    title: str
    better: Literal["higher", "lower"]
    digits: int
    factor: float
    comparable: bool
    values: tuple[float, ...]
    seeds: tuple[int, ...]
    counted: float | None
    step: float
    stale: int
    own_size: tuple[str, ...]
    margin: Margin
    collapsed: int
    absent: str
    lacking: str
    evidence: Evidence | None

    @property
    def column(self) -> Column:
        """The column that it stands in."""
        return Column(dataset=self.dataset, metric=self.metric, probe=self.probe)


@dataclass(frozen=True, kw_only=True)
class StoredPart:
    """A comparison of a claim: an ordering of rows, or with ``percent`` a change of a cost."""

    row: str
    than: str
    column: str
    holds: Literal["better", "not worse"] = "better"
    by: Printed | None = None
    percent: Printed | None = None

    def part(self) -> Ordering | Change:
        """Return the part of the claim."""
        if self.percent is not None:
            return Change(row=self.row, than=self.than, column=self.column, percent=self.percent)
        return Ordering(
            row=self.row, than=self.than, column=self.column, holds=self.holds, by=self.by
        )


@dataclass(frozen=True, kw_only=True)
class StoredClaim:
    """A claim as a page holds it."""

    name: str
    text: str
    source: str
    decided_by: tuple[StoredPart, ...]
    instead: str
    holds: Literal["all", "any"] | int
    counts: Literal["parts", "columns"]

    def claim(self) -> Claim:
        """Return the claim."""
        return Claim(
            name=self.name,
            text=self.text,
            source=self.source,
            decided_by=tuple(part.part() for part in self.decided_by),
            instead=self.instead,
            holds=self.holds,
            counts=self.counts,
        )


def cells_to_json(gathered: Gathered) -> list[dict[str, Any]]:
    """Return all cells as JSON values, by row and then by column."""
    columns = dict.fromkeys(column for _, column in gathered.cells)
    found = [gathered.cells[row.name, column] for row in gathered.table.rows for column in columns]
    return [
        {
            "row": cell.row.name,
            "label": cell.row.label,
            "dataset": cell.column.dataset,
            "metric": cell.metric.name,
            "probe": cell.column.probe,
            "title": cell.metric.title,
            "better": cell.metric.better,
            "digits": cell.metric.digits,
            "factor": cell.metric.factor,
            "comparable": cell.metric.comparable,
            "values": list(cell.values.values()),
            "seeds": list(cell.values),
            "counted": cell.counted,
            "step": cell.step,
            "stale": cell.stale,
            "own_size": list(cell.own_size),
            "margin": dataclasses.asdict(cell.margin),
            "collapsed": cell.collapsed,
            "absent": cell.absent,
            "lacking": cell.lacking,
            "evidence": None if cell.evidence is None else dataclasses.asdict(cell.evidence),
        }
        for cell in found
    ]


def parts_to_json(claim: Claim) -> list[dict[str, Any]]:
    """Return what decides a claim as JSON values."""
    return [dataclasses.asdict(part) for part in claim.decided_by]


def gather(
    cells: Sequence[StoredCell],
    claims: Sequence[StoredClaim],
    *,
    subject: str,
    source: str,
    margins: Mapping[str, Margin],
    scale: Mapping[str, tuple[str, ...]],
) -> Gathered:
    """Return the table and the cells that a page of verdicts was made from.

    Raises:
        UserError: the cells are those of no table, or a value leaves its range.
    """
    by_row: dict[str, list[StoredCell]] = {}
    for cell in cells:
        by_row.setdefault(cell.row, []).append(cell)
    columns = {cell.column.name: cell.column for cell in cells}
    rows = {name: _row(name, of_row) for name, of_row in by_row.items()}
    table = Table(
        title="",
        source=source,
        rows=tuple(rows.values()),
        columns=tuple(columns.values()),
        subject=subject,
        margins=margins,
        claims=tuple(claim.claim() for claim in claims),
    )
    made = {(cell.row, cell.column.name): _cell(cell, rows[cell.row]) for cell in cells}
    ordered = {
        (row, column): made[row, column]
        for column in columns
        for row in rows
        if (row, column) in made
    }
    return Gathered(table=table, cells=ordered, scale=scale)


def _row(name: str, cells: Sequence[StoredCell]) -> Row:
    printed = {c.column.name: c.evidence.printed for c in cells if c.evidence is not None}
    return Row(name=name, label=cells[0].label, stages=None, printed=printed)


def _cell(stored: StoredCell, row: Row) -> Cell:
    metric: Quantity = COSTS.get(stored.metric) or Quantity(
        name=stored.metric,
        title=stored.title,
        better=stored.better,
        digits=stored.digits,
        factor=stored.factor,
        comparable=stored.comparable,
    )
    return Cell(
        row=row,
        column=stored.column,
        metric=metric,
        values=dict(zip(stored.seeds, stored.values, strict=True)),
        evidence=stored.evidence,
        counted=stored.counted,
        step=stored.step,
        stale=stored.stale,
        own_size=stored.own_size,
        margin=stored.margin,
        collapsed=stored.collapsed,
        absent=stored.absent,
        lacking=stored.lacking,
    )
