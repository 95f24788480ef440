"""Metrics of classifiers, from class probabilities (n, K) and labels (n,).

Only numpy is required. Values are in natural units (an accuracy lies in 0..1); ``Metric.factor``
scales them for display. The predicted class is the first one with the highest probability.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from harness.spec.quantity import Metric


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose predicted class is the label."""
    table = confusion(probabilities, labels)  # correct predictions lie on the diagonal
    return float(np.trace(table) / table.sum())


def balanced_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean recall over the classes that occur among the labels."""
    table = confusion(probabilities, labels)
    support = table.sum(axis=1)  # images of each class (K,)
    present = support > 0
    return float(np.mean(np.diag(table)[present] / support[present]))


def macro_f1(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean F1 over the classes that occur among the labels or the predictions.

    A class without any correct prediction has an F1 of 0.
    """
    table = confusion(probabilities, labels)
    # F1 = 2 TP / (2 TP + FP + FN), and 2 TP + FP + FN = predicted images + labelled images.
    both = table.sum(axis=0) + table.sum(axis=1)
    present = both > 0
    return float(np.mean(2.0 * np.diag(table)[present] / both[present]))


def macro_auc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean one-vs-rest area under the ROC curve over the classes that occur.

    Ties count half (mid-ranks).

    Raises:
        ValueError: only one class occurs among the labels, which leaves no negative images.
    """
    probabilities, labels = _checked(probabilities, labels)
    present = np.unique(labels)
    _require_two(present)
    areas = [_auc(probabilities[:, k], labels == k) for k in present]
    return float(np.mean(areas))


def kappa(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return Cohen's kappa with quadratic weights, for classes ordered by severity.

    With counts O, weights w_ij = (i - j)^2 and the counts E expected from the margins alone,
    kappa = 1 - sum(w O) / sum(w E) (Cohen 1968); a common factor of w cancels.

    Raises:
        ValueError: only one class occurs among the labels.
    """
    table = confusion(probabilities, labels).astype(np.float64)
    _require_two(np.flatnonzero(table.sum(axis=1)))
    grades = np.arange(table.shape[0])
    weights = (grades[:, None] - grades[None, :]) ** 2
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float(1.0 - (weights * table).sum() / (weights * expected).sum())


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the confusion matrix (K, K) of counts: rows are labels, columns predictions."""
    probabilities, labels = _checked(probabilities, labels)
    classes = probabilities.shape[1]
    # Number the cells row by row, so that one bincount fills the matrix.
    cells = labels * classes + probabilities.argmax(axis=1)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric(
                name="accuracy",
                title="accuracy (%)",
                better="higher",
                digits=2,
                factor=100.0,
                compute=accuracy,
            ),
            Metric(
                name="balanced_accuracy",
                title="balanced accuracy (%)",
                better="higher",
                digits=2,
                factor=100.0,
                compute=balanced_accuracy,
            ),
            Metric(
                name="macro_f1",
                title="macro F1 (%)",
                better="higher",
                digits=2,
                factor=100.0,
                compute=macro_f1,
            ),
            Metric(
                name="macro_auc",
                title="macro AUC (%)",
                better="higher",
                digits=2,
                factor=100.0,
                compute=macro_auc,
            ),
            Metric(
                name="kappa",
                title="quadratic kappa",
                better="higher",
                digits=3,
                factor=1.0,
                compute=kappa,
            ),
        )
    }
)
"""The metrics of classifiers by name."""


def evaluate(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return every metric by name, in natural units.

    Raises:
        ValueError: shapes do not fit, a value is not finite, or only one class occurs.
    """
    return {name: metric.compute(probabilities, labels) for name, metric in METRICS.items()}


def majority(labels: np.ndarray, classes: int, *, metric: str = "accuracy") -> float:
    """Return a metric of the classifier that always predicts the most frequent class.

    Args:
        labels: (n,).
        classes: K.
        metric: a name of ``METRICS``.
    """
    counts = np.bincount(labels, minlength=classes)
    constant = np.zeros((len(labels), classes))
    constant[:, counts.argmax()] = 1.0
    return METRICS[metric].compute(constant, labels)


def collapsed(predictions: np.ndarray) -> bool:
    """Whether all images are predicted as one class; predictions (n,) are class indices."""
    return len(np.unique(predictions)) == 1


def _checked(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise ValueError(
            f"Probabilities {probabilities.shape} and labels {labels.shape} do not fit;"
            " (n, K) and (n,) with n > 0 are needed."
        )
    if not np.isfinite(probabilities).all():
        raise ValueError("Some probabilities are not finite; the model has diverged.")
    labels = labels.astype(np.int64)
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(
            f"Labels reach from {labels.min()} to {labels.max()};"
            f" {probabilities.shape[1]} classes allow 0 to {probabilities.shape[1] - 1}."
        )
    return probabilities, labels


def _require_two(present: np.ndarray) -> None:
    if len(present) < 2:
        raise ValueError(
            "Only one class occurs among the labels; AUC and kappa need two. Evaluate more images."
        )


def _auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return the area under the ROC curve, U / (P N) with the Mann-Whitney statistic U.

    U = R - P (P + 1) / 2, where R is the sum of the positives' ranks, P the number of positives
    and N that of negatives.
    """
    _, position, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # c equal scores whose last has rank r share the mid-rank r - (c - 1) / 2.
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[position]
    positives = int(positive.sum())
    negatives = len(positive) - positives
    statistic = ranks[positive].sum() - positives * (positives + 1) / 2.0
    return float(statistic / (positives * negatives))
