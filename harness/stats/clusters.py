"""Images of one lesion or patient are not independent: they are summed into one unit."""

from __future__ import annotations

import numpy as np


def numbered(clusters: np.ndarray | None, n: int) -> np.ndarray:
    """Return the number of each image's cluster, (n,) from 0 to m - 1.

    Args:
        clusters: (n,) names or numbers; None where every image stands alone.
        n: number of images.

    Raises:
        ValueError: the clusters are not n.
    """
    if clusters is None:
        return np.arange(n)
    clusters = np.asarray(clusters)
    if clusters.shape != (n,):
        raise ValueError(f"Clusters of shape {clusters.shape} do not fit {n} images.")
    numbers: np.ndarray = np.unique(clusters, return_inverse=True)[1].reshape(-1)
    return numbers


def sums(values: np.ndarray, clusters: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums over clusters, (..., m), and the clusters' sizes, (m,), both as float64.

    Args:
        values: (..., n), one number per image.
        clusters: (n,); None where every image stands alone.

    Raises:
        ValueError: the clusters are not n, there are no images, or a value is not finite.
    """
    values = np.asarray(values, np.float64)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError("There are no values to resample or test; give at least one.")
    if not np.isfinite(values).all():
        raise ValueError("Some values are not finite; leave them out and say so.")
    n = values.shape[-1]
    if clusters is None:
        return values, np.ones(n)
    numbers = numbered(clusters, n)
    # Sorted by cluster, the sums are those of consecutive stretches.
    order = np.argsort(numbers, kind="stable")
    sizes = np.bincount(numbers)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return np.add.reduceat(values[..., order], starts, axis=-1), sizes.astype(np.float64)
