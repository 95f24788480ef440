"""A grid as a figure: accuracy over the cost of a forward pass, the area of a point its time.

The JSON file beside it holds what is drawn. matplotlib is imported when a figure is drawn.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report.values import Grid, GridColumn, GridRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

"""What ``--figures`` writes beside JSON."""

LARGEST = 900.0
"""Area of the point of the slowest row, in square points."""

UNTIMED = 60.0
"""Area of a row without a time, drawn hollow."""

DOTS = 150


@dataclass(frozen=True, kw_only=True)
class Point:
    """A row in the figure: display units, None for what is not known; footnote marks."""

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
    found = []
    for group in grid.groups:
        for row in group.rows:
            reached, spent = row.cells[accuracy.name], row.cells[cost.name]
            if reached.value is None or spent.value is None:
                continue
            taken = row.cells[time.name] if time else None
            found.append(
                Point(
                    label=row.row.label,
                    marks=" ".join(reached.marks),
                    group=group.title or row.row.label,
                    cost=spent.value,
                    accuracy=reached.value,
                    time=taken.value if taken else None,
                    noisy=bool(taken and taken.costing and taken.costing.noisy),
                )
            )
    return tuple(found)


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
        told = [what, "Hollow: no time, or a noisy one.", _missing(grid, drawn)]
        told += [f"{note.label} {note.text}." for note in grid.footnotes]
        figure.supxlabel(" ".join(filter(None, told)), fontsize=7, wrap=True)
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
    """Return the points whose labels stand below, as those of a close neighbour stand above."""
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
    known = {p.label for p in drawn}
    rows: list[GridRow] = [row for row in grid.rows if row.row.label not in known]
    return f"Without a result: {', '.join(r.row.label for r in rows)}." if rows else ""


def _columns(grid: Grid) -> tuple[GridColumn, GridColumn, GridColumn | None]:
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
