"""Figures per class, kappa and calibration against scikit-learn and by hand."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.canonical import types_of
from harness.evaluate import derived, metrics, registry
from harness.plan import catalog
from harness.sources import digest as source_digest

CLASSES = 4


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw probabilities and labels: with absent classes, collapsed models and many ties."""
    n = draw(st.integers(2, 40))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    labels = random.integers(0, draw(st.integers(1, CLASSES)), n)
    digits = draw(st.sampled_from([1, 2, 7]))
    probabilities = random.dirichlet(np.ones(CLASSES), n).round(digits)
    if draw(st.booleans()):  # a collapsed model
        probabilities[:, 1] += 1.0
    probabilities /= np.maximum(probabilities.sum(1, keepdims=True), 1e-9)
    return probabilities.astype(np.float32), labels


@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_figures_per_class_are_those_of_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn import metrics as reference

    probabilities, labels = case
    choice = probabilities.argmax(1)
    every = list(range(CLASSES))
    assert (
        metrics.confusion(probabilities, labels)
        == reference.confusion_matrix(labels, choice, labels=every)
    ).all()
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        labels, choice, labels=every, zero_division=np.nan
    )
    for k, found in enumerate(derived.by_class(probabilities, labels)):
        assert found.n == support[k]
        assert found.predicted == (choice == k).sum()
        assert _same(found.recall, recall[k])
        assert _same(found.precision, precision[k])
        if found.n + found.predicted:
            assert found.f1 == pytest.approx(f1[k])
        else:
            assert found.f1 is None
        if 0 < support[k] < len(labels):
            area = reference.roc_auc_score(labels == k, probabilities[:, k])
            assert found.auroc == pytest.approx(area)
        else:
            assert found.auroc is None


@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_summaries_are_those_of_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn import metrics as reference

    probabilities, labels = case
    choice = probabilities.argmax(1)
    found = derived.summary(probabilities, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are predicted and do not occur
        assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, choice))
        assert found["balanced_accuracy"] == pytest.approx(
            reference.balanced_accuracy_score(labels, choice)
        )
        assert found["macro_f1"] == pytest.approx(
            reference.f1_score(labels, choice, average="macro", zero_division=0)
        )
        assert _same(found["cohen_kappa"], reference.cohen_kappa_score(labels, choice))
        if len(np.unique(labels)) > 1:
            # All grades are named: without, it would close the gap of a grade that is absent.
            quadratic = reference.cohen_kappa_score(
                labels, choice, labels=list(range(CLASSES)), weights="quadratic"
            )
            assert found["kappa"] == pytest.approx(quadratic)
        else:
            assert found["kappa"] is None
            assert found["macro_auc"] is None


@settings(max_examples=40, deadline=None)
@given(case=cases(), bins=st.integers(1, 20))
def test_reliability_is_that_of_scikit_learn(
    case: tuple[np.ndarray, np.ndarray], bins: int
) -> None:
    from sklearn.calibration import calibration_curve

    probabilities, labels = case
    confidence = probabilities.max(1).astype(np.float64)
    correct = probabilities.argmax(1) == labels
    found = derived.reliability(probabilities, labels, bins)
    filled = [b for b in found if b.count]
    accuracy, mean = calibration_curve(correct, np.minimum(confidence, 1.0), n_bins=bins)
    assert [b.accuracy for b in filled] == pytest.approx(list(accuracy))
    assert [b.confidence for b in filled] == pytest.approx(list(mean), abs=1e-6)
    assert sum(b.count for b in found) == len(labels)


def _same(ours: float | None, theirs: float) -> bool:
    return math.isnan(theirs) if ours is None else ours == pytest.approx(theirs)


def test_calibration_by_hand() -> None:
    # Two bins: confidences .5, .4 (one of two right) and .9, .8 (one of two right).
    probabilities = np.array([[0.5, 0.5], [0.6, 0.4], [0.9, 0.1], [0.2, 0.8]])
    labels = np.array([0, 1, 0, 0])
    low, high = derived.reliability(probabilities, labels, 2)
    assert (low.count, low.confidence, low.accuracy) == (1, 0.5, 1.0)
    assert (high.count, high.accuracy) == (3, pytest.approx(1 / 3))
    assert high.confidence == pytest.approx((0.6 + 0.9 + 0.8) / 3)
    # In 15 bins each image is alone: |1 - .5|, |0 - .6|, |1 - .9|, |0 - .8|, each of weight 1/4.
    assert derived.ece(probabilities, labels) == pytest.approx((0.5 + 0.6 + 0.1 + 0.8) / 4)


def test_an_edge_belongs_to_the_bin_below_it_and_zero_to_the_first() -> None:
    probabilities = np.array([[0.5, 0.25], [0.0, 0.0], [1.0, 0.0]])
    counts = [b.count for b in derived.reliability(probabilities, np.array([0, 0, 0]), 2)]
    assert counts == [2, 1]


def test_curves_of_runs_are_pooled_by_their_images() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(3), 50)
    labels = random.integers(0, 3, 50)
    halves = [derived.reliability(probabilities[i::2], labels[i::2]) for i in range(2)]
    whole = derived.reliability(probabilities, labels)
    for ours, theirs in zip(derived.pooled(halves), whole, strict=True):
        assert (ours.count, ours.accuracy) == (theirs.count, pytest.approx(theirs.accuracy))
        assert ours.confidence == pytest.approx(theirs.confidence)


def test_a_collapsed_model_has_a_kappa_of_zero() -> None:
    constant = np.tile([0.7, 0.2, 0.1], (6, 1))
    labels = np.array([0, 0, 0, 1, 1, 2])
    assert derived.cohen_kappa(constant, labels) == 0
    assert derived.ece(constant, labels) == pytest.approx(0.2)
    assert all(c.auroc == 0.5 for c in derived.by_class(constant, labels))  # all are ties


def test_what_cannot_be_computed_is_refused_not_hidden() -> None:
    broken = np.array([[np.nan, 1.0], [0.5, 0.5]])
    with pytest.raises(ValueError, match="not finite"):
        derived.summary(broken, np.array([0, 1]))


def test_the_constant_answer_has_a_kappa_and_no_calibration() -> None:
    labels = np.array([1, 1, 1, 0, 2])
    assert registry.majority("cohen_kappa", labels, 3) == 0
    assert registry.majority("ece", labels, 3) is None


@pytest.mark.parametrize("name", derived.METRICS)
def test_each_metric_prefers_the_truth_in_its_direction(name: str) -> None:
    labels = np.array([0, 0, 1, 1, 2])
    metric = registry.find(name)
    true, wrong = (metric.compute(np.eye(3)[x], labels) for x in (labels, (labels + 1) % 3))
    assert (true > wrong) == (metric.better == "higher")


def test_no_training_depends_on_this_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its change marks no record with †; that of ``metrics`` marks all."""
    _, table = catalog.load("table1")
    stages = table.rows[0].stages
    before = source_digest.digest_of(types_of(stages))

    def after_reading(module: str) -> str:
        from harness.sources.modules import Lookup

        original = Lookup.text
        monkeypatch.setattr(source_digest, "_KNOWN", {})
        with monkeypatch.context() as patch:
            patch.setattr(
                Lookup,
                "text",
                lambda self, file: (
                    original(self, file) + (b"\nNEW = 1\n" if file.name == module else b"")
                ),
            )
            return source_digest.digest_of(types_of(stages))

    assert after_reading("derived.py") == before
    assert after_reading("metrics.py") != before
