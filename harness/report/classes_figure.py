"""Figure of confusion matrices and reliability curves, one pair per row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.evaluate import derived
from harness.report import fold, style
from harness.report.classes import DatasetClasses, RowClasses
from harness.report.numbers import fixed
from harness.report.style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAIRS = 2
"""Pairs of panels side by side."""

LEGEND = (
    "Line: accuracy of the images in a bin of confidence; grey: share of all images in it;"
    " dashed: where confidence is accuracy."
)
"""Text about the panels, for their caption."""

LONGEST_NAME = 12
"""Characters of a class's name on an axis."""


def draw(dataset: DatasetClasses) -> bytes | None:
    """Draw a PNG of the rows that have finished runs; None where there is none.

    Left of each pair: the share of each label's images that is predicted as each class, mean over
    the seeds. Right: accuracy over confidence, of the images of all seeds together.
    """
    rows = [row for row in dataset.rows if row.runs]
    if not rows:
        return None
    with style.applied(Style(width=style.PAGE)):
        return style.save(_drawn(rows, dataset.classes), "png")


def _drawn(rows: Sequence[RowClasses], names: tuple[str, ...]) -> Figure:
    pairs = min(PAIRS, len(rows))
    lines = -(-len(rows) // pairs)
    how = Style(width=style.PAGE * pairs / PAIRS if pairs > 1 else style.COLUMN)
    figure = style.new(how, how.width / (2 * pairs) * 2.0 * lines)
    axes = figure.subplots(lines, 2 * pairs, squeeze=False)
    for panel in axes.flat[2 * len(rows) :]:
        panel.set_axis_off()
    titles = fold.all_folded(
        [row.label for row in rows], 24, 2, names=[row.row.name for row in rows]
    )
    for row, title, (left, right) in zip(rows, titles, axes.reshape(-1, 2), strict=False):
        _confusion(left, row, title, names)
        _reliability(right, row)
    return figure


def _confusion(axes: Axes, row: RowClasses, title: str, names: tuple[str, ...]) -> None:
    counts = row.confusion
    support = counts.sum(axis=1, keepdims=True)
    # A class without images has no shares: its line stays empty.
    shares = np.divide(counts, support, out=np.full(counts.shape, np.nan), where=support > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = 7 if len(names) <= 5 else 5
    for (i, j), share in np.ndenumerate(shares):
        if np.isfinite(share):
            colour = "white" if share > 0.5 else "black"
            text = fixed(100 * float(share), 0)
            axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)
    short = fold.all_folded(names, LONGEST_NAME, 1)
    ticks = list(range(len(names)))
    axes.set_xticks(ticks, short, rotation=90)
    axes.set_yticks(ticks, short)
    axes.tick_params(labelsize=6, length=2)
    axes.set_xlabel("predicted", fontsize=6)
    axes.set_ylabel("label (% of its images)", fontsize=6)
    axes.set_title(f"{title}\n{fold.folded(_seeds(row), 28, 2)}", fontsize=6)


def _seeds(row: RowClasses) -> str:
    seeds = ", ".join(str(run.seed) for run in row.runs)
    what = "seed" if len(row.runs) == 1 else "mean over seeds"
    return f"{what} {seeds}; n = {row.runs[0].n}"


def _reliability(axes: Axes, row: RowClasses) -> None:
    bins = row.bins
    total = sum(b.count for b in bins)
    width = 1 / len(bins)
    centres = [(b.low + b.high) / 2 for b in bins]
    axes.bar(
        centres,
        [b.count / total for b in bins],
        width=width,
        color="0.85",
    )
    axes.plot([0, 1], [0, 1], color="0.5", linewidth=0.7, linestyle="--")
    filled = [(b.confidence, b.accuracy) for b in bins if b.count]
    axes.plot(
        [x for x, _ in filled if x is not None],
        [y for _, y in filled if y is not None],
        marker="o",
        markersize=3,
        linewidth=1,
        color="black",  # the rows' colours stand for rows
        clip_on=False,
    )
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.tick_params(labelsize=6, length=2)
    axes.set_xlabel("confidence", fontsize=6)
    ece, accuracy = row.metric("ece"), row.metric("accuracy")
    assert ece is not None, "there is a run"
    assert accuracy is not None, "there is a run"
    text = f"accuracy {fixed(100 * accuracy.mean, 2)} %, ECE {fixed(100 * ece.mean, 2)} %"
    axes.set_title(f"{text}\n{derived.BINS} bins, n = {total} in all", fontsize=6)
