"""The grid as GitHub Markdown."""

from __future__ import annotations

import re

from harness.report import numbers
from harness.report.grid import Cell, Grid
from harness.spec import Metric

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")


def escape(text: str) -> str:
    """Escape what Markdown would read as markup; line breaks become spaces."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def render(grid: Grid) -> str:
    """Return the table with its caption and notes."""
    heads = ["Type", "Method", "Backbone"]
    for column in grid.columns:
        title = escape(column.title)
        heads += [f"{title}: paper", "ours", "Δ"]
    align = ["---"] * 3 + ["---:"] * (len(heads) - 3)
    rows = []
    group = None
    for line in grid.lines:
        shown = line.row.group if line.row.group != group else ""
        group = line.row.group
        cells = [escape(shown), escape(line.row.label), escape(line.row.backbone)]
        for cell, column in zip(line.cells, grid.columns, strict=True):
            cells += _cell(cell, column.metric)
        rows.append(cells)
    majority = ["", "*Majority class*", ""]
    for column in grid.columns:
        share = column.majority * column.metric.factor
        shown = f"*{share:.{column.metric.digits}f}*" if _has_majority(column.metric) else "–"
        majority += ["", shown, ""]
    rows.append(majority)
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, align, *rows)]
    notes = "\n".join(f"* {_note(note)}" for note in grid.notes)
    return f"**{escape(grid.caption)}**\n\n" + "\n".join(lines) + f"\n\n{notes}\n"


def _has_majority(metric: Metric) -> bool:
    return metric.name == "accuracy"


def _note(note: str) -> str:
    """Escape a note, keeping its code spans."""
    parts = note.split("`")
    return "`".join(part if i % 2 else escape(part) for i, part in enumerate(parts))


def _cell(cell: Cell, metric: Metric) -> list[str]:
    text = numbers.ours(cell, metric)
    if cell.rank == "best":
        text = f"**{text}**"
    elif cell.rank == "second":
        text = f"<u>{text}</u>"
    difference = numbers.difference(cell, metric)
    return [numbers.printed(cell, metric), text + numbers.remarks(cell), difference]
