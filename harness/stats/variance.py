"""Variance of one model's mean over images: from its seed, and from the images; kept apart."""

from __future__ import annotations

import math

import numpy as np

from harness.stats.clusters import sums
from harness.stats.intervals import Interval, quantile, sd


def between_seeds(values: np.ndarray) -> float:
    """Return the variance of a model's mean over its seeds, on the same images.

    Args:
        values: (seeds, n), for instance 1 where a seed's model is right about an image.

    Raises:
        ValueError: values are not two-dimensional, or there are fewer than two seeds.
    """
    return sd(_two(values).mean(axis=1).tolist()) ** 2


def between_images(values: np.ndarray, clusters: np.ndarray | None = None) -> float:
    """Return the variance of a model's mean over new images, with the model as it is.

    Args:
        values: (seeds, n); the variances of the seeds' models are averaged.
        clusters: (n,) lesion or patient of each image; None where every image stands alone.

    Raises:
        ValueError: shapes do not fit, or there are fewer than two clusters.
    """
    return float(np.mean([of_mean(row, clusters) for row in _two(values)]))


def of_mean(values: np.ndarray, clusters: np.ndarray | None) -> float:
    """Return the variance of a mean over images that come in clusters.

    Args:
        values: (n,) one number per image.
        clusters: (n,); None where every image stands alone, which gives s² / n.

    Raises:
        ValueError: shapes do not fit, or there are fewer than two clusters.
    """
    totals, sizes = sums(values, clusters)
    if len(sizes) < 2:
        raise ValueError(f"A variance needs two clusters of images; there are {len(sizes)}.")
    # The mean is a ratio of two sums over m clusters, linearised: each cluster's sum less what its
    # size would give, with m / (m - 1) as for any sample variance (W. G. Cochran, Sampling
    # Techniques, 1977, section 6.4).
    n, m = sizes.sum(), len(sizes)
    residuals = totals - sizes * (totals.sum() / n)
    return float(m / (m - 1) * (residuals**2).sum() / n**2)


def cluster_interval(
    values: np.ndarray, clusters: np.ndarray | None, *, level: float = 0.95
) -> Interval:
    """Return the interval of a mean over images, of which those of one cluster are not independent.

    Args:
        values: (n,) one number per image, for instance 1 where it is correct.
        clusters: (n,) lesion or patient of each image; None where every image stands alone.
        level: coverage, in 0..1.

    Returns:
        mean ± t(m - 1) times the standard error over m clusters, see
        ``of_mean``.

    Raises:
        ValueError: there are fewer than two clusters, or the level is outside 0..1.
    """
    totals, sizes = sums(values, clusters)
    centre = float(totals.sum() / sizes.sum())
    variance = of_mean(values, clusters)
    half = quantile(len(sizes) - 1, level) * math.sqrt(variance)
    return Interval(centre - half, centre + half)


def _two(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 2:
        raise ValueError(f"Values of shape {values.shape} are not seeds times images.")
    return values
