"""A table and its entries become cells, once; every renderer reads the grid alone.

Differences, marks and notes are decided here. Numbers stay numbers until a renderer writes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.metrics import METRICS
from harness.report.notes import footnotes
from harness.spec import Metric
from harness.stats import Summary, summarise
from harness.table import Column, Row, Table

Status = Literal["done", "partial", "failed", "missing", "not run"]
Rank = Literal["best", "second"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run of a table: a row, a column and a seed.

    Attributes:
        value: the metric under the table's rule, in natural units; last and best likewise.
        n: images evaluated.
        collapsed: every image was given one class.
        stale: made by other sources than today's.
    """

    row: str
    column: str
    seed: int
    status: Literal["done", "failed", "missing"]
    value: float | None
    last: float | None
    best: float | None
    n: int | None
    collapsed: bool
    stale: bool
    key: str
    error: str | None
    commit: str
    data: str


@dataclass(frozen=True, kw_only=True)
class ColumnContext:
    """A column as it was filled.

    Attributes:
        title: as shown.
        dataset: the data set used.
        phantom: generated images stand in for the real ones.
        n: images evaluated.
        majority: accuracy of always answering the most frequent class.
        data: the store's fingerprint.
        printed_n: images that the paper evaluated.
    """

    column: Column
    title: str
    dataset: str
    phantom: bool
    n: int
    majority: float
    data: str
    printed_n: int | None

    @property
    def metric(self) -> Metric:
        """The column's metric."""
        return METRICS[self.column.metric]


@dataclass(frozen=True, kw_only=True)
class Context:
    """How the table was made; see the command line's options for the fields' meaning."""

    name: str
    profile: str
    scaled_down: bool
    split: str
    rule: str
    seeds: tuple[int, ...]
    overrides: tuple[str, ...]
    command: str
    commit: str
    dirty: bool
    versions: Mapping[str, str]
    device: str
    created: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row under one column.

    Attributes:
        printed: the paper's number, as printed.
        ours: over the finished seeds, in the metric's display units; None where none is.
        difference: ours - printed, None for phantom columns.
        rank: among complete cells of the column.
    """

    status: Status
    printed: float | None
    ours: Summary | None
    difference: float | None
    collapsed: bool
    stale: bool
    expected_seeds: int
    entries: tuple[Entry, ...]
    rank: Rank | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of the grid."""

    row: Row
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A laid-out table: lines and columns, the majority row, caption and notes."""

    table: Table
    context: Context
    columns: tuple[ColumnContext, ...]
    lines: tuple[Line, ...]
    caption: str
    notes: tuple[str, ...]


def lay_out(
    table: Table, entries: Sequence[Entry], columns: Sequence[ColumnContext], context: Context
) -> Grid:
    """Lay a table out.

    Args:
        table: its rows in order.
        entries: the runs of the rows that have stages.
        columns: in order, as filled.
        context: how it was made.
    """
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        found.setdefault((entry.row, entry.column), []).append(entry)
    lines = tuple(
        Line(
            row=row,
            cells=tuple(
                _cell(row, column, found.get((row.name, column.column.name), []))
                for column in columns
            ),
        )
        for row in table.rows
    )
    lines = _ranked(lines, columns)
    return Grid(
        table=table,
        context=context,
        columns=tuple(columns),
        lines=lines,
        caption=_caption(table, context),
        notes=footnotes(table, context, columns, [e for line in lines for e in _all(line)]),
    )


def _all(line: Line) -> list[Entry]:
    return [entry for cell in line.cells for entry in cell.entries]


def _cell(row: Row, column: ColumnContext, entries: Sequence[Entry]) -> Cell:
    printed = row.printed.get(column.column.name)
    values = [
        e.value * column.metric.factor
        for e in entries
        if e.status == "done" and e.value is not None
    ]
    ours = summarise(values) if values else None
    comparable = ours is not None and printed is not None and not column.phantom
    return Cell(
        status=_status(row, entries),
        printed=printed,
        ours=ours,
        difference=ours.mean - printed if comparable and ours and printed is not None else None,
        collapsed=any(e.collapsed for e in entries),
        stale=any(e.stale for e in entries),
        expected_seeds=len(entries),
        entries=tuple(entries),
    )


def _status(row: Row, entries: Sequence[Entry]) -> Status:
    if row.stages is None:
        return "not run"
    states = {e.status for e in entries}
    if states == {"done"}:
        return "done"
    if "done" in states:
        return "partial"
    return "failed" if "failed" in states else "missing"


def _ranked(lines: tuple[Line, ...], columns: Sequence[ColumnContext]) -> tuple[Line, ...]:
    """Mark best and second among complete cells, by the value as displayed; ties share."""
    table = [list(line.cells) for line in lines]
    for position, column in enumerate(columns):
        shown = {
            i: round(cells[position].ours.mean, column.metric.digits)  # type: ignore[union-attr]
            for i, cells in enumerate(table)
            if cells[position].status == "done"
        }
        order = sorted(set(shown.values()), reverse=column.metric.better == "higher")
        for i, value in shown.items():
            rank: Rank | None = None
            if value == order[0]:
                rank = "best"
            elif len(order) > 1 and value == order[1]:
                rank = "second"
            table[i][position] = replace(table[i][position], rank=rank)
    return tuple(
        replace(line, cells=tuple(cells)) for line, cells in zip(lines, table, strict=True)
    )


def _caption(table: Table, context: Context) -> str:
    parts = [f"{table.source}: {table.title}."]
    if context.scaled_down:
        parts.append(f"Scaled down (profile {context.profile}): not a reproduction.")
    if len(context.seeds) == 1:
        parts.append("Draft: one seed, no interval.")
    return " ".join(parts)
