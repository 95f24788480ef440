"""The grid on the terminal, as a rich table."""

from __future__ import annotations

from harness.report import numbers
from harness.report.grid import Cell, Grid
from harness.spec import Metric

WIDTH = 150
"""Columns where the output is no terminal; a narrower one would wrap the numbers."""


def show(grid: Grid) -> None:
    """Print the table with its caption and notes."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    table = Table(title=escape(grid.caption), title_justify="left")
    table.add_column("Method", no_wrap=True)
    table.add_column("Backbone", no_wrap=True)
    for column in grid.columns:
        for head in (f"{column.title}: paper", "ours", "Δ"):
            table.add_column(escape(head), justify="right")
    group = None
    for line in grid.lines:
        if group is not None and line.row.group != group:
            table.add_section()
        group = line.row.group
        texts = [escape(line.row.label), escape(line.row.backbone)]
        for cell, column in zip(line.cells, grid.columns, strict=True):
            texts += _cell(cell, column.metric)
        table.add_row(*texts)
    table.add_section()
    majority = ["[italic]Majority class[/]", ""]
    for column in grid.columns:
        share = f"{column.majority * column.metric.factor:.{column.metric.digits}f}"
        majority += ["", share if column.metric.name == "accuracy" else numbers.NOTHING, ""]
    table.add_row(*majority)
    console.print(table)
    for note in grid.notes:
        if not note.startswith("Runs: "):
            console.print(f"* {note}", markup=False, highlight=False)


def _cell(cell: Cell, metric: Metric) -> list[str]:
    text = numbers.ours(cell, metric)
    if cell.rank == "best":
        text = f"[bold]{text}[/]"
    elif cell.rank == "second":
        text = f"[underline]{text}[/]"
    difference = numbers.difference(cell, metric)
    return [numbers.printed(cell, metric), text + numbers.remarks(cell), difference]
