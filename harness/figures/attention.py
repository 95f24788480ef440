"""Figures 1 and 11: the attention of [CLS] in the last block after pre-training, by method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.figures import models, pictures
from harness.figures.models import Model, Shown, Unusable
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
    of_run,
)
from harness.figures.values import caption as caption_of

IMAGES = {"1": 3, "11": 6}
"""Images of each figure; the first of figure 11 are those of figure 1."""


def figure_1(request: Request) -> Made:
    """Yield figure 1 of each data set."""
    return _make(request, "1")


def figure_11(request: Request) -> Made:
    """Yield figure 11 of each data set."""
    return _make(request, "11")


def _make(request: Request, number: str) -> Made:
    for column in datasets(request.plan).values():
        usable: list[Model] = []
        found = list(models.pretrained(request, column))
        for model in found:
            if isinstance(model, Unusable):
                why = f"{model.row} on {column.used.name}: {model.why}"
                yield Missing(name=number, why=why)
            else:
                usable.append(model)
        shown = models.images(request, column, IMAGES[number]) if usable else None
        maps = {}
        for model in usable:
            assert shown is not None
            map_ = models.attention(model.task, shown.inputs(model.task))
            if map_ is not None:
                maps[model.cell_run.row.name] = map_
        attending = [model for model in usable if model.cell_run.row.name in maps]
        if shown is None or not attending:
            if len(usable) == len(found):  # else the reasons are told above
                yield Missing(
                    name=number,
                    why=f"no row has a pre-trained vision transformer on {column.used.name}",
                )
            continue
        means = {name: map_.mean(axis=1) for name, map_ in maps.items()}
        yield Drawing(
            name=file_name(request, f"figure{number}", column.used.name),
            caption=caption_of(
                request,
                "Attention of [CLS] to the patches in the encoder's last block after pre-training",
                (
                    "Mean of the heads; each map from its lowest (dark) to its highest value"
                    " (bright). Images are chosen by class and name alone, from those evaluated.",
                    "Outline: the true lesion." if shown.truth is not None else "",
                ),
                column=column,
                paper=f"Figure {number}",
                seeds=sorted({model.cell_run.seed for model in attending}),
            ),
            data={
                **facts(request, column),
                "images": list(shown.chosen.names),
                "classes": models.classes_of(column, shown.chosen.labels),
                "rows": [
                    {
                        **of_run(model.cell_run, model.record.key, model.record.commit),
                        "attention": _rounded(means[model.cell_run.row.name]),
                    }
                    for model in attending
                ],
            },
            rows=tuple(csv_rows(shown, means, "attention")),
            draw=lambda how, shown=shown, attending=attending, means=means: pictures.draw(  # type: ignore[misc]
                grid(shown, [means[m.cell_run.row.name] for m in attending], images=request.images),
                heads([m.label for m in attending], images=request.images),
                how,
            ),
        )


def heads(labels: Sequence[str], *, images: bool) -> list[str]:
    """Return the headings of ``grid``."""
    return [*(["Image"] if images else []), *labels]


def grid(shown: Shown, maps: Sequence[np.ndarray], *, images: bool) -> list[list[Picture]]:
    """Return a line per image: the image, then each map with the lesion's outline."""
    lines = []
    for i in range(len(shown.chosen)):
        outline = None if shown.truth is None else shown.truth[i]
        line = [Picture(image=shown.pictures[i], outline=outline)] if images else []
        lines.append([*line, *(Picture(map=map_[i], outline=outline) for map_ in maps)])
    return lines


def csv_rows(shown: Shown, maps: dict[str, np.ndarray], name: str) -> Iterator[dict[str, Cell]]:
    """Yield a line per row, image and patch."""
    for row, values in maps.items():
        for i, image in enumerate(shown.chosen.names):
            for (y, x), value in np.ndenumerate(values[i]):
                yield {"row": row, "image": image, "y": y, "x": x, name: float(value)}


def _rounded(values: np.ndarray) -> list[object]:
    listed: list[object] = values.astype(float).tolist()
    return listed
