"""Area averages of stored images: each image fills the upper left corner of its row."""

from __future__ import annotations

import numpy as np

from harness.data.blocks import Rows

CHUNK = 256
"""Number of images resized at once."""


def rows(images: Rows, index: np.ndarray, sizes: np.ndarray, size: int | None) -> np.ndarray:
    """Return rows of (N, S, S, C) uint8 images, area-averaged to ``size`` if that is smaller.

    Args:
        images: the rows, each image in the upper left corner.
        index: (n,) wanted rows.
        sizes: (n, 2) original heights and widths of the wanted rows.
        size: wanted side; None for S.
    """
    side = images.shape[1]
    if size is None or size >= side:
        return np.ascontiguousarray(images[index])
    result = np.empty((len(index), size, size, images.shape[3]), np.uint8)
    lengths = np.minimum(sizes, side)
    for begin in range(0, len(index), CHUNK):
        rows = index[begin : begin + CHUNK]
        # The area average is separable: A X B^T for each channel X, with A of the image's height
        # and B of its width.
        down, across = (
            _area_matrices(axis, side, size) for axis in lengths[begin : begin + CHUNK].T
        )
        pixels = images[rows].transpose(0, 3, 1, 2).astype(np.float32)
        scaled = down @ pixels @ across.swapaxes(-1, -2)
        result[begin : begin + CHUNK] = np.rint(scaled).astype(np.uint8).transpose(0, 2, 3, 1)
    return result


def _area_matrices(lengths: np.ndarray, side: int, target: int) -> np.ndarray:
    """Return ``_area_matrix`` of each length, (n, 1, target, side); (target, side) if equal."""
    unique, which = np.unique(lengths, return_inverse=True)
    matrices = np.stack([_area_matrix(int(length), side, target) for length in unique])
    # One matrix for all images is multiplied faster than copies of it.
    return matrices[0] if len(unique) == 1 else matrices[which][:, None]


def _area_matrix(length: int, side: int, target: int) -> np.ndarray:
    """Return weights (target, side) that average the source pixels under each target pixel.

    Args:
        length: pixels of the image, which come first; one that fits the target stays as it is.
        side: pixels of the array.
        target: pixels of the result.
    """
    filled = min(length, target)
    matrix = np.zeros((target, side), np.float32)
    edges = np.linspace(0, length, filled + 1)
    pixel = np.arange(length)
    # Overlap of target pixel [edges[t], edges[t + 1]] with source pixel [s, s + 1]; rows sum to 1.
    low = np.maximum(edges[:-1, None], pixel)
    high = np.minimum(edges[1:, None], pixel + 1)
    matrix[:filled, :length] = np.maximum(high - low, 0) * (filled / length)
    return matrix
