"""Renderer of a grid as GitHub Markdown, with a single header row as cells cannot span."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.report.values import (
    COMPARED,
    HEADINGS,
    KEYS,
    NOTHING,
    Cell,
    ComputedRow,
    Grid,
    GridColumn,
    Note,
    Part,
)

_SPECIAL = re.compile(r"[\\`*_{}\[\]|~#$^]")
_CODE = re.compile(r"[A-Za-z0-9 ./,:=_-]+")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escape(text: str) -> str:
    """Return text that Markdown shows literally, in one line, also inside a table's cell."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = "".join(_ENTITIES.get(c, c) for c in line)
    return _SPECIAL.sub(r"\\\g<0>", line)


def code(text: str) -> str:
    """Return text as code; one that Markdown could take for more is escaped and none."""
    return f"`{text}`" if _CODE.fullmatch(text) else escape(text)


def render(grid: Grid) -> str:
    """Return the page: caption, table, footnotes, notes, comparisons and run keys."""
    title, *rest = grid.caption
    lines = [f"# {escape(title)}", "", escape(" ".join(rest)), "", *_tables(grid)]
    if grid.footnotes:
        lines.append("")
        lines += [f"<sup>{escape(n.label)}</sup> {escape(n.text)}  " for n in grid.footnotes]
    lines += ["", *_bullets(grid.notes)]
    for head, listed in ((COMPARED, grid.compared), (KEYS, grid.keys)):
        if listed:
            lines += ["", f"{escape(head)}:", "", *_bullets(listed)]
    return "\n".join(lines) + "\n"


def _bullets(notes: Sequence[Note]) -> list[str]:
    return [f"- **{escape(note.label)}:** {escape(note.text)}" for note in notes]


def _tables(grid: Grid) -> list[str]:
    if not grid.separate:
        return _table(grid)
    lines: list[str] = []
    for title, part in grid.tables:
        lines += [f"## {escape(title)}", "", *_table(part), ""]
    return [*lines, "## Notes"]


def _table(grid: Grid) -> list[str]:
    texts = (["Type"] if grid.grouped else []) + grid.heads
    heads = [_head(column, part, own=grid.own) for column in grid.columns for part in column.parts]
    lines = [
        _line([*map(escape, texts), *heads]),
        _line([":---"] * len(texts) + ["---:"] * len(heads)),
    ]
    for group in grid.groups:
        for position, row in enumerate(group.rows):
            # The group's title is written in its first row only, as a cell spanning the group
            # would show it; a group without a title starts with a dash.
            kind = [(group.title or NOTHING) if position == 0 else ""] if grid.grouped else []
            labels = [escape(text) for text in [*kind, *grid.words(row)]]
            numbers = [
                shown(row.cells[column.name], part)
                for column in grid.columns
                for part in column.parts
            ]
            lines.append(_line([*labels, *numbers]))
    return lines + [_line(_computed(grid, row)) for row in grid.computed]


def _head(column: GridColumn, part: Part, *, own: bool) -> str:
    return escape(column.heading) if own else f"{escape(column.heading)} {HEADINGS[part]}"


def shown(cell: Cell, part: Part) -> str:
    """Return what a row shows in one part of a column, as Markdown."""
    if part == "ours":
        return _ours(cell)
    return escape(cell.paper if part == "paper" else cell.change)


def _ours(cell: Cell) -> str:
    marks = f"<sup>{escape(' '.join(cell.marks))}</sup>" if cell.marks else ""
    remarks = escape(", ".join(cell.remarks))
    if not cell.number:
        return f"{remarks}{marks}"
    number = escape(cell.number)
    if cell.rank == "best":
        number = f"**{number}**"
    elif cell.rank == "second":
        number = f"<ins>{number}</ins>"  # GitHub drops <u>
    return f"{number}{marks}" + (f" ({remarks})" if remarks else "")


def _computed(grid: Grid, row: ComputedRow) -> list[str]:
    label, *others = map(escape, grid.words(row))
    kind = [NOTHING] if grid.grouped else []
    numbers = [
        f"*{escape(text)}*" if (text := row.text(column, part)) else NOTHING
        for column in grid.columns
        for part in column.parts
    ]
    return [*kind, f"*{label}*", *others, *numbers]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
