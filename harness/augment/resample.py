"""Interpolation along one axis as batched matrices, equal to PIL's resize or OpenCV's bilinear."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Interpolation = Literal["bilinear", "bicubic", "opencv"]
"""Kernels: PIL's "bilinear" and "bicubic", which widen where they shrink an image (antialiasing);
and "opencv", the bilinear kernel of OpenCV's INTER_LINEAR, which takes the two nearest pixels at
any size."""


def resample_weights(
    start: Tensor,
    length: Tensor,
    source: int,
    target: int,
    interpolation: Interpolation,
    *,
    confine: bool | Tensor = False,
) -> Tensor:
    """Build matrices that crop and resize along one axis, as PIL or OpenCV resize.

    Args:
        start: (B,) where the crop begins, as a fraction of the axis.
        length: (B,) its length, as a fraction of the axis.
        source: pixels of the array along the axis.
        target: pixels of the result.
        interpolation: the kernel; PIL's support widens when the crop is made smaller.
        confine: use only pixels inside the crop (crop, then resize); otherwise the kernel also
            uses pixels outside it and is cut only by the array's border. A tensor (B,)
            is the share of the axis, from its start, whose pixels are used.

    Returns:
        (B, target, source) float32; every row sums to 1.
    """
    begin, extent = start.float() * source, length.float() * source
    # Source pixels per target pixel, and the target pixels' centres in source pixels.
    step = (extent / target)[:, None, None]
    position = torch.arange(target, device=start.device) + 0.5
    centre = begin[:, None, None] + position[:, None] * step
    # Weights are computed for the taps within the kernel's reach alone, (B, target, taps), then
    # scattered into the columns of the dense matrix.
    widens = interpolation != "opencv"
    reach = _SUPPORT[interpolation] * (max(source / target, 1.0) if widens else 1.0)
    last = (confine * source).round()[:, None, None] if isinstance(confine, Tensor) else source
    taps = torch.arange(math.ceil(2 * reach) + 1, device=start.device)
    index = (centre - reach).floor() + taps
    pixel = index + 0.5
    # Distance in units of max(step, 1): PIL widens the kernel when it shrinks an image.
    unit = step.clamp(min=1.0) if widens else torch.ones_like(step)
    distance = ((pixel - centre) / unit).abs()
    weight = _KERNELS[interpolation](distance) * ((index >= 0) & (index < last))
    if confine is True:
        # Half a pixel of slack keeps at least one pixel for crops thinner than a pixel.
        first, last = begin[:, None, None] - 0.5, (begin + extent)[:, None, None] + 0.5
        weight = weight * ((pixel > first) & (pixel < last))
    # Weights cut at a border are normalised again; taps outside have weight 0.
    weight = weight / weight.sum(2, keepdim=True)
    dense = torch.zeros(len(start), target, source, device=start.device)
    return dense.scatter_add_(2, index.clamp(0, source - 1).long(), weight)


def _triangle(x: Tensor) -> Tensor:
    """Return the bilinear kernel at distances x >= 0."""
    return (1 - x).clamp(min=0)


def _cubic(x: Tensor) -> Tensor:
    """Return Keys' bicubic kernel at distances x >= 0, with PIL's a = -0.5 (Catmull-Rom)."""
    a = -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


_KERNELS = {"bilinear": _triangle, "bicubic": _cubic, "opencv": _triangle}
_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0, "opencv": 1.0}
"""Half the width of each kernel, in steps."""
