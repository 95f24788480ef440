"""Interpolation along one axis as matrices, antialiased as in PIL."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Interpolation = Literal["bilinear", "bicubic"]


def resample_weights(
    start: Tensor,
    length: Tensor,
    source: int,
    target: int,
    interpolation: Interpolation,
    *,
    confine: bool = False,
) -> Tensor:
    """Build interpolation matrices along one axis, antialiased as in PIL.

    Args:
        start: (B,) where the crop begins, fraction of the axis.
        length: (B,) its length, fraction of the axis.
        source: pixels along the axis of the array.
        target: pixels of the result.
        interpolation: the kernel; its support widens when the crop shrinks.
        confine: use the crop's own pixels alone (crop, then resize); else the kernel reaches
            past the crop and is cut only by the array's border.

    Returns:
        (B, target, source) float32; every row sums to 1.
    """
    begin, extent = start.float() * source, length.float() * source
    step = (extent / target)[:, None, None]
    position = torch.arange(target, device=start.device) + 0.5
    centre = begin[:, None, None] + position[:, None] * step
    # Only the few pixels that the kernel can reach are weighed, then put into their columns.
    reach = _SUPPORT[interpolation] * max(source / target, 1.0)
    taps = torch.arange(math.ceil(2 * reach) + 1, device=start.device)
    index = (centre - reach).floor() + taps
    pixel = index + 0.5
    distance = ((pixel - centre) / step.clamp(min=1.0)).abs()
    weight = _KERNELS[interpolation](distance) * ((index >= 0) & (index < source))
    if confine:
        # Half a pixel of slack keeps at least one pixel for crops thinner than a pixel.
        first, last = begin[:, None, None] - 0.5, (begin + extent)[:, None, None] + 0.5
        weight = weight * ((pixel > first) & (pixel < last))
    weight = weight / weight.sum(2, keepdim=True)
    dense = torch.zeros(len(start), target, source, device=start.device)
    return dense.scatter_add_(2, index.clamp(0, source - 1).long(), weight)


def _triangle(x: Tensor) -> Tensor:
    return (1 - x).clamp(min=0)


def _cubic(x: Tensor) -> Tensor:
    a = -0.5  # PIL's bicubic (Catmull-Rom)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


_KERNELS = {"bilinear": _triangle, "bicubic": _cubic}
_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}
"""How far a kernel reaches, in steps."""
