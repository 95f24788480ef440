"""Renderer of a grid as a scatter plot: accuracy over the cost of a forward pass.

A point's area is proportional to the row's time. The JSON file beside the figure contains what is
drawn. matplotlib is imported when a figure is drawn.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report.values import Grid, GridColumn, GridRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGEST = 900.0
"""Area of the point of the slowest row, in square points."""

UNTIMED = 60.0
"""Area of the point of a row without a time, in square points; it is drawn hollow."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """Point of a row in the figure, in display units.

    Attributes:
        label: the row's label.
        marks: footnote marks of its accuracy.
        group: the row's group, which determines its colour.
        cost: cost of a forward pass, on the horizontal axis.
        accuracy: accuracy, on the vertical axis.
        time: time of a forward pass; None if it is not known.
        noisy: whether the time is noisy.
    """

    label: str
    marks: str
    group: str
    cost: float
    accuracy: float
    time: float | None
    noisy: bool


def points(grid: Grid) -> tuple[Point, ...]:
    """Return the rows that have an accuracy and a cost, in order.

    Raises:
        ValueError: the grid has no column of accuracies, or none of counted costs.
    """
    accuracy, cost, time = _columns(grid)
    drawable = []
    for group in grid.groups:
        for row in group.rows:
            accuracy_cell, cost_cell = row.cells[accuracy.name], row.cells[cost.name]
            if accuracy_cell.value is None or cost_cell.value is None:
                continue
            timed = row.cells[time.name] if time else None
            drawable.append(
                Point(
                    label=row.row.label,
                    marks=" ".join(accuracy_cell.marks),
                    group=group.title or row.row.label,
                    cost=cost_cell.value,
                    accuracy=accuracy_cell.value,
                    time=timed.value if timed else None,
                    noisy=bool(timed and timed.costing and timed.costing.noisy),
                )
            )
    return tuple(drawable)


def scatter(grid: Grid) -> bytes:
    """Draw a grid as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    accuracy, cost, time = _columns(grid)
    drawn = points(grid)
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.add_subplot()
    slowest = max((p.time for p in drawn if p.time is not None), default=None)
    groups = list(dict.fromkeys(p.group for p in drawn))
    below = _below(drawn)
    for point in drawn:
        share = None if point.time is None or not slowest else point.time / slowest
        _draw(axes, point, f"C{groups.index(point.group)}", share, below=point in below)
    axes.set_xlabel(cost.heading)
    axes.set_ylabel(f"{accuracy.context.title}: {accuracy.metric.title}")
    axes.grid(alpha=0.3)
    axes.margins(0.15)
    axes.set_title(" ".join(grid.caption), fontsize=8, wrap=True)
    if time is not None and drawn:
        largest = "" if slowest is None else f"; the largest is {slowest:.{time.metric.digits}f}"
        what = f"Area: {time.heading}{largest}."
        legend = [what, "Hollow: no time, or a noisy one.", _missing(grid, drawn)]
        legend += [f"{note.label} {note.text}." for note in grid.footnotes]
        figure.supxlabel(" ".join(filter(None, legend)), fontsize=7, wrap=True)
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(
        stream, metadata={"Software": None, "Description": grid.context.command}
    )
    return stream.getvalue()


def _draw(axes: Axes, point: Point, colour: str, share: float | None, *, below: bool) -> None:
    axes.scatter(
        point.cost,
        point.accuracy,
        s=UNTIMED if share is None else LARGEST * share,
        facecolors=colour if share is not None and not point.noisy else "none",
        edgecolors=colour,
        alpha=0.6,
    )
    axes.annotate(
        f"{point.label} {point.marks}".strip(),
        (point.cost, point.accuracy),
        xytext=(0, -4 if below else 4),
        textcoords="offset points",
        ha="center",
        va="top" if below else "bottom",
        fontsize=7,
    )


def _below(drawn: tuple[Point, ...]) -> list[Point]:
    """Return the points whose labels are drawn below, to avoid the label of a close neighbour."""
    heights = [p.accuracy for p in drawn]
    close = 0.04 * (max(heights) - min(heights)) if heights else 0.0
    lower = []
    for point in sorted(drawn, key=lambda p: p.accuracy):
        above = [p for p in drawn if p is not point and p.accuracy >= point.accuracy]
        near = [p for p in above if p.accuracy - point.accuracy <= close and p not in lower]
        if any(abs(p.cost - point.cost) <= 0.05 * point.cost for p in near):
            lower.append(point)
    return lower


def _missing(grid: Grid, drawn: tuple[Point, ...]) -> str:
    labels = {p.label for p in drawn}
    rows: list[GridRow] = [row for row in grid.rows if row.row.label not in labels]
    return f"Without a result: {', '.join(r.row.label for r in rows)}." if rows else ""


def _columns(grid: Grid) -> tuple[GridColumn, GridColumn, GridColumn | None]:
    """Return the first columns of accuracies, counted costs and times; the last may be None."""

    def first(what: str | None) -> GridColumn | None:
        for column in grid.columns:
            cost = column.context.column.cost
            if (cost.what if cost else None) == what:
                return column
        return None

    accuracy, cost = first(None), first("macs")
    if accuracy is None or cost is None:
        raise ValueError("A figure needs a column of accuracies and one of counted costs.")
    return accuracy, cost, first("seconds")
