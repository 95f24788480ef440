"""Confusion matrices: of every row, the share of each label's images that each class gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import UserError
from harness.figures.values import Cell, Drawing, Made, Missing, Request, facts, file_name
from harness.figures.values import caption as caption_of
from harness.report import classes, fold, style
from harness.report.classes import DatasetClasses, RowClasses
from harness.report.numbers import fixed
from harness.report.style import Style
from harness.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEM = "confusion"

NAME = 10
"""Characters of a class's name."""

BESIDE, CELL = 0.3, 0.22
"""Inches that the word beside the classes' names takes, and that a number takes at least."""


WIDEST = 0.45
"""Inches that a number takes at most."""


def make(request: Request) -> Made:
    """Yield a figure per data set."""
    for dataset in of_classes(request, STEM):
        if isinstance(dataset, Missing):
            yield dataset
            continue
        rows = finished(dataset)
        yield Drawing(
            name=file_name(request, STEM, dataset.column.used.name),
            caption=caption_of(
                request,
                "Confusion matrices",
                (
                    "Rows: labels; columns: predicted classes; numbers: percent of the label's"
                    f" images, mean over the seeds, {request.context.rule} epoch.",
                    f"{counted(rows[0].runs[0].n, 'image')}.",
                ),
                column=dataset.column,
            ),
            data={**facts(request, dataset.column), **_values(dataset)},
            rows=tuple(_csv(dataset)),
            draw=lambda how, dataset=dataset: draw(dataset, how),  # type: ignore[misc]
        )


def of_classes(request: Request, stem: str) -> Iterator[DatasetClasses | Missing]:
    """Yield the classified data sets with a finished run, and the reason where there is none."""
    try:
        collected = classes.collect(request.plan)
    except UserError:
        yield Missing(name=stem, why=f"{request.plan.name} has no column of a classifier's metric")
        return
    for dataset in collected:
        if finished(dataset):
            yield dataset
            continue
        lacking = {why for row in dataset.rows for why in row.lacking.values()}
        why = next(iter(sorted(lacking - {"no record"})), "no finished run")
        yield Missing(name=stem, why=f"{dataset.title}: {why}; run `{request.again}`")


def finished(dataset: DatasetClasses) -> list[RowClasses]:
    """Return the rows that have runs with predictions."""
    return [row for row in dataset.rows if row.runs]


def _values(dataset: DatasetClasses) -> dict[str, Any]:
    return {
        "classes": list(dataset.classes),
        "rows": [
            {
                "row": row.row.name,
                "label": row.label,
                "runs": [
                    {
                        "seed": run.seed,
                        "key": run.key,
                        "commit": run.commit,
                        "n": run.n,
                        "confusion": run.confusion.tolist(),
                    }
                    for run in row.runs
                ],
            }
            for row in finished(dataset)
        ],
    }


def _csv(dataset: DatasetClasses) -> Iterator[dict[str, Cell]]:
    for row in finished(dataset):
        for run in row.runs:
            for (i, j), count in np.ndenumerate(run.confusion):
                yield {
                    "row": row.row.name,
                    "seed": run.seed,
                    "label": dataset.classes[i],
                    "predicted": dataset.classes[j],
                    "images": int(count),
                    "key": run.key,
                }


def draw(dataset: DatasetClasses, how: Style) -> Figure:
    """Draw a matrix per row, side by side as the width allows."""
    rows, count = finished(dataset), len(dataset.classes)
    names = fold.all_folded(dataset.classes, NAME, 1)
    left = BESIDE + max(fold.width(name, 7) for name in names)
    across = max(1, min(len(rows), int((how.width - left) / (CELL * count + 0.12))))
    down = -(-len(rows) // across)
    side = min(WIDEST * count, (how.width - left) / across - 0.12)
    # Where the last line is not full, the line before it has names below it, too.
    named = 1 if len(rows) % across == 0 else min(down, 2)
    figure = style.new(how, down * (side + 0.45) + named * (left + 0.2))
    figure.set_layout_engine("compressed")
    grid = list(figure.subplots(down, across, squeeze=False).flat)
    for axis in grid[len(rows) :]:
        axis.set_axis_off()
    titles = fold.all_folded(
        [row.label for row in rows], round(13 * side), 3, names=[row.row.name for row in rows]
    )
    for number, (axis, row) in enumerate(zip(grid, rows, strict=False)):
        _matrix(axis, row, side / count)
        axis.set_title(titles[number])
        # The last matrix of each column has the names, also where the last line is not full.
        lowest, first = number + across >= len(rows), number % across == 0
        axis.set_xticks(range(count), names if lowest else [""] * count, rotation=90)
        axis.set_yticks(range(count), names if first else [""] * count)
        axis.tick_params(length=0)
        if first:
            axis.set_ylabel("label")
        if lowest:
            axis.set_xlabel("predicted")
    style.trim(figure)
    return figure


def _matrix(axis: Axes, row: RowClasses, cell: float) -> None:
    counts = row.confusion
    support = counts.sum(axis=1, keepdims=True)
    # A class without images has no shares: its line stays empty.
    shares = np.divide(counts, support, out=np.full(counts.shape, np.nan), where=support > 0)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = max(3.0, min(7.0, 72 * cell / 2.7))
    for (i, j), share in np.ndenumerate(shares):
        if np.isfinite(share):
            colour = "white" if share > 0.5 else "black"
            text = fixed(100 * float(share), 0)
            axis.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)
    for spine in axis.spines.values():
        spine.set_visible(False)


def panels(rows: Sequence[RowClasses], how: Style, inches: float) -> tuple[int, int]:
    """Return how many panels of a width stand side by side, and in how many lines."""
    across = max(1, min(len(rows), int(how.width / inches)))
    return across, -(-len(rows) // across)
