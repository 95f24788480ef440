"""Soft shapes on a square canvas, in fractions of its side; the phantom families' brushes."""

from __future__ import annotations

import numpy as np


class Canvas:
    """A picture under way.

    Attributes:
        rows, columns: (S, S) pixel centres in 0..1.
        pixels: (S, S, 3) in 0..1.
        lesion: (S, S) bool, where a lesion was painted.
    """

    def __init__(self, size: int) -> None:
        """Start black and without lesion."""
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
    """Blend a colour (3,) over a shape (S, S) in 0..1."""
    alpha = (opacity * shape)[..., None]
    canvas.pixels[:] = canvas.pixels * (1 - alpha) + colour * alpha
    if lesion:
        canvas.lesion |= shape >= 0.5


def disc(
    canvas: Canvas, y: float, x: float, radius: float, width: float | None = None
) -> np.ndarray:
    """Return an ellipse with half-height ``radius`` and half-width ``width`` (default equal)."""
    wide = radius if width is None else width
    far = np.hypot((canvas.rows - y) / radius, (canvas.columns - x) / wide)
    return _soft(canvas, (1 - far) * min(radius, wide))


def blob(
    canvas: Canvas,
    centre: tuple[float, float],
    radius: float,
    ragged: float,
    random: np.random.Generator,
) -> np.ndarray:
    """Return a closed shape whose radius wavers by up to the share ``ragged``."""
    dy, dx = canvas.rows - centre[0], canvas.columns - centre[1]
    angle = np.arctan2(dy, dx)
    phases = random.uniform(0, 2 * np.pi, 3)
    waves = sum(np.sin(k * angle + p) for k, p in zip((2, 3, 5), phases, strict=True)) / 3
    return _soft(canvas, radius * (1 + ragged * waves) - np.hypot(dy, dx))


def spiky(
    canvas: Canvas, centre: tuple[float, float], radius: float, random: np.random.Generator
) -> np.ndarray:
    """Return a star with sharp spikes."""
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
    """Return a parabola from ``start``, ``reach`` to the right, bending down by ``bend``."""
    along = (canvas.columns - start[1]) / reach
    distance = np.abs(canvas.rows - start[0] - bend * np.sqrt(np.clip(along, 0, 1)))
    inside = (along >= 0) & (along <= 1)
    return np.where(inside, _soft(canvas, width - distance), 0.0)


def smooth_noise(canvas: Canvas, random: np.random.Generator, cells: int) -> np.ndarray:
    """Return (S, S) noise of unit scale that varies over 1 / ``cells`` of the side."""
    knots = random.normal(0, 1, (cells + 1, cells + 1))
    low = np.floor(canvas.rows * cells).astype(int), np.floor(canvas.columns * cells).astype(int)
    fy, fx = canvas.rows * cells - low[0], canvas.columns * cells - low[1]
    fy, fx = fy * fy * (3 - 2 * fy), fx * fx * (3 - 2 * fx)
    top = knots[low] * (1 - fx) + knots[low[0], low[1] + 1] * fx
    bottom = knots[low[0] + 1, low[1]] * (1 - fx) + knots[low[0] + 1, low[1] + 1] * fx
    mixed: np.ndarray = top * (1 - fy) + bottom * fy
    return mixed


def _soft(canvas: Canvas, signed: np.ndarray) -> np.ndarray:
    """Turn a signed distance (positive inside) into coverage in 0..1."""
    covered: np.ndarray = np.clip(0.5 + signed / (2 * canvas.edge), 0, 1)
    return covered
