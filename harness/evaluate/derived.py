"""What kept predictions of classifiers tell beside the metrics of a record.

Confusion, figures per class, Cohen's kappa and calibration are computed when a table is written.
No training imports this module, so that a change of it leaves all records as they are (no †).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from harness.evaluate import metrics
from harness.spec.quantity import Metric

BINS = 15
"""Bins of equal width of a reliability curve, as in Guo et al. (2017)."""


def cohen_kappa(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return Cohen's kappa without weights; NaN where labels and predictions are all one class.

    kappa = (p_o - p_e) / (1 - p_e) with the observed agreement p_o and the agreement p_e that is
    expected from the margins alone (Cohen 1960).
    """
    table = metrics.confusion(probabilities, labels).astype(np.float64)
    n = table.sum()
    expected = float(table.sum(axis=1) @ table.sum(axis=0))  # n^2 p_e, exact below 2^53
    if expected == n * n:
        return math.nan
    return float((n * np.trace(table) - expected) / (n * n - expected))


def ece(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error of the predicted class, over ``BINS`` bins.

    ECE = sum over the bins of (images in the bin / n) |accuracy - mean confidence| (Guo et al.
    2017, eq. 3). It depends on the number of bins, which a table has to state.
    """
    bins = _filled(probabilities, labels, BINS)
    total = sum(count for count, _, _ in bins)
    return math.fsum(
        [
            count / total * abs(accuracy - confidence)
            for count, confidence, accuracy in bins
            if accuracy is not None and confidence is not None
        ]
    )


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric(
                name="cohen_kappa",
                title="Cohen's kappa",
                better="higher",
                digits=3,
                factor=1.0,
                compute=cohen_kappa,
            ),
            Metric(
                name="ece",
                title=f"ECE ({BINS} bins, %)",
                better="lower",
                digits=2,
                factor=100.0,
                compute=ece,
            ),
        )
    }
)
"""Metrics of classifiers that no record holds, by name."""

OF_CONFIDENCE = frozenset({"ece"})
"""Metrics that a constant answer does not have: it names a class without any confidence."""


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Images whose highest probability lies in (low, high]; the first bin includes 0.

    Attributes:
        low: lower end.
        high: upper end.
        count: number of images.
        confidence: mean highest probability; None without images.
        accuracy: share of images whose predicted class is the label; None without images.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> tuple[Bin, ...]:
    """Return the reliability curve of the predicted class, over bins of equal width.

    Args:
        probabilities: (n, K).
        labels: (n,).
        bins: number of bins.
    """
    edges = _edges(bins).tolist()
    filled = _filled(probabilities, labels, bins)
    return tuple(
        Bin(low=low, high=high, count=count, confidence=confidence, accuracy=accuracy)
        for low, high, (count, confidence, accuracy) in zip(
            edges[:-1], edges[1:], filled, strict=True
        )
    )


@functools.lru_cache(maxsize=16)
def _edges(bins: int) -> np.ndarray:
    return np.linspace(0.0, 1.0, bins + 1)


def _filled(
    probabilities: np.ndarray, labels: np.ndarray, bins: int
) -> list[tuple[int, float | None, float | None]]:
    """Return the count, mean confidence and accuracy of each bin, see ``Bin``."""
    metrics.confusion(probabilities, labels)  # refuses what does not fit
    # In float64: a mean of float32 values would depend on the order of the images.
    confidence = np.asarray(probabilities).max(axis=1).astype(np.float64)
    correct = np.asarray(probabilities).argmax(axis=1) == np.asarray(labels)
    index = np.searchsorted(
        _edges(bins)[1:-1], confidence
    )  # left: an edge belongs to the bin below it
    order = np.argsort(index, kind="stable")
    counts = np.bincount(index, minlength=bins)
    rights = np.bincount(index, weights=correct, minlength=bins)
    ends = np.cumsum(counts).tolist()
    sorted_confidence = confidence[order].tolist()
    return [
        # The mean is rounded once, so that it does not depend on the order of the images.
        (count, math.fsum(sorted_confidence[end - count : end]) / count, int(right) / count)
        if count
        else (0, None, None)
        for count, right, end in zip(counts.tolist(), rights.tolist(), ends, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """What a classifier does with one class; shares lie in 0..1.

    Attributes:
        n: images of the class.
        predicted: images that are predicted as the class.
        recall: share of the class's images that are predicted as it; None without images.
        precision: share of the images predicted as the class that are of it; None without any.
        f1: 2 TP / (n + predicted); None without either.
        auroc: area under the ROC curve of the class against all others, ties counting half; None
            where no image, or every image, is of the class.
    """

    n: int
    predicted: int
    recall: float | None
    precision: float | None
    f1: float | None
    auroc: float | None


def by_class(probabilities: np.ndarray, labels: np.ndarray) -> tuple[ClassFigures, ...]:
    """Return the figures of every class, in the order of the probabilities' columns."""
    table = metrics.confusion(probabilities, labels)
    figures = []
    for k in range(len(table)):
        n, predicted, correct = (int(v) for v in (table[k].sum(), table[:, k].sum(), table[k, k]))
        figures.append(
            ClassFigures(
                n=n,
                predicted=predicted,
                recall=correct / n if n else None,
                precision=correct / predicted if predicted else None,
                f1=2 * correct / (n + predicted) if n + predicted else None,
                auroc=_auroc(np.asarray(probabilities)[:, k], np.asarray(labels) == k),
            )
        )
    return tuple(figures)


def _auroc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    if positive.all() or not positive.any():
        return None
    # Two classes with opposite scores have the same area, so that their mean is this class's;
    # 1 - score instead of -score could round scores that differ to one.
    return metrics.macro_auc(np.stack([-scores, scores], axis=1), positive.astype(np.int64))


def known() -> Mapping[str, Metric]:
    """Return all metrics of classifiers by name: a record's, then those of this module."""
    return {**metrics.METRICS, **METRICS}


def summary(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """Return every metric by name, in natural units; None where one is undefined."""
    return {name: _defined(metric, probabilities, labels) for name, metric in known().items()}


def _defined(metric: Metric, probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    try:
        value = metric.compute(probabilities, labels)
    except ValueError:
        if len(np.unique(labels)) > 1:
            raise
        return None  # of one class alone: AUC and quadratic kappa need two
    return None if math.isnan(value) else value


def pooled(curves: Sequence[Sequence[Bin]]) -> tuple[Bin, ...]:
    """Return the reliability curve of the images of several curves together."""
    return tuple(_merged(bins) for bins in zip(*curves, strict=True))


def _merged(bins: Sequence[Bin]) -> Bin:
    count = sum(b.count for b in bins)

    def mean(values: Sequence[float | None]) -> float | None:
        pairs = zip(bins, values, strict=True)
        total = math.fsum(b.count * value for b, value in pairs if value is not None)
        return total / count if count else None

    return Bin(
        low=bins[0].low,
        high=bins[0].high,
        count=count,
        confidence=mean([b.confidence for b in bins]),
        accuracy=mean([b.accuracy for b in bins]),
    )
