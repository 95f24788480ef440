"""Batched bicubic sampling of images along affine maps, equal to PIL's ``Image.transform``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.augment.constants import counted

TAPS = 4
"""Pixels along an axis on which the bicubic kernel is not 0."""

CHUNK = 4
"""Images resampled at once on a CPU."""

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
    if images.device.type == "cpu" and len(images) > CHUNK:
        # A CPU's caches hold the taps of a few images.
        parts = zip(images.split(CHUNK), maps.split(CHUNK), strict=True)
        return torch.cat([sample(some, their, fill) for some, their in parts])
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
    begins = (rows * width).unbind(1)
    sampled: Tensor | None = None
    for begin, row_weight in zip(begins, row_weights.unbind(1), strict=True):
        # The four taps of a row at once, (B, C, 4, H, W), are looked up and weighted.
        index = (begin[:, None] + columns).flatten(1)[:, None].expand(-1, channels, -1)
        found = flat.gather(2, index).view(*images.shape[:2], TAPS, height, width)
        row_sum = _summed(found.mul_(column_weights[:, None])).mul_(row_weight[:, None])
        sampled = row_sum if sampled is None else sampled.add_(row_sum)
    assert sampled is not None
    outside = torch.stack([torch.full_like(at_x, value).float() for value in fill], 1)
    return torch.where(inside[:, None], sampled, outside)


def _summed(taps: Tensor) -> Tensor:
    """Return the sum of (B, C, 4, H, W) over the taps, from the first to the last."""
    first, *others = taps.unbind(2)
    for tap in others:
        first = first + tap
    return first


def _taps(position: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return the indices of the four nearest pixels along an axis and their kernel weights.

    Args:
        position: (B, H, W) coordinates along the axis, pixel centres at whole numbers.
        side: pixels of the axis; indices are clamped to 0 .. side - 1.

    Returns:
        (B, 4, H, W) int64 and (B, 4, H, W) float32.
    """
    first = position.floor()
    fraction = (position - first).float()
    # Taps lie at distances 1 + t, t, 1 - t and 2 - t for the fractional offset t.
    both = torch.stack([fraction, 1 - fraction], 1)
    outer, inner = _outer_weight(both), _inner_weight(both)
    weights = torch.cat([outer[:, :1], inner, outer[:, 1:]], 1)
    offsets = counted(TAPS, -1.0, device=position.device)[:, None, None]
    pixels = (first[:, None] + offsets).clamp_(0, side - 1).long()
    return pixels, weights


def _inner_weight(x: Tensor) -> Tensor:
    """Return the kernel at distance x in 0..1: (a + 2) x^3 - (a + 3) x^2 + 1."""
    return ((SLOPE + 2) * x - (SLOPE + 3)) * x * x + 1


def _outer_weight(x: Tensor) -> Tensor:
    """Return the kernel at distance 1 + x, x in 0..1: a x (1 - x)^2 for either side."""
    return SLOPE * x * (1 - x) ** 2
