"""How numbers are written: fixed decimals, rounded half to even by Python's formatting."""

from __future__ import annotations

from harness.report.grid import Cell
from harness.spec import Metric

NOTHING = "–"


def printed(cell: Cell, metric: Metric) -> str:
    """Write the paper's number."""
    return NOTHING if cell.printed is None else f"{cell.printed:.{metric.digits}f}"


def ours(cell: Cell, metric: Metric) -> str:
    """Write our number, mean ± deviation over several seeds, without marks."""
    if cell.ours is None:
        return "not run" if cell.status == "missing" else cell.status
    text = f"{cell.ours.mean:.{metric.digits}f}"
    if cell.ours.sd is not None:
        text += f" ± {cell.ours.sd:.{metric.digits}f}"
    return text


def difference(cell: Cell, metric: Metric) -> str:
    """Write ours minus the paper's, with its sign."""
    if cell.difference is None:
        return NOTHING
    return f"{cell.difference:+.{metric.digits}f}".replace("-", "−")


def remarks(cell: Cell) -> str:
    """Write the marks behind a number: †, collapsed, how many seeds."""
    marks = "†" if cell.stale else ""
    if cell.collapsed:
        marks += " collapsed"
    if cell.status == "partial":
        done = cell.ours.n if cell.ours else 0
        marks += f" ({done} of {cell.expected_seeds} seeds)"
    return marks
