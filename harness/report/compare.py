"""Rows against the row that a table compares them with, paired by seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness import stats
from harness.report import same_run
from harness.report.numbers import bracket, signed
from harness.report.values import Cell, Comparison, GridColumn, GridRow, Note
from harness.spec.table import Table


def compare(
    table: Table, rows: Sequence[GridRow], columns: Sequence[GridColumn]
) -> tuple[Comparison, ...]:
    """Compare rows with the reference of their group, or with the first where that has none.

    Args:
        table: names the references.
        rows: of the table.
        columns: likewise; costs do not vary with the seed.

    Returns:
        What two seeds or more have in common; nothing where both rows are one and the same runs.
    """
    references = [row for row in rows if row.row.name in table.references]
    found = []
    for row in rows:
        own = [r for r in references if r.row.group == row.row.group] or references
        if not own or row in references:
            continue
        for column in columns:
            if column.context.column.cost is None:
                found.append(_compared(row, own[0], column))
    return tuple(made for made in found if made is not None)


def _compared(row: GridRow, reference: GridRow, column: GridColumn) -> Comparison | None:
    ours, theirs = (dict(_values(r.cells[column.name])) for r in (row, reference))
    seeds = tuple(seed for seed in ours if seed in theirs)
    if len(seeds) < 2 or all(ours[seed][0] == theirs[seed][0] for seed in seeds):
        return None
    factor = column.metric.factor
    differences = [factor * (ours[seed][1] - theirs[seed][1]) for seed in seeds]
    return Comparison(
        row=row,
        reference=reference,
        column=column,
        seeds=seeds,
        difference=stats.mean(differences),
        interval=stats.t_interval(differences),
    )


def _values(cell: Cell) -> Iterator[tuple[int, tuple[str, float]]]:
    """Yield the finished seeds with key and value."""
    for entry in cell.entries:
        if entry.status == "done" and entry.value is not None:
            yield entry.seed, (entry.key, entry.value)


def notes(table: Table, comparisons: Sequence[Comparison]) -> tuple[Note, ...]:
    """Return one note a pair of rows."""
    texts: dict[str, list[str]] = {}
    for each in comparisons:
        rows = [same_run.label(table, row.row) for row in (each.row, each.reference)]
        digits = each.column.metric.digits
        shown = (
            f"{each.column.heading} {signed(each.difference, digits)}"
            f" {bracket(each.interval, digits)} ({len(each.seeds)} seeds)"
        )
        texts.setdefault(" against ".join(rows), []).append(shown)
    return tuple(Note(label=label, text="; ".join(shown)) for label, shown in texts.items())
