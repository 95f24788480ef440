"""Batched bicubic sampling of images along affine maps, as PIL's transform does it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SLOPE = -1.0
"""Of the bicubic kernel in PIL's affine transform; its resize has -0.5, torch -0.75."""


def sample(images: Tensor, maps: Tensor, fill: Sequence[float]) -> Tensor:
    """Sample every image along its own map.

    Args:
        images: (B, C, H, W) float.
        maps: (B, 2, 3) float64 on the images' device, from a result's place (x, y, 1) to the
            image's; pixel centres lie at halves.
        fill: C values of what lies outside the image.

    Returns:
        (B, C, H, W) float, not rounded; near the border the edge pixel is repeated.
    """
    channels, height, width = images.shape[1:]
    x, y = (
        torch.arange(side, dtype=torch.float64, device=images.device) + 0.5
        for side in (width, height)
    )
    at_x, at_y = (
        maps[:, axis, 0, None, None] * x[None, None, :]
        + maps[:, axis, 1, None, None] * y[None, :, None]
        + maps[:, axis, 2, None, None]
        for axis in (0, 1)
    )
    inside = (at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height)
    columns, across = _taps(at_x - 0.5, width)
    rows, down = _taps(at_y - 0.5, height)
    flat = images.flatten(2)
    total = torch.zeros_like(images)
    for row, weight in zip(rows, down, strict=True):
        line = torch.zeros_like(images)
        for column, share in zip(columns, across, strict=True):
            index = (row * width + column).flatten(1)[:, None].expand(-1, channels, -1)
            line += share[:, None] * flat.gather(2, index).view_as(images)
        total += weight[:, None] * line
    outside = torch.stack([torch.full_like(at_x, value).float() for value in fill], 1)
    return torch.where(inside[:, None], total, outside)


def _taps(position: Tensor, side: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the four nearest pixels along an axis, held inside, and their weights."""
    first = position.floor()
    past = (position - first).float()
    weights = [_far(past), _near(past), _near(1 - past), _far(1 - past)]
    pixels = [(first + offset).clamp(0, side - 1).long() for offset in (-1, 0, 1, 2)]
    return pixels, weights


def _near(x: Tensor) -> Tensor:
    return ((SLOPE + 2) * x - (SLOPE + 3)) * x * x + 1


def _far(x: Tensor) -> Tensor:
    """Return the kernel at 1 + x."""
    return SLOPE * x * (1 - x) ** 2
