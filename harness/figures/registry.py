"""All figures by the names by which they are asked for: the paper's numbers, and words."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from harness.errors import UserError, listed, shown
from harness.figures import (
    attention,
    by_epoch,
    confusion,
    costs,
    curves,
    embedding,
    forest,
    lesions,
    losses,
    reconstructions,
    reliability,
    segmentations,
    with_and_without,
)
from harness.figures.values import Drawing, Figure, Missing, Request, with_labels

RECORDS = "finished runs"
PREDICTIONS = "kept predictions of classifiers"
WEIGHTS = "final weights of pre-training, and the prepared images"
KEPT_MAPS = "runs that were trained with --keep maps"

FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        figure.name: figure
        for figure in (
            Figure(
                name="1",
                title="attention of [CLS] in the last block after pre-training, by method",
                needs=WEIGHTS,
                make=attention.figure_1,
            ),
            Figure(
                name="2",
                title="attention of [CLS] while pre-training goes on, by epoch and method",
                needs=KEPT_MAPS,
                make=by_epoch.figure_2,
            ),
            Figure(
                name="4",
                title="reconstruction and classification loss of pre-training",
                needs=RECORDS,
                make=losses.make,
            ),
            Figure(
                name="5",
                title="masking weights of guided methods, by epoch",
                needs=KEPT_MAPS,
                make=by_epoch.figure_5,
            ),
            Figure(
                name="6",
                title="accuracy with and without masks in fine-tuning",
                needs="finished runs of rows that differ in these masks alone (table3)",
                make=with_and_without.make,
            ),
            Figure(
                name="7",
                title="accuracy over FLOPs, with the time as area",
                needs="finished runs; for areas, times that `harness run` measured",
                make=costs.make,
            ),
            Figure(
                name="8",
                title="t-SNE of the encoders' features after pre-training",
                needs=WEIGHTS,
                make=embedding.make,
            ),
            Figure(
                name="9",
                title="predicted masks of segmentations",
                needs="kept predictions of segmentations (table2)",
                make=segmentations.figure_9,
            ),
            Figure(
                name="10",
                title="predicted masks of segmentations, more images",
                needs="kept predictions of segmentations (table2)",
                make=segmentations.figure_10,
            ),
            Figure(
                name="11",
                title="attention as in figure 1, more images",
                needs=WEIGHTS,
                make=attention.figure_11,
            ),
            Figure(
                name="12",
                title="masking weights at the end of pre-training, by method",
                needs=KEPT_MAPS,
                make=by_epoch.figure_12,
            ),
            Figure(
                name="13",
                title="attention and weights over BTMD, lesions outlined",
                needs=WEIGHTS,
                make=lesions.figure_13,
            ),
            Figure(
                name="14",
                title="attention and weights over HAM10000, lesions outlined",
                needs=WEIGHTS,
                make=lesions.figure_14,
            ),
            Figure(
                name="15",
                title="attention and weights over Messidor-2, lesions outlined where known",
                needs=WEIGHTS,
                make=lesions.figure_15,
            ),
            Figure(
                name="lesions",
                title="attention and weights over any other data set, lesions outlined",
                needs=WEIGHTS,
                make=lesions.others,
            ),
            Figure(
                name="reconstructions",
                title="input, masked and predicted image",
                needs=WEIGHTS,
                make=reconstructions.make,
            ),
            Figure(
                name="confusion",
                title="confusion matrices",
                needs=PREDICTIONS,
                make=confusion.make,
            ),
            Figure(
                name="reliability",
                title="accuracy over confidence",
                needs=PREDICTIONS,
                make=reliability.make,
            ),
            Figure(
                name="curves",
                title="loss and metric of every stage by epoch",
                needs=RECORDS,
                make=curves.make,
            ),
            Figure(
                name="forest",
                title="every number with its interval, beside the paper's, and its verdict",
                needs=RECORDS,
                make=forest.make,
            ),
        )
    }
)
"""Figures by name, in the order in which they are written."""


def chosen(names: Sequence[str] | None) -> tuple[Figure, ...]:
    """Return figures by their names; None gives all.

    Raises:
        UserError: there is none of a name.
    """
    if names is None:
        return tuple(FIGURES.values())
    for name in names:
        if name.removeprefix("figure") not in FIGURES:
            raise _unknown(name)
    return tuple(FIGURES[name.removeprefix("figure")] for name in dict.fromkeys(names))


def _unknown(name: str) -> UserError:
    """Return the error for a name of no figure; numbers resemble each other by chance alone."""
    close = difflib.get_close_matches(name, [n for n in FIGURES if not n.isdigit()], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    if name.removeprefix("figure") == "3":
        hint = " The paper's figure 3 is a drawing of the method."
    known = sorted(FIGURES, key=lambda n: (not n.isdigit(), int(n) if n.isdigit() else 0))
    return UserError(f"No figure {shown(name)!r}.{hint} Known: {listed(known)}.")


def drawings(request: Request, names: Sequence[str] | None) -> Iterator[Drawing | Missing]:
    """Yield the drawings of figures, and what is missing for others.

    Raises:
        UserError: there is none of a name.
    """
    request = with_labels(request)
    for figure in chosen(names):
        for made in figure.make(request):
            if isinstance(made, Missing):
                yield Missing(name=figure.name, why=made.why)
            else:
                yield made
