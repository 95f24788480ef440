"""Places names beside points so that no name lies on another, or on a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

DISTANCES = (1, 5, 10, 16, 23, 31, 40, 50, 62, 76)
"""Gaps in points between a point's edge and its name, tried in this order."""

DIRECTIONS = (90, 270, 0, 180, 45, 135, 315, 225, 20, 160, 340, 200, 65, 115, 245, 295)
"""Directions from a point to its name in degrees, tried in this order at every distance."""

AWAY = 7
"""Gap in points from which a thin line leads from the name to its point."""

Box = tuple[float, float, float, float]
"""Left, lower, right and upper edge, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Named:
    """A point with its name.

    Attributes:
        x, y: in the units of the axes.
        text: the name; "" for a point that is only avoided.
        radius: of its mark, in points.
        colour: of the name.
    """

    x: float
    y: float
    text: str
    radius: float = 2.0
    colour: str = "black"


def place(axes: Axes, points: Sequence[Named], *, size: float = 7) -> list[Annotation]:
    """Write the names of points, and fix the layout of the figure.

    Points in a crowd choose first. A name for which there is no free place takes the one that
    covers least.

    Args:
        axes: with everything else drawn and its limits final.
        points: in any order.
        size: of the letters in points.
    """
    from matplotlib.text import Text

    figure = axes.figure.get_figure(root=True)
    assert figure is not None
    figure.canvas.draw()  # the layout is computed here; what follows must not change it
    figure.set_layout_engine("none")
    scale = figure.dpi / 72
    centres = [tuple(axes.transData.transform((p.x, p.y))) for p in points]
    taken = [_square(centre, p.radius * scale) for centre, p in zip(centres, points, strict=True)]
    frame = axes.get_window_extent()
    inside = (frame.x0, frame.y0, frame.x1, frame.y1)
    written = []
    for number in sorted(range(len(points)), key=lambda n: -_crowd(n, centres)):
        if not points[number].text:
            continue
        note = axes.annotate(
            points[number].text,
            (points[number].x, points[number].y),
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=size,
            color=points[number].colour,
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.5", "shrinkA": 0},
        )
        extent = Text.get_window_extent(note)  # without its line
        half = (extent.width / 2, extent.height / 2)
        radius = points[number].radius * scale
        others = [box for n, box in enumerate(taken) if n != number]
        offset, gap = _free(centres[number], half, radius, others, inside, scale)
        note.set_position((offset[0] / scale, offset[1] / scale))
        if gap < AWAY:
            assert note.arrow_patch is not None
            note.arrow_patch.set_visible(False)
        middle = (centres[number][0] + offset[0], centres[number][1] + offset[1])
        taken.append(_around(middle, half))
        written.append(note)
    return written


def _crowd(number: int, centres: Sequence[tuple[float, float]]) -> float:
    x, y = centres[number]
    return sum(1 / (1 + math.hypot(x - a, y - b)) for a, b in centres)


def _square(centre: tuple[float, float], radius: float) -> Box:
    return _around(centre, (radius, radius))


def _around(centre: tuple[float, float], half: tuple[float, float]) -> Box:
    (x, y), (a, b) = centre, half
    return (x - a, y - b, x + a, y + b)


def _free(
    centre: tuple[float, float],
    half: tuple[float, float],
    radius: float,
    taken: Sequence[Box],
    inside: Box,
    scale: float,
) -> tuple[tuple[float, float], float]:
    """Return the offset in pixels of the nearest free place, and its gap in points."""
    best: tuple[float, tuple[float, float], float] | None = None
    for gap in DISTANCES:
        for degrees in DIRECTIONS:
            angle = math.radians(degrees)
            # To the edge of the name's box in this direction, so that the gap is between edges.
            a, b = math.cos(angle), math.sin(angle)
            reach = radius + gap * scale
            offset = (a * reach + half[0] * _sign(a), b * reach + half[1] * _sign(b))
            box = _around((centre[0] + offset[0], centre[1] + offset[1]), half)
            covered = sum(_common(box, other) for other in taken) + _beyond(box, inside)
            if best is None or covered < best[0]:
                best = (covered, offset, gap)
            if covered == 0:
                return offset, gap
    assert best is not None
    return best[1], best[2]


def _sign(value: float) -> float:
    """Return -1, 0 or 1, going over gently so that names above stay centred."""
    return max(-1.0, min(1.0, 1.6 * value))


def _common(first: Box, second: Box) -> float:
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def _beyond(box: Box, inside: Box) -> float:
    """Return how much of a box lies outside another, counted heavily."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    return 10 * (area - _common(box, inside))
