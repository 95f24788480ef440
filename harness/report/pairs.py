"""A gallery of pairs of images, side by side with their difference; equal inputs, equal bytes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness import files

INCHES = 1.6
"""Side of one picture."""

DPI = 110
"""Pixels per inch."""


def draw(
    first: np.ndarray,
    second: np.ndarray,
    captions: Sequence[tuple[str, str, str]],
    path: Path,
    *,
    title: str,
) -> Path:
    """Draw a PNG with one line per pair: both pictures and their absolute difference.

    Args:
        first: (n, H, W, C) uint8, C = 1 or 3.
        second: likewise.
        captions: of each pair: below the first, the second and the difference.
        path: the PNG file.
        title: the figure's title.

    Raises:
        UserError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = (INCHES + 0.55) * len(first) + 0.6
    figure = Figure(figsize=(3.4 * INCHES, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(first), 3, squeeze=False)
    for row, (a, b, texts) in enumerate(zip(first, second, captions, strict=True)):
        difference = np.abs(a.astype(np.int16) - b.astype(np.int16)).astype(np.uint8)
        for column, (picture, text) in enumerate(zip((a, b, difference), texts, strict=True)):
            panel = axes[row, column]
            shown = picture[..., 0] if picture.shape[-1] == 1 else picture
            panel.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            panel.set(xticks=[], yticks=[])
            panel.set_xlabel(textwrap.fill(text, 28), fontsize=6, parse_math=False)
    figure.suptitle(textwrap.fill(title, 70), fontsize=7, parse_math=False)
    files.write_atomically(
        path, lambda stream: figure.savefig(stream, format="png", metadata={"Software": None})
    )
    return path
