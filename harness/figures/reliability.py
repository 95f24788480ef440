"""Reliability curves: whether a classifier is right as often as its confidence says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.evaluate import derived
from harness.figures.confusion import finished, of_classes, panels
from harness.figures.values import Cell, Drawing, Made, Missing, Request, facts, file_name
from harness.figures.values import caption as caption_of
from harness.report import style
from harness.report.classes import DatasetClasses, RowClasses
from harness.report.numbers import fixed
from harness.report.style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEM = "reliability"


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
            draw=lambda how, dataset=dataset: draw(dataset, how),  # type: ignore[misc]
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


def draw(dataset: DatasetClasses, how: Style) -> Figure:
    """Draw a panel per row, side by side as the width allows."""
    rows = finished(dataset)
    across, down = panels(rows, how, 1.05)
    side = (how.width - 0.4) / across
    named = 1 if len(rows) % across == 0 else min(down, 2)
    figure = style.new(how, down * (side + 0.6) + 0.35 * named)
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for number, axis in enumerate(grid.flat):
        if number >= len(rows):
            axis.set_axis_off()
            continue
        _panel(axis, rows[number], round(15 * side))
        axis.tick_params(labelbottom=number + across >= len(rows))
        if number % across == 0:
            axis.set_ylabel("accuracy")
        if number + across >= len(rows):
            axis.set_xlabel("confidence")
    return figure


def _panel(axis: Axes, row: RowClasses, width: int) -> None:
    bins = row.bins
    total = sum(b.count for b in bins)
    axis.bar(
        [(b.low + b.high) / 2 for b in bins],
        [b.count / total for b in bins],
        width=1 / len(bins),
        color=style.FAINT,
    )
    axis.plot([0, 1], [0, 1], color=style.NEUTRAL, linewidth=0.7, linestyle="--")
    filled = [(b.confidence, b.accuracy) for b in bins if b.count]
    confidences = [x for x, _ in filled if x is not None]
    accuracies = [y for _, y in filled if y is not None]
    axis.plot(confidences, accuracies, "o-", color=style.PALETTE[1], markersize=2.5, clip_on=False)
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axis.set_xticklabels(["0", "0.5", "1"])
    axis.set_yticklabels(["0", "0.5", "1"])
    error = row.metric("ece")
    text = "" if error is None else f"\nECE {fixed(100 * error.mean, 1)} %"
    axis.set_title(f"{style.folded(row.label, width, 2)}{text}", fontsize=7)
