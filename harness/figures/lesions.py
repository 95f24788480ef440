"""Figures 13 to 15: attention and masking weights over images, the true lesions outlined."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from harness.figures import models, pictures
from harness.figures.attention import csv_rows
from harness.figures.models import Model, Shown, Unusable
from harness.figures.pictures import Picture
from harness.figures.values import (
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
from harness.plan.columns import ColumnPlan
from harness.report.style import Style

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

NUMBERS = {"btmd": "13", "ham10000": "14", "messidor2": "15"}
"""The paper's figures by the data set that they show."""

IMAGES = 4
"""Images of a figure."""


def figure_13(request: Request) -> Made:
    """Yield figure 13, of BTMD."""
    return _of_dataset(request, "btmd")


def figure_14(request: Request) -> Made:
    """Yield figure 14, of HAM10000."""
    return _of_dataset(request, "ham10000")


def figure_15(request: Request) -> Made:
    """Yield figure 15, of Messidor-2."""
    return _of_dataset(request, "messidor2")


def _of_dataset(request: Request, dataset: str) -> Made:
    number = NUMBERS[dataset]
    column = datasets(request.plan).get(dataset)
    if column is None:
        plan = request.plan
        if dataset in {column.dataset for column in plan.whole.columns}:
            why = f"{dataset} of {plan.name} is not among --datasets here; name it there, too"
        else:
            why = (
                f"{plan.name} has no column of {dataset}; name a table that has one, or add"
                f" --datasets {dataset}"
            )
        yield Missing(name=number, why=why)
        return
    yield from _make(request, column, number, f"figure{number}")


def others(request: Request) -> Made:
    """Yield the same figure of every other data set."""
    columns = {n: c for n, c in datasets(request.plan).items() if n not in NUMBERS}
    if not columns:
        yield Missing(
            name="lesions",
            why=f"all data sets of {request.plan.name} are those of figures 13 to 15",
        )
    for column in columns.values():
        yield from _make(request, column, "lesions", "lesions")


def _make(request: Request, column: ColumnPlan, number: str, stem: str) -> Made:
    subject = request.plan.table.subject
    found = [
        model
        for model in models.pretrained(request, column)
        if not subject or _row(model) in (subject, _first(request, subject))
    ]
    for model in found:
        if isinstance(model, Unusable):
            yield Missing(name=number, why=f"{model.row} on {column.used.name}: {model.why}")
    usable = [model for model in found if isinstance(model, Model)]
    shown = models.images(request, column, IMAGES) if usable else None
    for model in usable:
        assert shown is not None
        inputs = shown.inputs(model.task)
        maps, weights = models.attention(model.task, inputs), None
        if maps is not None:
            weights = models.masking_weights(model.task, inputs)
        if maps is None or weights is None:
            continue
        yield _drawing(
            request,
            column,
            model,
            shown,
            {
                "attention": maps.mean(axis=1),
                "weight": weights,
            },
            stem,
        )
        return
    if not any(isinstance(model, Unusable) for model in found):
        yield Missing(
            name=number,
            why=f"no row masks by attention in its pre-training on {column.used.name}",
        )


def _row(model: Model | Unusable) -> str:
    return model.row if isinstance(model, Unusable) else model.cell_run.row.name


def _first(request: Request, subject: str) -> str:
    """Return the first row that shares the subject's pre-training."""
    chains = request.plan.chains
    wanted = chains.get(subject, ())[:1]
    return next((name for name, chain in chains.items() if chain[:1] == wanted), subject)


def _drawing(
    request: Request,
    column: ColumnPlan,
    model: Model,
    shown: Shown,
    maps: dict[str, np.ndarray],
    stem: str,
) -> Drawing:
    number = stem.removeprefix("figure")
    outlined = (
        "Outline: the true lesion."
        if shown.truth is not None
        else "The data set has no lesion masks."
    )
    return Drawing(
        name=file_name(request, stem, column.used.name),
        caption=caption_of(
            request,
            f"Attention of [CLS] and masking weights after the pre-training of {model.label}",
            (
                "The weights are those that masks would follow if they were computed from the"
                " final encoder. Images are chosen by class and name alone, from those evaluated.",
                outlined,
            ),
            column=column,
            paper=f"Figure {number}" if number.isdigit() else "",
            seeds=[model.cell_run.seed],
        ),
        data={
            **facts(request, column),
            **of_run(model.cell_run, model.record.key, model.record.commit),
            "images": list(shown.chosen.names),
            "classes": models.classes_of(column, shown.chosen.labels),
            **{name: values.astype(float).tolist() for name, values in maps.items()},
        },
        rows=tuple(
            {"row": model.cell_run.row.name, **line, "weight": float(weight)}
            for line, weight in zip(
                csv_rows(shown, {model.cell_run.row.name: maps["attention"]}, "attention"),
                maps["weight"].ravel(),
                strict=True,
            )
        ),
        draw=_draws(shown, maps, images=request.images),
    )


def _draws(shown: Shown, maps: dict[str, np.ndarray], *, images: bool) -> Callable[[Style], Canvas]:
    def draw(how: Style) -> Canvas:
        lines = []
        for i in range(len(shown.chosen)):
            outline = None if shown.truth is None else shown.truth[i]
            image = shown.pictures[i] if images else None
            first = [Picture(image=image, outline=outline)] if images else []
            lines.append(
                [
                    *first,
                    Picture(image=image, map=maps["attention"][i], outline=outline),
                    Picture(image=image, map=maps["weight"][i], outline=outline, fixed=True),
                ]
            )
        heads = ["Attention", "Masking weight"]
        return pictures.draw(lines, ["Image", *heads] if images else heads, how)

    return draw
