"""Detection of rows whose settings differ but, under a profile, round to the same run.

A profile with few epochs can round, for instance, update intervals of 40 and 60 epochs to the same
number. Cells of such rows get a footnote mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from harness.report.values import Cell, ColumnContext, Entry, Note
from harness.spec.table import Row, Table

SAME = "‡"
"""Mark of cells whose row shares its run with another row."""

SharingRows = tuple[tuple[Row, ...], ...]
"""Sets of rows that share a run."""


def find(
    rivals: Iterable[Sequence[Row]], entries: Sequence[Entry], columns: Sequence[ColumnContext]
) -> SharingRows:
    """Return the sets of rows that share a run although their stages differ.

    Args:
        rivals: lists of rows that are ranked among one another.
        entries: the table's entries.
        columns: the table's columns; those of probes are skipped, since they show the first stage,
            which different rows may share.
    """
    probed = {c.column.name for c in columns if c.column.probe is not None}
    users: dict[tuple[str, str], set[str]] = {}
    for entry in entries:
        if entry.column not in probed and entry.key:
            users.setdefault((entry.column, entry.key), set()).add(entry.row)
    sets: dict[tuple[str, ...], tuple[Row, ...]] = {}
    for rows in rivals:
        for names in users.values():
            sharing = tuple(row for row in rows if row.name in names)
            if any(row.stages != sharing[0].stages for row in sharing):
                sets[tuple(row.name for row in sharing)] = sharing
    return tuple(sets.values())


def mark(cells: Mapping[str, Cell], same: SharingRows) -> dict[str, Cell]:
    """Mark the cells, by row name, whose row is in one of the sets; cost cells are not marked."""
    names = {row.name for rows in same for row in rows}
    return {
        name: replace(cell, marks=(*cell.marks, SAME)) if name in names and cell.entries else cell
        for name, cell in cells.items()
    }


def label(table: Table, row: Row) -> str:
    """Return a text that identifies a row within its table.

    It is the row's label, after the heading of its small table if it has one, or after its group if
    other rows have the same label.
    """
    if heading := table.subtables.get(row.group):
        return f"{heading} {row.label}"
    unique = [other.label for other in table.rows].count(row.label) == 1
    return row.label if unique else f"{row.group}, {row.label}"


def footnotes(table: Table, same: SharingRows) -> tuple[Note, ...]:
    """Return the footnote that explains the mark; none if no rows share a run."""
    if not same:
        return ()
    sets = "; ".join(" and ".join(label(table, row) for row in rows) for rows in same)
    text = f"one and the same training under this profile and these settings: {sets}"
    return (Note(label=SAME, text=text),)
