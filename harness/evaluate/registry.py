"""The metrics of classification and segmentation by name, and the evaluator of a task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from harness.data.prepared import ImageStore, Manifest
from harness.errors import UserError
from harness.evaluate import derived, metrics, overlap, segmentation
from harness.evaluate.classification import ClassificationEvaluator
from harness.evaluate.evaluator import Evaluator
from harness.evaluate.known import MetricError, plugged, value_of
from harness.evaluate.segmentation import SegmentationEvaluator
from harness.spec.quantity import Metric
from harness.spec.table import Column
from harness.store.predictions import Arrays
from harness.store.result import Evaluation, Rule
from harness.train.images import Images
from harness.train.task import Task


def known() -> Mapping[str, Metric]:
    """Return all metrics by name: of classes, those of plug-ins among them, then of masks."""
    return {**derived.known(), **plugged().values, **overlap.METRICS}


def of_masks(name: str) -> bool:
    """Whether a metric compares masks; the others compare classes."""
    return name in overlap.METRICS


CONSTANTS: Mapping[str, bool] = MappingProxyType({"background": False, "foreground": True})
"""Constant segmenters by name: whether every pixel is predicted as lesion. Their labels in tables
stand in ``harness.report.computed``."""


def find(name: str) -> Metric:
    """Return a metric by name.

    Raises:
        UserError: no metric has that name, or several have it.
    """
    metrics_by_name, plugins = known(), plugged()
    if name not in metrics_by_name or name in plugins.problems:
        raise plugins.missing("metric", name, metrics_by_name)
    return metrics_by_name[name]


def check(column: Column, manifest: Manifest) -> None:
    """Refuse a column whose metric cannot be computed on its data set.

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
        UserError: the data set has no masks.
    """
    if "masks.npy" not in manifest.files:
        raise UserError(
            f"Data set {manifest.dataset!r} has no masks, which {needed_by} needs; choose one that"
            " has (busi; ham10000 where it is prepared with its masks)."
        )


def majority(name: str, labels: np.ndarray, classes: int) -> float | None:
    """Return a metric of predicting the most frequent class; None where there is none.

    Metrics of segmenters and of confidences have none, and some are undefined for one class alone.

    Args:
        name: of the metric.
        labels: (n,).
        classes: K.
    """
    if of_masks(name) or name in derived.OF_CONFIDENCE:
        return None
    if name in metrics.METRICS:
        return metrics.majority(labels, classes, metric=name)
    constant = np.zeros((len(labels), classes))
    constant[:, np.bincount(labels, minlength=classes).argmax()] = 1.0
    try:
        value = value_of(find(name), constant, labels)
    except MetricError:
        return None
    return None if math.isnan(value) else value


def constants(name: str, reported: ImageStore, size: int) -> dict[str, float | None]:
    """Return a metric of every constant segmenter, by name; empty for metrics of classifiers.

    A value is None where the metric is undefined.

    Args:
        name: of the metric.
        reported: the evaluated images.
        size: side of the model's input, at which masks are compared.
    """
    if name not in overlap.METRICS:
        return {}
    from harness.train.images import masks_of

    truth = masks_of(reported, size)
    compute = overlap.METRICS[name].compute
    values = {c: compute(np.full(truth.shape, v), truth) for c, v in CONSTANTS.items()}
    return {c: None if math.isnan(value) else value for c, value in values.items()}


def evaluator_for(task: Task, reported: Images, selected_on: Images) -> Evaluator | None:
    """Return the evaluator of a classifier or segmenter; None for a pre-training."""
    if task.segments:
        return SegmentationEvaluator(task, reported, selected_on)
    return ClassificationEvaluator(task, reported, selected_on) if task.classifies else None


def measures(metric: Metric, evaluation: Evaluation) -> bool:
    """Whether a metric and an evaluation are of the same kind: both of masks, or of classes."""
    return (metric.name in overlap.METRICS) == evaluation.of_masks


def from_predictions(metric: Metric, arrays: Arrays, rule: Rule) -> float | None:
    """Compute a metric from the stored predictions of a run, see ``Evaluator.predictions``.

    Returns:
        the same number as an evaluation at the end of the training, in natural units; None where
        the metric is undefined.

    Raises:
        ValueError: the metric cannot be computed from these predictions.
        MetricError: that of a plug-in fails, or gives no number.
    """
    if metric.name in overlap.METRICS:
        side = int(arrays["side"])
        masks, truth = (segmentation.unpack(arrays[name], side) for name in (rule, "truth"))
        value = value_of(metric, masks, truth)
    else:
        value = value_of(metric, arrays[rule], arrays["labels"])
    return None if math.isnan(value) else value
