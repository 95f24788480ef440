"""Metrics of classification, each with its direction; computed from per-image probabilities."""

from __future__ import annotations

import numpy as np

from harness.spec import Metric


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose most probable class is the label."""
    return float((probabilities.argmax(1) == labels).mean())


def balanced_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean recall over the classes that occur."""
    table = confusion(probabilities.argmax(1), labels, probabilities.shape[1])
    totals = table.sum(1)
    present = totals > 0
    return float((np.diag(table)[present] / totals[present]).mean())


def macro_f1(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean F1 over the classes that occur or are predicted (0 where no hit)."""
    table = confusion(probabilities.argmax(1), labels, probabilities.shape[1])
    total = table.sum(1) + table.sum(0)
    present = total > 0
    return float((2 * np.diag(table)[present] / total[present]).mean())


def macro_auc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean one-against-rest area under the ROC curve, over classes with both sides.

    The probability that an image of the class ranks above another, ties counted half.
    """
    areas = []
    for k in range(probabilities.shape[1]):
        positive = labels == k
        count = int(positive.sum())
        if 0 < count < len(labels):
            ranks = _mean_ranks(probabilities[:, k])
            above = ranks[positive].sum() - count * (count + 1) / 2
            areas.append(above / (count * (len(labels) - count)))
    return float(np.mean(areas)) if areas else 0.5


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: np.ndarray = (last - (counts - 1) / 2)[inverse]
    return mean


def quadratic_kappa(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return Cohen's kappa with quadratic weights, for ordered classes; 0 without variation."""
    classes = probabilities.shape[1]
    table = confusion(probabilities.argmax(1), labels, classes).astype(float)
    distance = (np.arange(classes)[:, None] - np.arange(classes)) ** 2
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    chance = float((distance * expected).sum())
    return 1 - float((distance * table).sum()) / chance if chance else 0.0


def confusion(predictions: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return counts (K, K): rows are labels, columns predictions."""
    flat = np.bincount(labels * classes + predictions, minlength=classes * classes)
    return flat.reshape(classes, classes)


def collapsed(predictions: np.ndarray) -> bool:
    """Whether all images are given one class."""
    return len(np.unique(predictions)) == 1


METRICS = {
    m.name: m
    for m in (
        Metric(
            name="accuracy",
            title="Top-1 accuracy (%)",
            better="higher",
            digits=2,
            factor=100,
            compute=accuracy,
        ),
        Metric(
            name="balanced_accuracy",
            title="Balanced accuracy (%)",
            better="higher",
            digits=2,
            factor=100,
            compute=balanced_accuracy,
        ),
        Metric(
            name="macro_f1",
            title="Macro F1 (%)",
            better="higher",
            digits=2,
            factor=100,
            compute=macro_f1,
        ),
        Metric(
            name="macro_auc",
            title="Macro AUC (%)",
            better="higher",
            digits=2,
            factor=100,
            compute=macro_auc,
        ),
        Metric(
            name="kappa",
            title="Quadratic kappa",
            better="higher",
            digits=3,
            factor=1,
            compute=quadratic_kappa,
        ),
    )
}


def evaluate(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return every metric of probabilities (n, K) and labels (n,), in natural units."""
    return {name: metric.compute(probabilities, labels) for name, metric in METRICS.items()}
