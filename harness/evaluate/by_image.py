"""Metrics image by image and on resampled images, from the stored predictions of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from harness.evaluate import overlap, segmentation
from harness.evaluate.known import MetricError, value_of
from harness.spec.quantity import Metric
from harness.store.predictions import Arrays
from harness.store.result import Rule

Statistic = Callable[[np.ndarray], float]
"""A metric of the images at some positions, which may repeat; NaN where it is undefined."""


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What a model answered for n images, without the masks themselves.

    Attributes:
        labels: (n,) int64.
        probabilities: (n, K) of a classifier, else None.
        counts: pixels of a segmenter's masks, else None.
        distances: by name of the metric, (n,) float64; NaN where a distance is undefined.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None = None
    counts: overlap.Counts | None = None
    distances: Mapping[str, np.ndarray] = field(default_factory=dict)

    def values(self, metric: Metric) -> np.ndarray | None:
        """Return the numbers, (n,) float64, whose mean is a metric; None if it is no such mean."""
        if metric.name == "accuracy" and self.probabilities is not None:
            # Of equal probabilities the first counts, as in ``harness.evaluate.metrics``.
            right: np.ndarray = self.probabilities.argmax(axis=1) == self.labels
            return right.astype(np.float64)
        means = {"f1": overlap.f1_by_image, "iou": overlap.iou_by_image}
        if metric.name in means and self.counts is not None:
            return means[metric.name](self.counts)
        return None

    def statistic(self, metric: Metric) -> Statistic | None:
        """Return a metric as a function of the images that are drawn; None if masks are needed."""
        if self.probabilities is not None and metric.name not in overlap.METRICS:
            probabilities, labels = self.probabilities, self.labels
            return lambda rows: _or_nan(metric, probabilities[rows], labels[rows])
        if metric.name in self.distances:
            distances = self.distances[metric.name]
            return lambda rows: _mean_of_known(distances[rows])
        compute, counts = overlap.of_counts(metric.name), self.counts
        if compute is None or counts is None:
            return None
        return lambda rows: compute(overlap.take(counts, rows))


def outcomes(arrays: Arrays, rule: Rule, order: np.ndarray) -> Outcomes:
    """Return what stored predictions say of each image.

    Args:
        arrays: see ``Evaluator.predictions``.
        rule: the epoch.
        order: (n,) positions in the arrays of the images that are wanted.

    Raises:
        ValueError: arrays have another type or shape than the evaluator writes.
        LookupError: an array is missing.
    """
    labels = np.asarray(arrays["labels"], np.int64)[order]
    if "truth" not in arrays:
        return Outcomes(labels=labels, probabilities=arrays[rule][order])
    side = int(arrays["side"])
    masks, truth = (segmentation.unpack(arrays[name][order], side) for name in (rule, "truth"))
    distances = {
        name: arrays[f"{rule}_{name}"][order]
        for name in overlap.DISTANCES
        if f"{rule}_{name}" in arrays  # hd95_max is younger than the first predictions
    }
    return Outcomes(labels=labels, counts=overlap.count(masks, truth), distances=distances)


def _or_nan(metric: Metric, probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return a metric; NaN where it is undefined, for instance as one class was drawn."""
    try:
        return value_of(metric, probabilities, labels)
    except (ValueError, MetricError):
        return float("nan")


def _mean_of_known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
