"""Batched bicubic sampling of images along affine maps, equal to PIL's ``Image.transform``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SLOPE = -1.0
"""Parameter a of Keys' bicubic kernel: -1 in PIL's affine transform, -0.5 in its resize.

torch's bicubic interpolation uses -0.75.
"""


def sample(images: Tensor, maps: Tensor, fill: Sequence[float]) -> Tensor:
    """Resample each image of a batch under its own affine map.

    Args:
        images: (B, C, H, W) float.
        maps: (B, 2, 3) float64 on the images' device, from homogeneous output coordinates
            (x, y, 1) to input coordinates (x, y) in pixels; pixel centres lie at halves.
        fill: C values for output pixels whose input position lies outside the image.

    Returns:
        (B, C, H, W) float, not rounded; taps beyond the border repeat the edge pixel.
    """
    channels, height, width = images.shape[1:]
    x, y = (
        torch.arange(side, dtype=torch.float64, device=images.device) + 0.5
        for side in (width, height)
    )
    # (at_x, at_y) = M (x, y, 1), each (B, H, W); in float64, so that positions match PIL's.
    at_x, at_y = (
        maps[:, axis, 0, None, None] * x[None, None, :]
        + maps[:, axis, 1, None, None] * y[None, :, None]
        + maps[:, axis, 2, None, None]
        for axis in (0, 1)
    )
    inside = (at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height)
    columns, column_weights = _taps(at_x - 0.5, width)
    rows, row_weights = _taps(at_y - 0.5, height)
    # The kernel is separable: for each of four rows, four taps along x are summed, then the rows
    # along y, in PIL's order.
    flat = images.flatten(2)
    sampled = torch.zeros_like(images)
    for row, row_weight in zip(rows, row_weights, strict=True):
        row_sum = torch.zeros_like(images)
        for column, column_weight in zip(columns, column_weights, strict=True):
            index = (row * width + column).flatten(1)[:, None].expand(-1, channels, -1)
            row_sum += column_weight[:, None] * flat.gather(2, index).view_as(images)
        sampled += row_weight[:, None] * row_sum
    outside = torch.stack([torch.full_like(at_x, value).float() for value in fill], 1)
    return torch.where(inside[:, None], sampled, outside)


def _taps(position: Tensor, side: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the indices of the four nearest pixels along an axis and their kernel weights.

    Args:
        position: (B, H, W) coordinates along the axis, pixel centres at whole numbers.
        side: pixels of the axis; indices are clamped to 0 .. side - 1.
    """
    first = position.floor()
    fraction = (position - first).float()
    # Taps lie at distances 1 + t, t, 1 - t and 2 - t for the fractional offset t.
    weights = [
        _outer_weight(fraction),
        _inner_weight(fraction),
        _inner_weight(1 - fraction),
        _outer_weight(1 - fraction),
    ]
    pixels = [(first + offset).clamp(0, side - 1).long() for offset in (-1, 0, 1, 2)]
    return pixels, weights


def _inner_weight(x: Tensor) -> Tensor:
    """Return the kernel at distance x in 0..1: (a + 2) x^3 - (a + 3) x^2 + 1."""
    return ((SLOPE + 2) * x - (SLOPE + 3)) * x * x + 1


def _outer_weight(x: Tensor) -> Tensor:
    """Return the kernel at distance 1 + x, x in 0..1: a x (1 - x)^2 for either side."""
    return SLOPE * x * (1 - x) ** 2
