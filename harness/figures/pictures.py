"""Grids of small pictures: images, maps over them, and the outlines of true lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.report import fold, style
from harness.report.style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLEST, LARGEST = 0.3, 1.6
"""Sides of a picture in inches."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture of a grid.

    Attributes:
        image: (S, S, 1 or 3) uint8; None where there is none or it may not be shown.
        map: (g, g) drawn over the image, from its lowest to its highest value.
        outline: (S, S) bool, whose edge is drawn.
        blank: words in its place, where there is nothing to show.
        fixed: the map's values are drawn from 0 to 1.
    """

    image: np.ndarray | None = None
    map: np.ndarray | None = None
    outline: np.ndarray | None = None
    blank: str = ""
    fixed: bool = False


def draw(
    rows: Sequence[Sequence[Picture]],
    columns: Sequence[str],
    how: Style,
    *,
    names: Sequence[str] = (),
) -> Figure:
    """Draw pictures with headings above the columns and, where given, names beside the rows."""
    left = 0.75 if names else 0.0
    side = max(SMALLEST, min(LARGEST, (how.width - left) / max(len(columns), 1)))
    letters = max(4, round(14.5 * side))
    heads = fold.all_folded(columns, letters, 3)
    tallest = max((head.count("\n") + 1 for head in heads), default=1)
    figure = style.new(how, side * len(rows) + 0.13 * tallest + 0.05)
    figure.set_layout_engine("constrained", h_pad=0.01, w_pad=0.01, hspace=0.0, wspace=0.0)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    # A name stands beside each of its images, so that equal ones are no error.
    distinct = list(dict.fromkeys(names))
    folded = dict(zip(distinct, fold.all_folded(distinct, 12, 3), strict=True))
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            _picture(axes[r, c], picture)
            if r == 0:
                axes[r, c].set_title(heads[c], fontsize=7, pad=2)
        if names:
            axes[r, 0].set_ylabel(folded[names[r]], fontsize=7, rotation=0, ha="right", va="center")
    return figure


def _picture(axis: Axes, picture: Picture) -> None:
    style.bare(axis)
    side = 1.0
    whole = (0.0, side, side, 0.0)  # left, right, bottom, top: the first row is at the top
    if picture.image is not None:
        shown = picture.image
        grey = shown.ndim == 3 and shown.shape[-1] == 1
        axis.imshow(shown[..., 0] if grey else shown, cmap="gray", vmin=0, vmax=255, extent=whole)
    if picture.map is not None:
        low, high = (0.0, 1.0) if picture.fixed else _range(picture.map)
        axis.imshow(
            picture.map,
            cmap=style.MAPS,
            vmin=low,
            vmax=high,
            extent=whole,
            alpha=0.6 if picture.image is not None else 1.0,
        )
    if picture.outline is not None and picture.outline.any():
        # One pixel of nothing around, so that a lesion at the border has a closed outline.
        padded = np.pad(picture.outline.astype(float), 1)
        step = side / picture.outline.shape[0]
        places = (np.arange(padded.shape[0]) - 0.5) * step
        axis.contour(places, places, padded, levels=[0.5], colors=[style.OUTLINE], linewidths=0.8)
    if picture.blank:
        axis.text(0.5, 0.5, picture.blank, ha="center", va="center", fontsize=6, color="0.4")
    axis.set(xlim=(0, side), ylim=(side, 0), aspect="equal")


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 1.0, high + 1.0)
