"""Figure 8: t-SNE of the encoders' features of the reported images, after pre-training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from harness.figures import models
from harness.figures.models import Model, Unusable
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
from harness.report import fold, style
from harness.report.style import Style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEED = 0
"""Seed of t-SNE's random draws."""

PERPLEXITY = 30.0
"""scikit-learn's default; smaller where there are fewer than 91 images."""

PREFERRED = ("mae",)
"""Rows that the paper shows beside the table's subject."""

MOST = 4
"""Methods in a figure of a table that has no subject."""


def make(request: Request) -> Made:
    """Yield a figure per data set with the subject's features and MAE's, as the paper does."""
    subject = request.plan.table.subject
    for column in datasets(request.plan).values():
        found = list(models.pretrained(request, column))
        usable = [m for m in found if isinstance(m, Model) and m.task.has_features]
        chosen = [m for m in usable if m.cell_run.row.name in (*PREFERRED, subject)]
        chosen = chosen if len(chosen) > 1 else usable[:MOST]
        for model in found:
            if isinstance(model, Unusable) and (not chosen or model.row in (*PREFERRED, subject)):
                yield Missing(name="8", why=f"{model.row} on {column.used.name}: {model.why}")
        if not chosen:
            if not found:
                yield Missing(
                    name="8",
                    why=f"no row has a pre-trained vision transformer on {column.used.name}",
                )
            continue
        shown = models.prepared(request, models.reported(request, column))
        points = {}
        for model in chosen:
            with torch.no_grad():
                parts = shown.inputs(model.task).split(models.BATCH)
                features = torch.cat([model.task.features(part) for part in parts])
            points[model.cell_run.row.name] = embedded(features.double().numpy())
        labels = np.asarray(shown.chosen.labels)
        names = tuple(column.used.classes)
        n = len(labels)
        yield Drawing(
            name=file_name(request, "figure8", column.used.name),
            caption=caption_of(
                request,
                "t-SNE of the features of pre-trained encoders",
                (
                    f"{n} evaluated images; perplexity {perplexity(n):g}, started from the"
                    f" principal components, seed {SEED} of t-SNE. Distances between far groups"
                    " and sizes of groups mean nothing in such a picture.",
                ),
                column=column,
                paper="Figure 8",
                seeds=sorted({model.cell_run.seed for model in chosen}),
            ),
            data={
                **facts(request, column),
                "perplexity": perplexity(n),
                "classes": list(names),
                "images": list(shown.chosen.names),
                "labels": labels.astype(int).tolist(),
                "rows": [
                    {
                        **of_run(model.cell_run, model.record.key, model.record.commit),
                        "points": points[model.cell_run.row.name].tolist(),
                    }
                    for model in chosen
                ],
            },
            rows=tuple(_csv(shown.chosen.names, labels, names, points)),
            draw=lambda how, chosen=chosen, points=points, labels=labels, names=names: draw(  # type: ignore[misc]
                [(m.label, points[m.cell_run.row.name]) for m in chosen], labels, names, how
            ),
        )


def perplexity(count: int) -> float:
    """Return the perplexity for a number of images: it must be well below it."""
    return min(PERPLEXITY, max(1.0, (count - 1) / 3))


def embedded(features: np.ndarray) -> np.ndarray:
    """Return the t-SNE of features (n, D) in two dimensions, (n, 2)."""
    from sklearn.manifold import TSNE

    # As the starting point principal components are better than noise, and always the same.
    reduction = TSNE(
        n_components=2,
        perplexity=perplexity(len(features)),
        init="pca",
        learning_rate="auto",
        random_state=SEED,
    )
    points: np.ndarray = reduction.fit_transform(features)
    return points.astype(float)


def _csv(
    images: Sequence[str],
    labels: np.ndarray,
    names: Sequence[str],
    points: dict[str, np.ndarray],
) -> Iterator[dict[str, Cell]]:
    for row, values in points.items():
        for image, label, (x, y) in zip(images, labels, values, strict=True):
            place = {"x": float(x), "y": float(y)}
            yield {"row": row, "image": image, "class": names[int(label)], **place}


def draw(
    shown: Sequence[tuple[str, np.ndarray]],
    labels: np.ndarray,
    names: Sequence[str],
    how: Style,
) -> Figure:
    """Draw a panel per method; colour and shape of a point are its class."""
    across = min(len(shown), max(1, round(how.width / 1.6)))
    down = -(-len(shown) // across)
    columns = max(1, min(len(names), int(how.width / 1.0)))
    below = 0.16 * -(-len(names) // columns) + 0.1
    figure = style.new(how, down * (how.width / across + 0.15) + below)
    grid = list(figure.subplots(down, across, squeeze=False).flat)
    for axis in grid[len(shown) :]:
        axis.set_axis_off()
    classes = fold.all_folded(names, 12, 1)
    titles = fold.all_folded([label for label, _ in shown], round(12.5 * how.width / across), 2)
    for axis, title, (_, points) in zip(grid, titles, shown, strict=False):
        for number, name in enumerate(classes):
            of_class = points[labels == number]
            axis.scatter(
                of_class[:, 0],
                of_class[:, 1],
                s=6,
                c=style.colour(number),
                marker=style.marker(number),
                linewidths=0,
                alpha=0.8,
                label=name,
            )
        axis.set_title(title)
        axis.set(xticks=[], yticks=[])
    handles, legend = grid[0].get_legend_handles_labels()
    figure.legend(
        handles,
        legend,
        loc="outside lower center",
        ncols=columns,
        markerscale=1.5,
        handletextpad=0.1,
        columnspacing=0.8,
    )
    return figure
