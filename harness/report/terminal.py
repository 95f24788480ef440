"""Renderer of a grid on the terminal, as a rich table; rich is imported only when needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.console import text, wide_console
from harness.errors import shown
from harness.report.ties import TIES
from harness.report.values import COMPARED, HEADINGS, NOTHING, Cell, ComputedRow, Grid, Part

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

SHOWN = ("Numbers", "Costs", "Marks")
"""Labels of the notes that are printed; the written files contain all notes."""


def show(grid: Grid, console: Console | None = None) -> None:
    """Print the caption, the table or its small tables, footnotes, some notes and comparisons."""
    console = console or wide_console()
    console.print(text(" ".join(grid.caption), style="bold"))
    for title, part in grid.tables:
        if title:
            console.print(text(""), text(title, style="italic"), sep="\n")
        console.print(table(part))
    for note in grid.footnotes:
        console.print(text(f"{note.label} {note.text}"))
    for note in grid.notes:
        if note.label in SHOWN or note.label.startswith(TIES):
            console.print(text(f"{note.label}: {note.text}"))
    if grid.compared:
        console.print(text(f"{COMPARED}:"))
    for note in grid.compared:
        console.print(text(f"  {note.label}: {note.text}"))


def table(grid: Grid) -> Table:
    """Return the grid as a rich table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rich_table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for head in grid.heads:
        rich_table.add_column(Text(f"\n{shown(head)}"))
    for column in grid.columns:
        for position, part in enumerate(column.parts):
            title = column.heading if position == 0 else ""
            below = "" if grid.own else HEADINGS[part]
            rich_table.add_column(Text(f"{shown(title)}\n{shown(below)}"), justify="right")
    for group in grid.groups:
        if group.title:
            rich_table.add_row(text(group.title, style="italic dim"))
        for row in group.rows:
            numbers = [
                _part(row.cells[column.name], part)
                for column in grid.columns
                for part in column.parts
            ]
            rich_table.add_row(*map(text, grid.words(row)), *numbers)
        rich_table.add_section()
    for constant in grid.computed:
        rich_table.add_row(*_computed(grid, constant), style="italic")
    return rich_table


def _part(cell: Cell, part: Part) -> Text:
    from rich.text import Text

    if part != "ours":
        return text(cell.paper if part == "paper" else cell.change)
    marks = " ".join(cell.marks)
    remarks = ", ".join(cell.remarks)
    if not cell.number:
        return text(f"{remarks} {marks}".rstrip(), style="dim")
    style = {"best": "bold", "second": "underline", None: ""}[cell.rank]
    composed = Text().append(shown(cell.number), style=style)
    composed.append(f" {shown(marks)}" if marks else "")
    return composed.append(f" ({shown(remarks)})" if remarks else "")


def _computed(grid: Grid, row: ComputedRow) -> list[Text]:
    texts = grid.words(row)
    texts += [row.text(column, part) or NOTHING for column in grid.columns for part in column.parts]
    return [text(cell) for cell in texts]
