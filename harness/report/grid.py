"""Layout of a table: rows, entries and contexts become a ``Grid`` of cells and notes.

Renderers show the grid and compute nothing themselves.
"""

from __future__ import annotations

import itertools
import string
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from harness.errors import unknown
from harness.evaluate import registry
from harness.report import bounds, cells, compare, computed, constant, notes, same_run, ties
from harness.report.evidence import Images
from harness.report.separation import Ties
from harness.report.table_style import FULL, TableStyle
from harness.report.values import (
    Cell,
    ColumnContext,
    Context,
    Costing,
    Entry,
    Grid,
    GridColumn,
    GridRow,
    Group,
    Part,
)
from harness.spec.costs import COSTS
from harness.spec.quantity import Quantity
from harness.spec.table import Row, Table

__all__ = ["Cell", "ColumnContext", "Context", "Entry", "Grid", "GridColumn", "lay_out"]

NO_COSTINGS: Mapping[tuple[str, str], Costing] = MappingProxyType({})


def lay_out(  # noqa: PLR0913 (all that a table is made from)
    table: Table,
    entries: Sequence[Entry],
    columns: Sequence[ColumnContext],
    context: Context,
    *,
    metrics: Mapping[str, Quantity] | None = None,
    costings: Mapping[tuple[str, str], Costing] = NO_COSTINGS,
    images: Images | None = None,
    style: TableStyle = FULL,
) -> Grid:
    """Lay out a table and its entries as a grid.

    Args:
        table: the table; its rows are shown in order, those without entries as "missing" or
            "not run".
        entries: results, at most one for each row, column and seed.
        columns: the columns that are shown, in order.
        context: how the table was made.
        metrics: metrics by name; None for all registered ones.
        costings: values of cost columns, by names of row and column.
        images: gives the kept predictions by which rows are compared image by image; None compares
            them over seeds alone.
        style: which columns are shown, and what stands behind means.

    Raises:
        UserError: a column names an unknown metric.
        ValueError: entries repeat or belong to no row, column or seed.
    """
    by_cell = _by_cell(table, entries, columns, context)
    entries, columns = _narrowed(entries, columns, style)
    grid_columns = _columns(table, columns, metrics or registry.known(), style)
    same = same_run.find(_rivals(table), entries, columns)

    def cell(row: Row, column: GridColumn) -> Cell:
        place = row.name, column.name
        if column.context.column.cost is not None:
            return cells.cost_cell(row, column, costings.get(place))
        return cells.make(
            row, column.context, column.metric, by_cell[place], context, spread=style.spread
        )

    found: list[Ties] = []

    def column_cells(column: GridColumn) -> dict[str, Cell]:
        by_row = {row.name: cell(row, column) for row in table.rows}
        separated = _separated(table, by_row, column, images)
        found.extend(separated)
        for tested in separated:
            by_row = ties.mark(by_row, tested)
        return same_run.mark(by_row, same)

    by_column = {column.name: column_cells(column) for column in grid_columns}
    low = {
        c.name: constant.reasons(table.rows, by_column[c.name], c, context) for c in grid_columns
    }
    marks = _marks([*map(cells.reason, entries), *_texts(table, low)])
    rows = _rows(table, {n: cells.footnote(c, marks, low[n]) for n, c in by_column.items()})
    shown = _shown(rows, grid_columns)
    comparisons = compare.compare(table, rows, grid_columns)
    return Grid(
        context=context,
        title=table.title,
        source=table.source,
        heading=table.heading,
        modules=table.modules,
        separate=bool(table.subtables),
        caption=notes.caption(table, context),
        columns=grid_columns,
        groups=_groups(table, rows),
        computed=shown.computed,
        footnotes=(*same_run.footnotes(table, same), *notes.footnotes(shown.cells, marks)),
        notes=notes.notes(
            table, shown, entries, context, ties=ties.notes(table, found, grid_columns), style=style
        ),
        comparisons=comparisons,
        compared=compare.notes(table, comparisons),
        ties=tuple(found),
        keys=notes.keys(table, rows, grid_columns),
    )


def _narrowed(
    entries: Sequence[Entry], columns: Sequence[ColumnContext], style: TableStyle
) -> tuple[Sequence[Entry], Sequence[ColumnContext]]:
    """Return the columns that are shown, and the entries in them."""
    names = [c.column.name for c in columns]
    shown = {name for name in names if style.shows(name, names)}
    return [e for e in entries if e.column in shown], [c for c in columns if c.column.name in shown]


def _rows(table: Table, by_column: Mapping[str, Mapping[str, Cell]]) -> list[GridRow]:
    """Return the table's rows with their cells."""
    return [
        GridRow(row=row, cells={name: by_row[row.name] for name, by_row in by_column.items()})
        for row in table.rows
    ]


def _shown(rows: Sequence[GridRow], columns: Sequence[GridColumn]) -> notes.Shown:
    all_cells = [cell for row in rows for cell in row.cells.values()]
    return notes.Shown(
        columns=columns,
        cells=all_cells,
        computed=computed.rows(columns),
        beyond=bounds.beyond(columns, rows),
    )


def _rivals(table: Table) -> list[list[Row]]:
    """Return the lists of rows that are ranked among one another: all, or each small table's."""
    if not table.subtables:
        return [list(table.rows)]
    return [[row for row in table.rows if row.group == group] for group in table.subtables]


def _separated(
    table: Table, by_row: Mapping[str, Cell], column: GridColumn, images: Images | None
) -> list[Ties]:
    """Return which rows of a column can be told apart, in the whole or in each small table."""
    titles = list(table.subtables) or [""]
    tested = [
        ties.of_column({r.name: by_row[r.name] for r in rows}, column, images, subtable=title)
        for title, rows in zip(titles, _rivals(table), strict=True)
    ]
    return [one for one in tested if one is not None]


def _groups(table: Table, rows: Sequence[GridRow]) -> tuple[Group, ...]:
    if not table.subtables:
        runs = itertools.groupby(rows, key=lambda r: r.row.group)
        return tuple(Group(title=title, rows=tuple(members)) for title, members in runs)
    groups = []
    for position, (title, heading) in enumerate(table.subtables.items()):
        letter = string.ascii_lowercase[position]
        if members := tuple(r for r in rows if r.row.group == title):
            groups.append(Group(title=f"({letter}) {title}", rows=members, heading=heading))
    return tuple(groups)


def _metric(name: str, metrics: Mapping[str, Quantity]) -> Quantity:
    if name not in metrics:
        raise unknown("metric", name, [*metrics, *COSTS])
    return metrics[name]


def _by_cell(
    table: Table, entries: Sequence[Entry], columns: Sequence[ColumnContext], context: Context
) -> Mapping[tuple[str, str], list[Entry]]:
    """Return the entries by names of row and column, checked to belong to the table."""
    rows = {row.name: row for row in table.rows}
    names = {c.column.name for c in columns}
    by_cell: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        where = f"row {entry.row!r}, column {entry.column!r}, seed {entry.seed}"
        if entry.row not in rows or entry.column not in names or entry.seed not in context.seeds:
            raise ValueError(f"The entry of {where} belongs to no cell of the table.")
        if rows[entry.row].stages is None:
            raise ValueError(f"The entry of {where} belongs to a row without stages.")
        if any(e.seed == entry.seed for e in by_cell[entry.row, entry.column]):
            raise ValueError(f"Two entries are of {where}.")
        by_cell[entry.row, entry.column].append(entry)
    return by_cell


def _columns(
    table: Table,
    columns: Sequence[ColumnContext],
    metrics: Mapping[str, Quantity],
    style: TableStyle,
) -> tuple[GridColumn, ...]:
    quantities = [c.column.cost or _metric(c.column.metric, metrics) for c in columns]
    return tuple(
        _column(table, c, metric, style, mixed=len(set(quantities)) > 1 or _untitled(table, metric))
        for c, metric in zip(columns, quantities, strict=True)
    )


def _untitled(table: Table, metric: Quantity) -> bool:
    """Whether the only metric of a table is one that its title does not name."""
    name = metric.title.partition(" (")[0]
    return metric.name != "accuracy" and name.lower() not in table.title.lower()


def _column(
    table: Table, column: ColumnContext, metric: Quantity, style: TableStyle, *, mixed: bool
) -> GridColumn:
    heading = f"{column.title}, {metric.title}" if mixed else column.title
    return GridColumn(
        context=column,
        metric=metric,
        heading=metric.title if column.column.cost else heading,
        parts=_parts(table.rows, column, metric, style),
    )


def _parts(
    rows: Sequence[Row], column: ColumnContext, metric: Quantity, style: TableStyle
) -> tuple[Part, ...]:
    if all(row.printed_in(column.column) is None for row in rows):
        return ("ours",)
    comparable = metric.comparable and not column.phantom
    parts: tuple[Part, ...] = ("paper", "ours", "difference") if comparable else ("paper", "ours")
    # A column without any part of those that are asked for shows what it has of the runs.
    return tuple(part for part in parts if part in style.parts) or ("ours",)


def _texts(table: Table, low: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return what is said of rows no better than a constant answer, in the order of the rows."""
    by_row = [by_row.get(row.name) for row in table.rows for by_row in low.values()]
    return [text for text in by_row if text is not None]


def _marks(reasons: Iterable[str | None]) -> dict[str, str]:
    """Return a footnote mark per reason, in order of appearance: a to z, then aa, ab, ..."""
    texts = dict.fromkeys(reason for reason in reasons if reason is not None)
    lengths = itertools.count(1)
    letters = (p for n in lengths for p in itertools.product(string.ascii_lowercase, repeat=n))
    return dict(zip(texts, map("".join, letters), strict=False))
