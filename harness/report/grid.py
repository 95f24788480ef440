"""Lay out a table once: rows, entries and contexts become cells, footnotes and notes.

Nothing after this computes: renderers read the ``Grid`` alone.
"""

from __future__ import annotations

import itertools
import string
from collections import defaultdict
from collections.abc import Mapping, Sequence

from harness.errors import unknown
from harness.metrics import METRICS
from harness.report import cells, notes
from harness.report.numbers import fixed
from harness.report.values import (
    Cell,
    ColumnContext,
    Context,
    Entry,
    Grid,
    GridColumn,
    GridRow,
    Group,
    Part,
)
from harness.spec import Metric
from harness.table import Row, Table

__all__ = ["Cell", "ColumnContext", "Context", "Entry", "Grid", "GridColumn", "lay_out"]


def lay_out(
    table: Table,
    entries: Sequence[Entry],
    columns: Sequence[ColumnContext],
    context: Context,
    *,
    metrics: Mapping[str, Metric] = METRICS,
) -> Grid:
    """Turn a table and its entries into a grid.

    Args:
        table: its rows are shown in order, those without entries as missing or "not run".
        entries: at most one for each row, column and seed.
        columns: the data sets that are shown, in order.
        context: how the table was made.
        metrics: by the names that columns use.

    Raises:
        UserError: a column names an unknown metric.
        ValueError: entries repeat or belong to no row, column or seed.
    """
    found = _sorted_in(table, entries, columns, context)
    used = [_metric(c.column.metric, metrics) for c in columns]
    grid_columns = tuple(
        _column(table, c, metric, mixed=len(set(used)) > 1)
        for c, metric in zip(columns, used, strict=True)
    )
    marks = _marks(entries)
    by_column = {}
    for column in grid_columns:
        made = {
            row.name: cells.make(
                row, column.context, column.metric, found[row.name, column.name], context
            )
            for row in table.rows
        }
        by_column[column.name] = cells.footnote(cells.rank(made, column.metric), marks)
    rows = [
        GridRow(row=row, cells={name: made[row.name] for name, made in by_column.items()})
        for row in table.rows
    ]
    groups = tuple(
        Group(title=title, rows=tuple(members))
        for title, members in itertools.groupby(rows, key=lambda r: r.row.group)
    )
    shown = [cell for row in rows for cell in row.cells.values()]
    return Grid(
        context=context,
        title=table.title,
        source=table.source,
        caption=notes.caption(table, context),
        columns=grid_columns,
        groups=groups,
        footnotes=notes.footnotes(shown, marks),
        notes=notes.notes(table, grid_columns, entries, shown, context),
        keys=notes.keys(rows, grid_columns),
    )


def _metric(name: str, metrics: Mapping[str, Metric]) -> Metric:
    if name not in metrics:
        raise unknown("metric", name, metrics)
    return metrics[name]


def _sorted_in(
    table: Table, entries: Sequence[Entry], columns: Sequence[ColumnContext], context: Context
) -> Mapping[tuple[str, str], list[Entry]]:
    rows = {row.name: row for row in table.rows}
    names = {c.column.name for c in columns}
    found: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        place = f"row {entry.row!r}, column {entry.column!r}, seed {entry.seed}"
        if entry.row not in rows or entry.column not in names or entry.seed not in context.seeds:
            raise ValueError(f"The entry of {place} belongs to no cell of the table.")
        if rows[entry.row].stages is None:
            raise ValueError(f"The entry of {place} belongs to a row without stages.")
        if any(e.seed == entry.seed for e in found[entry.row, entry.column]):
            raise ValueError(f"Two entries are of {place}.")
        found[entry.row, entry.column].append(entry)
    return found


def _column(table: Table, column: ColumnContext, metric: Metric, *, mixed: bool) -> GridColumn:
    majority = None if column.majority is None else metric.factor * column.majority
    return GridColumn(
        context=column,
        metric=metric,
        heading=f"{column.title}, {metric.title}" if mixed else column.title,
        parts=_parts(table.rows, column),
        majority=majority,
        majority_text="" if majority is None else fixed(majority, metric.digits),
    )


def _parts(rows: Sequence[Row], column: ColumnContext) -> tuple[Part, ...]:
    if not any(column.column.name in row.printed for row in rows):
        return ("ours",)
    return ("paper", "ours") if column.phantom else ("paper", "ours", "difference")


def _marks(entries: Sequence[Entry]) -> dict[str, str]:
    """Return a footnote mark for every error, a to z and then aa, ab, ..., as they appear."""
    errors = dict.fromkeys(cells.error(e) for e in entries if e.status == "failed")
    lengths = itertools.count(1)
    letters = (p for n in lengths for p in itertools.product(string.ascii_lowercase, repeat=n))
    return dict(zip(errors, map("".join, letters), strict=False))
