"""Antialiased shapes on a square canvas, from which phantom images are drawn.

Coordinates and lengths are fractions of the side. A shape is an (S, S) array of coverage in 0..1.
"""

from __future__ import annotations

import numpy as np


class Canvas:
    """An image and its lesion mask while they are drawn.

    Attributes:
        rows: (S, S) vertical positions of the pixel centres in 0..1.
        columns: (S, S) horizontal positions, likewise.
        edge: half the width of a shape's antialiased border.
        pixels: (S, S, 3) in 0..1.
        lesion: (S, S) bool, True where a lesion was painted.
    """

    def __init__(self, size: int) -> None:
        """Create a black image of ``size`` x ``size`` pixels with an empty mask."""
        centres = (np.arange(size) + 0.5) / size
        self.rows, self.columns = np.meshgrid(centres, centres, indexing="ij")
        self.edge = 0.75 / size
        self.pixels = np.zeros((size, size, 3))
        self.lesion = np.zeros((size, size), bool)


def paint(
    canvas: Canvas,
    shape: np.ndarray,
    colour: np.ndarray,
    *,
    opacity: float = 1.0,
    lesion: bool = False,
) -> None:
    """Blend a colour (3,) over the image where a shape (S, S) covers it.

    With ``lesion``, pixels that are covered at least by half join the lesion mask.
    """
    alpha = (opacity * shape)[..., None]
    canvas.pixels[:] = canvas.pixels * (1 - alpha) + colour * alpha
    if lesion:
        canvas.lesion |= shape >= 0.5


def disc(
    canvas: Canvas, y: float, x: float, radius: float, width: float | None = None
) -> np.ndarray:
    """Return an ellipse of half-height ``radius`` and half-width ``width``; a disc by default."""
    half_width = radius if width is None else width
    distance = np.hypot((canvas.rows - y) / radius, (canvas.columns - x) / half_width)
    return _soft(canvas, (1 - distance) * min(radius, half_width))


def blob(
    canvas: Canvas,
    centre: tuple[float, float],
    radius: float,
    ragged: float,
    random: np.random.Generator,
) -> np.ndarray:
    """Return a blob whose radius varies with the angle by up to the share ``ragged``."""
    dy, dx = canvas.rows - centre[0], canvas.columns - centre[1]
    angle = np.arctan2(dy, dx)
    phases = random.uniform(0, 2 * np.pi, 3)
    waves = sum(np.sin(k * angle + p) for k, p in zip((2, 3, 5), phases, strict=True)) / 3
    return _soft(canvas, radius * (1 + ragged * waves) - np.hypot(dy, dx))


def spiky(
    canvas: Canvas, centre: tuple[float, float], radius: float, random: np.random.Generator
) -> np.ndarray:
    """Return a star with 8 to 12 sharp spikes."""
    dy, dx = canvas.rows - centre[0], canvas.columns - centre[1]
    angle = np.arctan2(dy, dx) + random.uniform(0, 2 * np.pi)
    spikes = np.abs(np.sin(angle * random.integers(4, 7)))
    return _soft(canvas, radius * (0.6 + 0.7 * spikes**3) - np.hypot(dy, dx))


def curve(
    canvas: Canvas,
    start: tuple[float, float],
    bend: float,
    reach: float,
    width: float = 0.012,
) -> np.ndarray:
    """Return a parabolic line from ``start`` (row, column).

    Args:
        canvas: to draw on.
        start: row and column of its vertex.
        bend: distance downwards over its whole length; negative bends upwards.
        reach: distance to the right; negative leads to the left.
        width: half its thickness.
    """
    along = (canvas.columns - start[1]) / reach
    distance = np.abs(canvas.rows - start[0] - bend * np.sqrt(np.clip(along, 0, 1)))
    inside = (along >= 0) & (along <= 1)
    return np.where(inside, _soft(canvas, width - distance), 0.0)


def smooth_noise(canvas: Canvas, random: np.random.Generator, cells: int) -> np.ndarray:
    """Return (S, S) value noise: normal values on a grid of ``cells`` per side, interpolated."""
    knots = random.normal(0, 1, (cells + 1, cells + 1))
    low = np.floor(canvas.rows * cells).astype(int), np.floor(canvas.columns * cells).astype(int)
    fy, fx = canvas.rows * cells - low[0], canvas.columns * cells - low[1]
    # Smoothstep weights 3 t^2 - 2 t^3 have no slope at the grid points.
    fy, fx = fy * fy * (3 - 2 * fy), fx * fx * (3 - 2 * fx)
    top = knots[low] * (1 - fx) + knots[low[0], low[1] + 1] * fx
    bottom = knots[low[0] + 1, low[1]] * (1 - fx) + knots[low[0] + 1, low[1] + 1] * fx
    noise: np.ndarray = top * (1 - fy) + bottom * fy
    return noise


def _soft(canvas: Canvas, signed: np.ndarray) -> np.ndarray:
    """Convert a signed distance to the outline (positive inside) to coverage in 0..1."""
    coverage: np.ndarray = np.clip(0.5 + signed / (2 * canvas.edge), 0, 1)
    return coverage
