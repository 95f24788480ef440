"""Metrics of segmentations, from probability maps (n, H, W) and masks (n, H, W).

Only numpy is required, and scipy for distances. A pixel is predicted as lesion where its
probability is above the threshold. F1 (the Dice coefficient) and IoU (the Jaccard index) are
averaged in three ways:

* per image, then over images (``f1``, ``iou``), or only over images with a lesion
  (``f1_lesions``, ``iou_lesions``);
* over all pixels of all images at once (``f1_pooled``, ``iou_pooled``);
* as in the released code (``f1_released``, ``iou_released``): IoU over the pixels of eight images
  in file order, F1 computed from that IoU, then the mean over these batches.

The distance between the outlines is the mean over images of a 95th percentile, by two definitions
(``hd95``, ``hd95_max``; see ``Hausdorff95``).

An image without a lesion scores 1 where none is predicted, else 0. Undefined values are NaN: the
lesion metrics without any lesion, the distances where no image has both outlines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from harness.spec.quantity import Metric

THRESHOLD = 0.5
"""Probability above which a pixel is predicted as lesion, unless another is given."""

RELEASED_BATCH = 8
"""Images per batch of the released code's evaluation."""

RELEASED_SMOOTH = 1e-5
"""Number that the released code adds to the intersection and the union of a batch, in pixels."""

DISTANCES = ("hd95", "hd95_max")
"""The metrics that are not computed from counts; they take a hundred times as long."""


@dataclass(frozen=True)
class Counts:
    """Pixels per image, (n,) int64.

    Attributes:
        predicted: pixels predicted as lesion, |P|.
        truth: pixels of the reference mask, |T|.
        both: pixels of the intersection, |P and T|.
    """

    predicted: np.ndarray
    truth: np.ndarray
    both: np.ndarray

    @property
    def union(self) -> np.ndarray:
        """Pixels of the union, |P or T|."""
        union: np.ndarray = self.predicted + self.truth - self.both
        return union

    @property
    def lesion(self) -> np.ndarray:
        """Whether each image has a lesion, (n,) bool."""
        lesion: np.ndarray = self.truth > 0
        return lesion


def count(maps: np.ndarray, masks: np.ndarray, *, threshold: float = THRESHOLD) -> Counts:
    """Count the pixels of predictions, references and their intersections.

    Args:
        maps: (n, H, W) probabilities, or predictions as bool.
        masks: (n, H, W), bool or in {0, 1}.
        threshold: a pixel is predicted where its probability is above.

    Raises:
        ValueError: shapes do not fit, a value is not finite, or masks are not binary.
    """
    predicted, truth = _checked(maps, masks, threshold)
    both = predicted & truth
    return Counts(*(np.count_nonzero(array, axis=(1, 2)) for array in (predicted, truth, both)))


def f1_by_image(counts: Counts) -> np.ndarray:
    """Return 2 |P and T| / (|P| + |T|) of each image, 1 where both are empty."""
    return _ratio(2 * counts.both, counts.predicted + counts.truth)


def iou_by_image(counts: Counts) -> np.ndarray:
    """Return |P and T| / |P or T| of each image, 1 where both are empty."""
    return _ratio(counts.both, counts.union)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, 1 where whole is 0."""
    result = np.ones(np.shape(whole))
    np.divide(part, whole, out=result, where=np.asarray(whole) > 0)
    return result


def _pooled(counts: Counts) -> Counts:
    """Return the counts over all images, as those of one image (1,)."""
    return Counts(*(array.sum(keepdims=True) for array in _arrays(counts)))


def _arrays(counts: Counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return counts.predicted, counts.truth, counts.both


def _over_lesions(values: np.ndarray, counts: Counts) -> float:
    return float(values[counts.lesion].mean()) if counts.lesion.any() else math.nan


def _released(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """Return the IoU of each batch of images and its size; the last batch may be smaller."""
    starts = np.arange(0, len(counts.both), RELEASED_BATCH)
    both, union = (np.add.reduceat(array, starts) for array in (counts.both, counts.union))
    sizes = np.diff(np.append(starts, len(counts.both)))
    # Smoothed on both sides: a batch that is empty in prediction and reference has an IoU of 1.
    return (both + RELEASED_SMOOTH) / (union + RELEASED_SMOOTH), sizes


def _released_iou(counts: Counts) -> float:
    iou, sizes = _released(counts)
    return float(np.average(iou, weights=sizes))


def _released_f1(counts: Counts) -> float:
    iou, sizes = _released(counts)
    # F1 = 2 IoU / (1 + IoU) holds for one set of pixels; the code applies it per batch.
    return float(np.average(2 * iou / (1 + iou), weights=sizes))


@dataclass(frozen=True)
class Hausdorff95:
    """Two definitions of the 95th percentile of the Hausdorff distance, in pixels.

    Attributes:
        pooled: 95th percentile of the distances of both directions taken together (``hd95``; as
            MedPy's hd95).
        larger: the larger of the 95th percentiles of the two directions (``hd95_max``; as MONAI's).
            It sees an outline that is far off in one direction alone, however few of the pixels
            that direction has.
    """

    pooled: float
    larger: float


def distances(
    maps: np.ndarray, masks: np.ndarray, *, threshold: float = THRESHOLD
) -> tuple[Hausdorff95 | None, ...]:
    """Return the Hausdorff-95 distances of each image in pixels, see ``hausdorff95``."""
    predicted, truth = _checked(maps, masks, threshold)
    return tuple(hausdorff95(p, t) for p, t in zip(predicted, truth, strict=True))


def hausdorff95(first: np.ndarray, second: np.ndarray) -> Hausdorff95 | None:
    """Return the 95th percentiles of the distances between two outlines, in pixels.

    The distances are those of every pixel of each outline to the nearest pixel of the other. An
    outline consists of the pixels that an erosion by the four neighbours removes; outside of the
    image counts as background. Percentiles are interpolated linearly.

    Args:
        first: (H, W) bool.
        second: (H, W) bool.

    Returns:
        None where either mask is empty.
    """
    if not first.any() or not second.any():
        return None
    from scipy.spatial import cKDTree

    # Points (a, 2) and (b, 2), then the directed distances (a,) and (b,).
    first_points, second_points = (np.argwhere(_outline(mask)) for mask in (first, second))
    forward = cKDTree(second_points).query(first_points)[0]
    backward = cKDTree(first_points).query(second_points)[0]
    return Hausdorff95(
        pooled=float(np.percentile(np.concatenate([forward, backward]), 95)),
        larger=float(max(np.percentile(forward, 95), np.percentile(backward, 95))),
    )


def _outline(mask: np.ndarray) -> np.ndarray:
    """Return the pixels of a mask with at least one of four neighbours outside of it."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    outline: np.ndarray = mask & ~inside
    return outline


def from_distances(found: Sequence[Hausdorff95 | None]) -> dict[str, float]:
    """Return the means of both distances over the images that have them, by name, in pixels."""
    known = [(d.pooled, d.larger) for d in found if d is not None]
    means = np.mean(known, axis=0).tolist() if known else [math.nan] * len(DISTANCES)
    return dict(zip(DISTANCES, means, strict=True))


_FROM_COUNTS: Mapping[str, tuple[str, Callable[[Counts], float]]] = {
    "f1": ("F1 (%)", lambda c: float(f1_by_image(c).mean())),
    "iou": ("IoU (%)", lambda c: float(iou_by_image(c).mean())),
    "f1_lesions": ("F1, lesions (%)", lambda c: _over_lesions(f1_by_image(c), c)),
    "iou_lesions": ("IoU, lesions (%)", lambda c: _over_lesions(iou_by_image(c), c)),
    "f1_pooled": ("F1, pooled (%)", lambda c: float(f1_by_image(_pooled(c))[0])),
    "iou_pooled": ("IoU, pooled (%)", lambda c: float(iou_by_image(_pooled(c))[0])),
    "f1_released": ("F1, as released (%)", _released_f1),
    "iou_released": ("IoU, as released (%)", _released_iou),
}


def _metric(name: str, title: str, compute: Callable[[Counts], float]) -> Metric:
    return Metric(
        name=name,
        title=title,
        better="higher",
        digits=2,
        factor=100.0,
        compute=lambda maps, masks: compute(count(maps, masks)),
    )


def _distance(name: str, title: str) -> Metric:
    return Metric(
        name=name,
        title=title,
        better="lower",
        digits=2,
        factor=1.0,
        compute=lambda maps, masks: from_distances(distances(maps, masks))[name],
    )


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        **{name: _metric(name, *rest) for name, rest in _FROM_COUNTS.items()},
        "hd95": _distance("hd95", "Hausdorff-95, pooled (px)"),
        "hd95_max": _distance("hd95_max", "Hausdorff-95, larger (px)"),
    }
)
"""The metrics of segmenters by name. The paper does not state how it averages; its columns are
compared with ``f1`` and ``iou`` (per image, images without a lesion included)."""


def from_counts(counts: Counts) -> dict[str, float]:
    """Return every metric but the distances, by name, in natural units."""
    return {name: compute(counts) for name, (_, compute) in _FROM_COUNTS.items()}


def of_counts(name: str) -> Callable[[Counts], float] | None:
    """Return a metric as a function of counts; None for those that need masks."""
    return _FROM_COUNTS[name][1] if name in _FROM_COUNTS else None


def take(counts: Counts, rows: np.ndarray) -> Counts:
    """Return the counts of the images at the given positions."""
    return Counts(*(array[rows] for array in _arrays(counts)))


def evaluate(maps: np.ndarray, masks: np.ndarray) -> dict[str, float | None]:
    """Return every metric by name, in natural units; None where it is undefined.

    Raises:
        ValueError: see ``count``.
    """
    computed = from_counts(count(maps, masks)) | from_distances(distances(maps, masks))
    values = {
        name: computed[name] if name in computed else metric.compute(maps, masks)
        for name, metric in METRICS.items()
    }
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def constant(masks: np.ndarray, *, value: bool) -> dict[str, float | None]:
    """Return every metric of predicting one value on every pixel: lesion, or background."""
    return evaluate(np.full(np.shape(masks), value), masks)


def collapsed(maps: np.ndarray) -> bool:
    """Whether every pixel of all images is predicted as background, or every one as lesion."""
    return not maps.any() or bool(maps.all())


def _checked(
    maps: np.ndarray, masks: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    maps, masks = np.asarray(maps), np.asarray(masks)
    if maps.ndim != 3 or maps.shape != masks.shape or not maps.size:
        raise ValueError(
            f"Maps {maps.shape} and masks {masks.shape} do not fit; both must be (n, H, W) with"
            " n > 0."
        )
    if masks.dtype != bool and not np.isin(masks, (0, 1)).all():
        raise ValueError("Some values of the masks are neither 0 nor 1; threshold them first.")
    if maps.dtype == bool:
        return maps, masks.astype(bool)
    if not np.isfinite(maps).all():
        raise ValueError("Some probabilities are not finite; the model has diverged.")
    return maps > threshold, masks.astype(bool)
