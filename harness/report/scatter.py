"""Renderer of a grid as a scatter plot: accuracy over the cost of a forward pass.

A point's area is proportional to the row's time. The JSON file beside the figure contains what is
drawn, the text file its caption. matplotlib is imported when a figure is drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.report import fold, style
from harness.report.constant import UNEXPLAINED
from harness.report.labels import Named, place
from harness.report.looks import Look
from harness.report.style import Style
from harness.report.values import Grid, GridColumn, GridRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST = 900.0
"""Area of the point of the slowest row in a figure as wide as a page, in square points."""

SMALLEST = 8.0
"""Area of the smallest point that can still be seen, in square points."""

UNTIMED = 40.0
"""Area of the point of a row without a time, in square points; it is drawn open."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """Point of a row in the figure, in display units.

    Attributes:
        row: the row's name.
        label: the row's label.
        marks: footnote marks of its accuracy.
        group: the row's group.
        cost: cost of a forward pass, on the horizontal axis.
        accuracy: accuracy, on the vertical axis.
        time: time of a forward pass; None if it is not known.
        noisy: whether the time is noisy.
    """

    row: str
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
            if not (style.drawable(accuracy_cell.value) and style.drawable(cost_cell.value)):
                continue
            timed = row.cells[time.name] if time else None
            drawable.append(
                Point(
                    row=row.row.name,
                    label=row.row.label,
                    marks=" ".join(accuracy_cell.marks),
                    group=group.title or row.row.label,
                    cost=cost_cell.value,
                    accuracy=accuracy_cell.value,
                    time=_drawn_time(timed.value) if timed else None,
                    noisy=bool(timed and timed.costing and timed.costing.noisy),
                )
            )
    return tuple(drawable)


def _drawn_time(time: float | None) -> float | None:
    return time if time is not None and style.drawable(time) else None


def scatter(grid: Grid, form: str = "png") -> bytes:
    """Draw a grid as a file in a format of ``style.FORMATS``."""
    how = Style()
    with style.applied(how):
        return style.save(draw(grid, how), form)


def svg(grid: Grid) -> bytes:
    """Draw a grid as SVG."""
    return scatter(grid, "svg")


def caption(grid: Grid) -> str:
    """Return the text below the figure, which says what areas mean and what is missing."""
    _, _, time = _columns(grid)
    drawn = points(grid)
    sentences = list(grid.caption)
    if drawn:
        timed = [p.time for p in drawn if p.time is not None]
        if time is not None and timed:
            largest = f"{max(timed):.{time.metric.digits}f}"
            sentences.append(f"Area: {time.heading}; the largest is {largest}.")
        if any(p.time is not None and p.noisy for p in drawn):
            sentences.append("Dashed edge: the time is noisy.")
        if len(timed) < len(drawn):
            sentences.append("Open point: no time was measured.")
    sentences.append(_missing(grid, drawn))
    unexplained = f": {UNEXPLAINED}"  # which tables say; a caption is read without their legend
    notes = [(note.label, note.text.removesuffix(unexplained)) for note in grid.footnotes]
    sentences += [f"{label} {text}." for label, text in notes]
    return " ".join(filter(None, sentences))


def to_text(grid: Grid) -> str:
    """Return the caption as the content of a file."""
    return caption(grid) + "\n"


def draw(grid: Grid, how: Style) -> Figure:
    """Draw a grid in a style: points with the rows' names beside them."""
    accuracy, cost, _ = _columns(grid)
    drawn = points(grid)
    figure = style.new(how, min(0.85 * how.width, 4.5))
    axes = figure.add_subplot()
    slowest = max((p.time for p in drawn if p.time is not None), default=None)
    order = [row.row.name for row in grid.rows]
    largest = LARGEST * min(1.0, how.width / style.PAGE)
    letters = min(22, round(6.8 * how.width))
    names = fold.all_folded([p.label for p in drawn], letters, 2, names=[p.row for p in drawn])
    named = []
    for point, name in zip(drawn, names, strict=True):
        look = grid.looks.get(point.row) or Look(number=order.index(point.row))
        area = UNTIMED if point.time is None or not slowest else largest * point.time / slowest
        side = math.sqrt(max(area, SMALLEST) / _share(look.marker))
        _point(axes, point, look, side)
        named.append(
            Named(
                x=point.cost,
                y=point.accuracy,
                text=f"{name} {point.marks}".strip(),
                radius=side / 2,
            )
        )
    axes.set_xlabel(fold.folded(cost.heading, round(12 * how.width), 2))
    title = f"{accuracy.context.title}: {accuracy.metric.title}"
    axes.set_ylabel(fold.folded(title, round(9.5 * how.width), 3))
    axes.grid(visible=True)
    axes.margins(0.2)
    axes.locator_params(axis="x", nbins=max(3, round(1.4 * how.width)))
    place(axes, named, size=6.5)
    return figure


def _point(axes: Axes, point: Point, look: Look, side: float) -> None:
    axes.scatter(
        [point.cost],
        [point.accuracy],
        s=side**2,
        marker=look.marker,
        facecolors="none" if point.time is None else to_rgba(look.colour, 0.45),
        edgecolors=look.colour,
        linewidths=0.8,
        linestyles="--" if point.noisy and point.time is not None else "-",
    )


def _share(marker: str) -> float:
    """Return the area of a shape as a share of that of a square as wide as its size."""
    from matplotlib.markers import MarkerStyle

    shape = MarkerStyle(marker)
    corners = shape.get_path().transformed(shape.get_transform()).to_polygons()[0]
    x, y = np.asarray(corners, float).T
    # The shoelace formula over the corners, the first of which follows the last.
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def to_rgba(colour: str, alpha: float) -> tuple[float, float, float, float]:
    """Return a colour with its opacity, so that the edge stays opaque."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue, alpha


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
