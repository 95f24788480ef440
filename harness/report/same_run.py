"""Rows that say different things and are one training under a profile and its settings.

A short training rounds intervals of 40 and 60 epochs to the same number: the table says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from harness.report.values import Cell, ColumnContext, Entry, Note
from harness.spec.table import Row, Table

SAME = "‡"

Alike = tuple[tuple[Row, ...], ...]


def find(
    rivals: Iterable[Sequence[Row]], entries: Sequence[Entry], columns: Sequence[ColumnContext]
) -> Alike:
    """Return the sets of rows that share a run although their stages differ.

    Args:
        rivals: rows that are compared with one another.
        entries: of the table.
        columns: those of probes show a first stage, which rows may well share.
    """
    probed = {c.column.name for c in columns if c.column.probe is not None}
    users: dict[tuple[str, str], set[str]] = {}
    for entry in entries:
        if entry.column not in probed and entry.key:
            users.setdefault((entry.column, entry.key), set()).add(entry.row)
    found: dict[tuple[str, ...], tuple[Row, ...]] = {}
    for rows in rivals:
        for names in users.values():
            sharing = tuple(row for row in rows if row.name in names)
            if any(row.stages != sharing[0].stages for row in sharing):
                found[tuple(row.name for row in sharing)] = sharing
    return tuple(found.values())


def mark(cells: Mapping[str, Cell], same: Alike) -> dict[str, Cell]:
    """Mark the cells, by row name, whose row is in one of the sets; costs are no training's."""
    names = {row.name for rows in same for row in rows}
    return {
        name: replace(cell, marks=(*cell.marks, SAME)) if name in names and cell.entries else cell
        for name, cell in cells.items()
    }


def label(table: Table, row: Row) -> str:
    """Return what names a row among all of a table.

    Its label, in small tables with its heading, and with its group where others are labelled alike.
    """
    if heading := table.subtables.get(row.group):
        return f"{heading} {row.label}"
    alone = [other.label for other in table.rows].count(row.label) == 1
    return row.label if alone else f"{row.group}, {row.label}"


def footnotes(table: Table, same: Alike) -> tuple[Note, ...]:
    """Return the footnote of the mark, none where no rows coincide."""
    if not same:
        return ()
    sets = "; ".join(" and ".join(label(table, row) for row in rows) for rows in same)
    text = f"one and the same training under this profile and these settings: {sets}"
    return (Note(label=SAME, text=text),)
