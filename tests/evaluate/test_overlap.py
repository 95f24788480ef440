"""Metrics of segmentations against hand computation, scipy and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.evaluate import overlap
from harness.evaluate.overlap import METRICS, Hausdorff95

SMOOTH = 1e-5


def _squares(*corners: tuple[int, int, int, int]) -> np.ndarray:
    """Return one 8 x 8 mask a rectangle: top, left, height, width."""
    masks = np.zeros((len(corners), 8, 8), bool)
    for mask, (top, left, height, width) in zip(masks, corners, strict=True):
        mask[top : top + height, left : left + width] = True
    return masks


# Half overlapping; the same; nothing in both; a prediction where there is no lesion.
TRUTH = _squares((0, 0, 4, 4), (2, 2, 3, 3), (0, 0, 0, 0), (0, 0, 0, 0))
PREDICTED = _squares((0, 2, 4, 4), (2, 2, 3, 3), (0, 0, 0, 0), (1, 1, 2, 2))


def test_metrics_by_hand() -> None:
    found = overlap.evaluate(PREDICTED, TRUTH)
    f1, iou = [16 / 32, 1, 1, 0], [8 / 24, 1, 1, 0]
    assert found["f1"] == pytest.approx(sum(f1) / 4)
    assert found["iou"] == pytest.approx(sum(iou) / 4)
    assert found["f1_lesions"] == pytest.approx(sum(f1[:2]) / 2)
    assert found["iou_lesions"] == pytest.approx(sum(iou[:2]) / 2)
    # 8 + 9 pixels in both; 16 + 9 + 4 predicted, 16 + 9 true, so 37 in either.
    assert found["f1_pooled"] == pytest.approx(2 * 17 / (29 + 25))
    assert found["iou_pooled"] == pytest.approx(17 / 37)
    # All four images are one batch.
    batch = (17 + SMOOTH) / (37 + SMOOTH)
    assert found["iou_released"] == pytest.approx(batch, abs=1e-12)
    assert found["f1_released"] == pytest.approx(2 * batch / (1 + batch), abs=1e-12)
    assert overlap.f1_by_image(overlap.count(PREDICTED, TRUTH)).tolist() == f1
    assert overlap.iou_by_image(overlap.count(PREDICTED, TRUTH)).tolist() == iou


def test_the_released_code_pools_eight_images_in_their_order() -> None:
    """Nine images: the last one is a batch of its own and counts a ninth."""
    truth = _squares(*[(0, 0, 2, 2)] * 8, (0, 0, 4, 4))
    predicted = _squares(*[(0, 0, 2, 2)] * 4, *[(0, 0, 1, 2)] * 4, (0, 0, 4, 1))
    first, last = (24 + SMOOTH) / (32 + SMOOTH), (4 + SMOOTH) / (16 + SMOOTH)
    found = overlap.evaluate(predicted, truth)
    assert found["iou_released"] == pytest.approx((8 * first + last) / 9, abs=1e-12)
    f1 = [2 * x / (1 + x) for x in (first, last)]
    assert found["f1_released"] == pytest.approx((8 * f1[0] + f1[1]) / 9, abs=1e-12)
    assert found["f1"] == pytest.approx((4 * 1 + 4 * 2 / 3 + 8 / 20) / 9)
    other = np.roll(np.arange(9), 1)
    moved = overlap.evaluate(predicted[other], truth[other])
    assert moved["f1_released"] != pytest.approx(found["f1_released"], abs=1e-4)
    assert moved["f1"] == pytest.approx(found["f1"])


def test_thresholds_are_exceeded_not_met() -> None:
    maps = np.full((1, 8, 8), 0.5)
    maps[0, :4] = 0.7
    assert overlap.count(maps, TRUTH[:1]).predicted.tolist() == [32]
    assert overlap.count(maps, TRUTH[:1], threshold=0.4).predicted.tolist() == [64]
    assert overlap.count(maps, TRUTH[:1], threshold=0.7).predicted.tolist() == [0]


def test_hausdorff_by_hand() -> None:
    one, other = _squares((0, 0, 1, 1), (3, 4, 1, 1))
    assert overlap.hausdorff95(one, other) == Hausdorff95(5.0, 5.0)
    assert overlap.hausdorff95(one, one) == Hausdorff95(0.0, 0.0)
    assert overlap.hausdorff95(one, np.zeros_like(one)) is None
    assert overlap.hausdorff95(np.zeros_like(one), np.zeros_like(one)) is None
    # Outlines of 12 pixels each, 3 apart: columns 0..3 against columns 3..6.
    left, right = _squares((0, 0, 4, 4), (0, 3, 4, 4))
    apart = [3] * 4 + [2] * 2 + [1] * 2 + [0] * 4
    # Both directions have the same distances, in rows of the sorted 3 3 3 3 2 2 1 1 0 0 0 0.
    found = overlap.hausdorff95(left, right)
    assert found is not None
    assert found.pooled == pytest.approx(np.percentile(apart * 2, 95))
    assert found.larger == pytest.approx(np.percentile(apart, 95)) == 3.0
    by_image = overlap.distances(PREDICTED, TRUTH)
    assert by_image[1:] == (Hausdorff95(0.0, 0.0), None, None)
    assert by_image[0] is not None
    means = overlap.evaluate(PREDICTED, TRUTH)
    assert means["hd95"] == pytest.approx(by_image[0].pooled / 2)
    assert means["hd95_max"] == pytest.approx(by_image[0].larger / 2)


def test_the_two_definitions_differ_where_one_direction_is_far_off() -> None:
    """A row of 40 pixels, and the same with n pixels more, 10 rows below the first ones.

    From the row all 40 distances are 0; towards it 40 are 0 and n are 10, so that of 40 + n sorted
    ones those from place 40 on (counted from 0) are 10. The percentile is at 0.95 (40 + n - 1):
    38 for n = 1, 38.95 for 2, 39.9 for 3 (nine tenths between 0 and 10) and 40.85 for 4. Pooled,
    those from place 80 on are 10 and it is at 0.95 (80 + n - 1), 77.9 for n = 3, 82.65 for 8.
    """
    row = np.zeros((20, 40), bool)
    row[2] = True
    expected = {1: (0.0, 0.0), 2: (0.0, 0.0), 3: (0.0, 9.0), 4: (0.0, 10.0)}
    for count, (pooled, larger) in expected.items():
        other = row.copy()
        other[12, :count] = True
        for pair in ((row, other), (other, row)):
            found = overlap.hausdorff95(*pair)
            assert found is not None
            assert (found.pooled, found.larger) == pytest.approx((pooled, larger))
    # Eight of 88 distances are 10; more than one in twenty: both say 10.
    other = row.copy()
    other[12, :8] = True
    assert overlap.hausdorff95(row, other) == Hausdorff95(10.0, 10.0)


def test_both_distances_are_metrics_that_are_better_when_lower() -> None:
    for name in overlap.DISTANCES:
        assert overlap.METRICS[name].better == "lower"
        assert overlap.METRICS[name].factor == 1.0


@settings(max_examples=40, deadline=None)
@given(masks=arrays(bool, (2, 7, 9)))
def test_hausdorff_agrees_with_distance_transforms(masks: np.ndarray) -> None:
    from scipy import ndimage

    first, second = masks
    if not first.any() or not second.any():
        return
    outlines = [mask & ~ndimage.binary_erosion(mask) for mask in masks]
    far = [ndimage.distance_transform_edt(~outline) for outline in outlines]
    both = np.concatenate([far[1][outlines[0]], far[0][outlines[1]]])
    found = overlap.hausdorff95(first, second)
    assert found is not None
    assert found.pooled == pytest.approx(np.percentile(both, 95))
    one, other = (np.percentile(far[1 - k][outlines[k]], 95) for k in (0, 1))
    assert found.larger == pytest.approx(max(one, other))


stacks = st.integers(1, 20).flatmap(lambda n: arrays(bool, (2, n, 4, 4)))


@settings(max_examples=80, deadline=None)
@given(both=stacks)
def test_properties(both: np.ndarray) -> None:
    found, mirrored = overlap.evaluate(both[0], both[1]), overlap.evaluate(both[1], both[0])
    for kind in ("", "_pooled", "_released", "_lesions"):
        f1, iou = found[f"f1{kind}"], found[f"iou{kind}"]
        if kind == "_lesions" and not both[1].any():
            assert (f1, iou) == (None, None)
            continue
        assert f1 is not None
        assert iou is not None
        assert 0 <= iou <= f1 + 1e-12
        assert f1 <= 1 + 1e-12
    iou = found["iou_pooled"]
    assert iou is not None
    assert found["f1_pooled"] == pytest.approx(2 * iou / (1 + iou))
    for name in found.keys() - {"f1_lesions", "iou_lesions"}:
        assert found[name] == pytest.approx(mirrored[name])
    counts = overlap.count(both[0], both[1])
    ious = overlap.iou_by_image(counts)
    np.testing.assert_allclose(overlap.f1_by_image(counts), 2 * ious / (1 + ious))


def test_every_metric_prefers_the_truth_in_its_direction() -> None:
    shifted = np.roll(TRUTH, 2, axis=2)
    assert set(METRICS) == set(overlap.evaluate(TRUTH, TRUTH))
    for metric in METRICS.values():
        best, worst = metric.compute(TRUTH, TRUTH), metric.compute(shifted, TRUTH)
        assert (best > worst) == (metric.better == "higher"), metric.name


def test_constant_predictors() -> None:
    """Nothing anywhere is right for the two images without a lesion."""
    nothing = overlap.constant(TRUTH, value=False)
    assert (nothing["f1"], nothing["iou"]) == (0.5, 0.5)
    assert (nothing["f1_lesions"], nothing["f1_pooled"], nothing["hd95"]) == (0, 0, None)
    everything = overlap.constant(TRUTH, value=True)
    assert everything["iou"] == pytest.approx((16 / 64 + 9 / 64) / 4)
    assert everything["f1"] == pytest.approx((32 / 80 + 18 / 73) / 4)
    assert everything["iou_pooled"] == pytest.approx(25 / 256)


def test_collapse_and_what_is_undefined() -> None:
    assert overlap.collapsed(np.zeros((2, 4, 4), bool))
    assert overlap.collapsed(np.ones((2, 4, 4), bool))
    assert not overlap.collapsed(PREDICTED)
    healthy = np.zeros((2, 4, 4), bool)
    found = overlap.evaluate(healthy, healthy)
    assert (found["f1"], found["f1_released"], found["iou_pooled"]) == (1, 1, 1)
    assert (found["f1_lesions"], found["hd95"]) == (None, None)
    assert math.isnan(METRICS["iou_lesions"].compute(healthy, healthy))


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        (np.ones((2, 4, 4)), np.ones((2, 4, 5)), r"\(2, 4, 4\) and masks \(2, 4, 5\) do not fit"),
        (np.ones((4, 4)), np.ones((4, 4)), "do not fit"),
        (np.ones((0, 4, 4)), np.ones((0, 4, 4)), "do not fit"),
        (np.full((1, 4, 4), np.nan), np.ones((1, 4, 4)), "not finite"),
        (np.ones((1, 4, 4)), np.full((1, 4, 4), 255), "neither 0 nor 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    maps: np.ndarray, masks: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        overlap.evaluate(maps, masks)
