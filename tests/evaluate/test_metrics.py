"""Metrics and intervals against hand computation and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.evaluate import metrics
from harness.evaluate.metrics import METRICS

# Six images of three classes; the fourth column of the thought is the prediction.
LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 2, 2])


def _certain(predicted: np.ndarray, classes: int = 3) -> np.ndarray:
    return np.eye(classes)[predicted]


def test_metrics_by_hand() -> None:
    found = metrics.evaluate(_certain(PREDICTED), LABELS)
    assert found["accuracy"] == 4 / 6
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    # F1 = 2 TP / (2 TP + FP + FN): 4 / 5, 2 / 4, 2 / 3
    assert found["macro_f1"] == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    # Quadratic weights: 1 + 1 observed; expected from margins (3, 2, 1) x (2, 2, 2) / 6.
    expected = (3 * 2 * 1 + 3 * 2 * 4 + 2 * 2 * 1 + 2 * 2 * 1 + 1 * 2 * 4 + 1 * 2 * 1) / 6
    assert found["kappa"] == pytest.approx(1 - 2 / expected)


def test_auc_counts_ties_half() -> None:
    scores = np.array([[0.9, 0.1], [0.5, 0.5], [0.5, 0.5], [0.2, 0.8]])
    assert metrics.macro_auc(scores, np.array([0, 0, 1, 1])) == pytest.approx(3.5 / 4)


@settings(max_examples=50, deadline=None)
@given(
    labels=arrays(np.int64, st.integers(8, 60), elements=st.integers(0, 3)),
    seed=st.integers(0, 1000),
)
def test_metrics_agree_with_scikit_learn(labels: np.ndarray, seed: int) -> None:
    from sklearn import metrics as reference

    labels[:4] = [0, 1, 2, 3]
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(4), len(labels)).round(2)
    probabilities /= probabilities.sum(1, keepdims=True)
    choice = probabilities.argmax(1)
    found = metrics.evaluate(probabilities, labels)
    areas = [reference.roc_auc_score(labels == k, probabilities[:, k]) for k in range(4)]
    assert found == pytest.approx(
        {
            "accuracy": reference.accuracy_score(labels, choice),
            "balanced_accuracy": reference.balanced_accuracy_score(labels, choice),
            "macro_f1": reference.f1_score(labels, choice, average="macro"),
            "macro_auc": np.mean(areas),
            "kappa": reference.cohen_kappa_score(labels, choice, weights="quadratic"),
        }
    )


def test_every_metric_prefers_the_truth_in_its_direction() -> None:
    true = _certain(LABELS)
    wrong = _certain((LABELS + 1) % 3)
    for metric in METRICS.values():
        best, worst = metric.compute(true, LABELS), metric.compute(wrong, LABELS)
        assert (best > worst) == (metric.better == "higher")


def test_majority_and_collapse() -> None:
    labels = np.array([1, 1, 1, 0, 2])
    assert metrics.majority(labels, 3) == 0.6
    assert metrics.majority(labels, 3, metric="balanced_accuracy") == pytest.approx(1 / 3)
    assert metrics.collapsed(np.array([2, 2, 2]))
    assert not metrics.collapsed(np.array([2, 2, 1]))


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.ones((2, 3)), np.array([0]), r"\(2, 3\) and labels \(1,\) do not fit"),
        (np.ones((0, 3)), np.zeros(0, int), "do not fit"),
        (np.full((2, 3), np.nan), np.array([0, 1]), "not finite"),
        (np.ones((2, 3)), np.array([0, 3]), "3 classes allow 0 to 2"),
        (np.ones((2, 3)), np.array([1, 1]), "Only one class occurs"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    probabilities: np.ndarray, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(probabilities, labels)
