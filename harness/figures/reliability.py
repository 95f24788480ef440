"""Reliability curves: whether a classifier is right as often as its confidence says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness.evaluate import derived
from harness.figures.confusion import finished, of_classes, panels
from harness.figures.values import Cell, Drawing, Made, Missing, Request, facts, file_name
from harness.figures.values import caption as caption_of
from harness.report import fold, looks, style
from harness.report.classes import DatasetClasses, RowClasses
from harness.report.looks import Look
from harness.report.numbers import fixed
from harness.report.style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEM = "reliability"

TICKS = ("0", "50", "100")
"""Numbers on both axes, in percent."""

NARROW = 0.85
"""Width of a panel in inches from which the word confidence fits below it."""


def make(request: Request) -> Made:
    """Yield a figure per data set."""
    for dataset in of_classes(request, STEM):
        if isinstance(dataset, Missing):
            yield dataset
            continue
        yield Drawing(
            name=file_name(request, STEM, dataset.column.used.name),
            caption=caption_of(
                request,
                "Accuracy over confidence",
                (
                    f"Line: accuracy of the images in each of {derived.BINS} bins of confidence;"
                    " bars: share of the images; dashed: where both are equal.",
                    "ECE: expected calibration error, mean over the seeds;"
                    f" {request.context.rule} epoch, the images of all seeds together.",
                ),
                column=dataset.column,
            ),
            data={**facts(request, dataset.column), "rows": list(_values(dataset))},
            rows=tuple(_csv(dataset)),
            draw=lambda how, dataset=dataset: draw(  # type: ignore[misc]
                dataset, how, looks.of_table(request.plan.whole)
            ),
        )


def _values(dataset: DatasetClasses) -> Iterator[dict[str, Any]]:
    for row in finished(dataset):
        error, accuracy = row.metric("ece"), row.metric("accuracy")
        yield {
            "row": row.row.name,
            "label": row.label,
            "ece": None if error is None else error.mean,
            "accuracy": None if accuracy is None else accuracy.mean,
            "runs": [{"seed": r.seed, "key": r.key, "commit": r.commit} for r in row.runs],
            "bins": [
                {
                    "low": b.low,
                    "high": b.high,
                    "images": b.count,
                    "confidence": b.confidence,
                    "accuracy": b.accuracy,
                }
                for b in row.bins
            ],
        }


def _csv(dataset: DatasetClasses) -> Iterator[dict[str, Cell]]:
    for row in finished(dataset):
        for b in row.bins:
            yield {
                "row": row.row.name,
                "low": b.low,
                "high": b.high,
                "images": b.count,
                "confidence": b.confidence,
                "accuracy": b.accuracy,
            }


def draw(
    dataset: DatasetClasses, how: Style, look: Mapping[str, Look] = MappingProxyType({})
) -> Figure:
    """Draw a panel per row, side by side as the width allows; shares are in percent."""
    rows = finished(dataset)
    across, down = panels(rows, how, 1.05)
    side = (how.width - 0.4) / across
    named = 1 if len(rows) % across == 0 else min(down, 2)
    figure = style.new(how, down * (side + 0.6) + 0.35 * named)
    figure.set_layout_engine("compressed")
    grid = list(figure.subplots(down, across, squeeze=False).flat)
    for axis in grid[len(rows) :]:
        axis.set_axis_off()
    titles = fold.all_folded(
        [row.label for row in rows],
        round(13.5 * (side - 0.1)),
        3,
        names=[row.row.name for row in rows],
    )
    for number, (axis, row) in enumerate(zip(grid, rows, strict=False)):
        lowest, first = number + across >= len(rows), number % across == 0
        _panel(axis, row, look.get(row.row.name) or Look(number=1))
        axis.set_xticklabels(TICKS if lowest else [""] * len(TICKS))
        axis.set_yticklabels(TICKS if first else [""] * len(TICKS))
        error = row.metric("ece")
        text = "" if error is None else f"\nECE {fixed(100 * error.mean, 1)} %"
        axis.set_title(f"{titles[number]}{text}", fontsize=7)
        if first:
            axis.set_ylabel("accuracy (%)")
        if lowest:
            axis.set_xlabel("confidence (%)" if side > NARROW else "conf. (%)")
    style.trim(figure)
    return figure


def _panel(axis: Axes, row: RowClasses, look: Look) -> None:
    bins = row.bins
    total = sum(b.count for b in bins)
    axis.bar(
        [100 * (b.low + b.high) / 2 for b in bins],
        [100 * b.count / total for b in bins],
        width=100 / len(bins),
        color=style.FAINT,
    )
    axis.plot([0, 100], [0, 100], color=style.NEUTRAL, linewidth=0.7, linestyle="--")
    filled = [(b.confidence, b.accuracy) for b in bins if b.count]
    axis.plot(
        [100 * x for x, _ in filled if x is not None],
        [100 * y for _, y in filled if y is not None],
        "-",
        marker=look.marker,
        color=look.colour,
        markersize=2.5,
        clip_on=False,
    )
    axis.set(xlim=(0, 100), ylim=(0, 100), aspect="equal", xticks=[0, 50, 100], yticks=[0, 50, 100])
