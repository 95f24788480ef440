"""Numbers of single and of resampled images are those of the metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.evaluate import by_image, metrics, overlap, registry, segmentation
from harness.store.predictions import Arrays
from harness.store.result import Rule

N = 40
RULES: tuple[Rule, ...] = ("last", "best")


def _classes() -> Arrays:
    random = np.random.default_rng(0)
    labels = random.integers(4, size=N)
    return {
        **{rule: random.random((N, 4)) + 0.5 * np.eye(4)[labels] for rule in RULES},
        "labels": labels,
        "names": np.asarray([f"{i}" for i in range(N)]),
    }


def _masks() -> Arrays:
    random = np.random.default_rng(1)
    truth = np.zeros((N, 16, 16), bool)
    truth[5:, 4:10, 3:9] = True  # five images without a lesion
    arrays = {
        "truth": segmentation.pack(truth),
        "side": np.asarray(16),
        "labels": np.zeros(N, np.int64),
        "names": np.asarray([f"{i}" for i in range(N)]),
    }
    for rule in RULES:
        predicted = truth ^ (random.random(truth.shape) < 0.1)
        arrays[rule] = segmentation.pack(predicted)
        found = overlap.distances(predicted, truth)
        for name, part in zip(overlap.DISTANCES, ("pooled", "larger"), strict=True):
            arrays[f"{rule}_{name}"] = np.asarray(
                [math.nan if d is None else getattr(d, part) for d in found]
            )
    return arrays


def _chosen(arrays: Arrays, rows: np.ndarray) -> Arrays:
    return {name: a[rows] if a.ndim else a for name, a in arrays.items()}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", [*metrics.METRICS, *overlap.METRICS])
def test_a_metric_of_resampled_images_is_that_of_their_predictions(name: str, rule: Rule) -> None:
    arrays = _masks() if name in overlap.METRICS else _classes()
    metric = registry.find(name)
    statistic = by_image.outcomes(arrays, rule, np.arange(N)).statistic(metric)
    assert statistic is not None
    for rows in (np.arange(N), np.random.default_rng(2).integers(N, size=N)):
        wanted = registry.from_predictions(metric, _chosen(arrays, rows), rule)
        assert statistic(rows) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", ["accuracy", "f1", "iou"])
def test_the_mean_of_a_metric_s_numbers_is_the_metric(name: str) -> None:
    arrays = _masks() if name in overlap.METRICS else _classes()
    metric = registry.find(name)
    values = by_image.outcomes(arrays, "last", np.arange(N)).values(metric)
    assert values is not None
    wanted = registry.from_predictions(metric, arrays, "last")
    assert values.mean() == pytest.approx(wanted, abs=1e-12)


def test_images_come_in_the_order_that_is_asked_for() -> None:
    order = np.random.default_rng(3).permutation(N)
    for arrays, name in ((_classes(), "accuracy"), (_masks(), "iou")):
        metric = registry.find(name)
        straight = by_image.outcomes(arrays, "last", np.arange(N)).values(metric)
        shuffled = by_image.outcomes(arrays, "last", order).values(metric)
        assert straight is not None and shuffled is not None
        np.testing.assert_array_equal(shuffled, straight[order])


def test_what_is_undefined_or_needs_masks_says_so() -> None:
    kappa = registry.find("kappa")
    of_classes = by_image.outcomes(_classes(), "last", np.arange(N))
    statistic = of_classes.statistic(kappa)
    assert statistic is not None and math.isnan(statistic(np.zeros(5, int)))  # one class alone
    assert of_classes.values(kappa) is None
    assert of_classes.statistic(registry.find("f1")) is None
    hd95 = by_image.outcomes(_masks(), "last", np.arange(N)).statistic(registry.find("hd95"))
    assert hd95 is not None and math.isnan(hd95(np.arange(5)))  # no lesion among them
