"""Every metric by name: of classifiers (``metrics``) and of segmenters (``overlap``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from harness import metrics, overlap
from harness.data.store import ImageStore, Manifest
from harness.errors import UserError, unknown
from harness.spec import Metric
from harness.table import Column

METRICS: Mapping[str, Metric] = MappingProxyType({**metrics.METRICS, **overlap.METRICS})

CONSTANTS: Mapping[str, bool] = MappingProxyType({"background": False, "foreground": True})
"""The constant segmenters: what each predicts on every pixel; ``harness.report.computed`` has
their labels."""


def find(name: str) -> Metric:
    """Return a metric by name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]


def check(column: Column, manifest: Manifest) -> None:
    """Refuse a column whose data cannot be measured by its metric.

    Raises:
        UserError: the metric is unknown, or needs masks that the data set does not have.
    """
    if column.cost is not None:
        return
    find(column.metric)
    if column.metric in overlap.METRICS:
        check_masks(manifest, repr(column.metric))


def check_masks(manifest: Manifest, needed_by: str) -> None:
    """Refuse a data set without masks.

    Raises:
        UserError: it has none.
    """
    if "masks.npy" not in manifest.files:
        raise UserError(
            f"Data set {manifest.dataset!r} has no masks, which {needed_by} needs; choose one that"
            " has (busi)."
        )


def majority(name: str, labels: np.ndarray, classes: int) -> float | None:
    """Return what answering the most frequent class reaches; None for metrics of segmenters.

    Args:
        name: of the metric.
        labels: (n,).
        classes: K.
    """
    return None if name in overlap.METRICS else metrics.majority(labels, classes, metric=name)


def constants(name: str, reported: ImageStore, size: int) -> dict[str, float | None]:
    """Return what the constant segmenters reach, by name; none for metrics of classifiers.

    A value is None where the metric is undefined.

    Args:
        name: of the metric.
        reported: the evaluated images.
        size: side of the model's input, at which masks are compared.
    """
    if name not in overlap.METRICS:
        return {}
    from harness.images import masks_of

    truth = masks_of(reported, size)
    compute = overlap.METRICS[name].compute
    reached = {c: compute(np.full(truth.shape, v), truth) for c, v in CONSTANTS.items()}
    return {c: None if math.isnan(value) else value for c, value in reached.items()}
