"""Figures 9 and 10: images, their true masks and the masks that the rows predict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.data.prepared import ImageStore
from harness.errors import UserError
from harness.evaluate import registry
from harness.figures import models, pictures
from harness.figures.pictures import Picture
from harness.figures.values import (
    Cell,
    Drawing,
    Made,
    Missing,
    Request,
    datasets,
    facts,
    file_name,
)
from harness.figures.values import caption as caption_of
from harness.plan.columns import ColumnPlan
from harness.report import panels
from harness.report.style import Style
from harness.train.images import pictures_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGES = {"9": 3, "10": 6}
"""Images of each figure."""

NARROW = 0.7
"""Inches of a column from which a method's name fits above it."""


def figure_9(request: Request) -> Made:
    """Yield figure 9 of each data set."""
    return _make(request, "9")


def figure_10(request: Request) -> Made:
    """Yield figure 10 of each data set."""
    return _make(request, "10")


def _make(request: Request, number: str) -> Made:
    columns = [c for c in datasets(request.plan).values() if registry.of_masks(c.column.metric)]
    if not columns:
        yield Missing(
            name=number,
            why=f"{request.plan.name} segments nothing; table2 does: run `harness run table2` and"
            " `harness figures table2`",
        )
    for column in columns:
        paths, missing = panels.predictions(request.plan, column)
        if missing:
            names = ", ".join(missing)
            yield Missing(
                name=number,
                why=f"no kept predictions of {names} on {column.used.name}; run `{request.again}`",
            )
        if not paths:
            continue
        chosen = panels.pick(models.reported(request, column), IMAGES[number])
        try:
            masks = panels.masks(chosen, paths, rule=request.context.rule)
        except UserError as error:
            yield Missing(name=number, why=str(error).rstrip("."))
            continue
        yield _drawing(request, column, chosen, masks, number)


def _drawing(
    request: Request,
    column: ColumnPlan,
    chosen: ImageStore,
    masks: tuple[np.ndarray, dict[str, np.ndarray]],
    number: str,
) -> Drawing:
    truth, predicted = masks
    images = pictures_of(chosen, truth.shape[1]) if request.images else None
    heads = [*([] if images is None else ["Image"]), "Ground truth", *predicted]

    lines = [
        [
            *([] if images is None else [Picture(image=images[i])]),
            *(Picture(image=white(mask[i])) for mask in (truth, *predicted.values())),
        ]
        for i in range(len(chosen))
    ]
    classes = models.classes_of(column, chosen.labels)

    return Drawing(
        name=file_name(request, f"figure{number}", column.used.name),
        caption=caption_of(
            request,
            "Predicted masks of lesions",
            (
                f"White: lesion; {request.context.rule} epoch. Images are chosen by class and name"
                " alone, from those evaluated.",
            ),
            column=column,
            paper=f"Figure {number}",
            seeds=request.plan.seeds[:1],
        ),
        data={
            **facts(request, column),
            "seed": request.plan.seeds[0],
            "images": list(chosen.names),
            "lesion_pixels": truth.sum((1, 2)).tolist(),
            "rows": [
                {"label": label, "iou": [overlap(m, t) for m, t in zip(mask, truth, strict=True)]}
                for label, mask in predicted.items()
            ],
        },
        rows=tuple(_csv(chosen, truth, predicted)),
        draw=lambda how: draw(lines, heads, classes, how),
    )


def draw(
    lines: Sequence[Sequence[Picture]], heads: Sequence[str], classes: Sequence[str], how: Style
) -> Figure:
    """Draw a line per image; where columns are too narrow for their names, one per method."""
    if how.width / len(heads) >= NARROW:
        return pictures.draw(lines, heads, how)
    turned = [list(column) for column in zip(*lines, strict=True)]
    return pictures.draw(turned, classes, how, names=heads)


def white(mask: np.ndarray) -> np.ndarray:
    """Return a mask (S, S) as a picture (S, S, 1), white on black."""
    return (mask[..., None] * 255).astype(np.uint8)


def overlap(mask: np.ndarray, truth: np.ndarray) -> float | None:
    """Return intersection over union of two masks; None where both are empty."""
    union = int((mask | truth).sum())
    return int((mask & truth).sum()) / union if union else None


def _csv(
    chosen: ImageStore, truth: np.ndarray, predicted: dict[str, np.ndarray]
) -> Iterator[dict[str, Cell]]:
    for label, mask in predicted.items():
        for i, image in enumerate(chosen.names):
            yield {
                "label": label,
                "image": image,
                "lesion_pixels": int(truth[i].sum()),
                "predicted_pixels": int(mask[i].sum()),
                "iou": overlap(mask[i], truth[i]),
            }
