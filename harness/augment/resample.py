"""Interpolation along one axis as batched matrices, equal to PIL's resize or OpenCV's bilinear."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from harness.augment.constants import counted

Interpolation = Literal["bilinear", "bicubic", "opencv"]
"""Kernels: PIL's "bilinear" and "bicubic", which widen where they shrink an image (antialiasing);
and "opencv", the bilinear kernel of OpenCV's INTER_LINEAR, which takes the two nearest pixels at
any size."""


class Taps(NamedTuple):
    """The few source pixels of which each target pixel along an axis is the weighted sum.

    Attributes:
        pixels: (..., target, taps) int64, their indices, in rising order.
        weights: (..., target, taps) float32; the sum of a target pixel's is 1.
        source: pixels of the axis.
    """

    pixels: Tensor
    weights: Tensor
    source: int

    def of_axis(self, axis: int) -> Taps:
        """Return those of one axis, of taps (B, axes, target, taps)."""
        return Taps(self.pixels[:, axis], self.weights[:, axis], self.source)

    def matrices(self) -> Tensor:
        """Return them as dense matrices (..., target, source) float32; every row sums to 1."""
        shape = (*self.pixels.shape[:-1], self.source)
        dense = torch.zeros(shape, device=self.pixels.device)
        return dense.scatter_add_(-1, self.pixels, self.weights)


def resample_weights(
    start: Tensor,
    length: Tensor,
    sides: tuple[int, int],
    interpolation: Interpolation,
    *,
    confine: bool | Tensor = False,
    reverse: Tensor | None = None,
) -> Tensor:
    """Build matrices (..., target, source) that crop and resize along one axis, see ``taps``."""
    found = taps(start, length, sides, interpolation, confine=confine, reverse=reverse)
    return found.matrices()


def taps(
    start: Tensor,
    length: Tensor,
    sides: tuple[int, int],
    interpolation: Interpolation,
    *,
    confine: bool | Tensor = False,
    reverse: Tensor | None = None,
) -> Taps:
    """Find what crops and resizes along one axis, as PIL or OpenCV resize.

    Several axes of images can be given at once: all tensors have the same leading shape (...).

    Args:
        start: (...) where the crop begins, as a fraction of the axis.
        length: (...) its length, as a fraction of the axis.
        sides: pixels of the array along the axis, the source, and of the result, the target.
        interpolation: the kernel; PIL's support widens when the crop is made smaller.
        confine: use only pixels inside the crop (crop, then resize); otherwise the kernel also
            uses pixels outside it and is cut only by the array's border. A tensor (...)
            is the share of the axis, from its start, whose pixels are used.
        reverse: (...) bool, True where the result is mirrored; None mirrors nothing.
    """
    device, (source, target) = start.device, sides
    begin, extent = start.float()[..., None] * source, length.float()[..., None] * source
    # Source pixels per target pixel, and the target pixels' centres in source pixels.
    step = extent / target
    position = counted(target, 0.5, device=device)
    if reverse is not None:
        position = torch.where(reverse[..., None], target - position, position)
    centre = begin + position * step
    # Taps (..., target, taps) are all pixels within the kernel's reach.
    widens = interpolation != "opencv"
    reach = _SUPPORT[interpolation] * (max(source / target, 1.0) if widens else 1.0)
    number = counted(math.ceil(2 * reach) + 1, 0.5, device=device)
    pixel = (centre - reach).floor_()[..., None] + number  # centres of source pixels
    # Distance in units of max(step, 1): PIL widens the kernel when it shrinks an image.
    distance = pixel - centre[..., None]
    if widens:
        distance = distance.div_(step.clamp(min=1.0)[..., None])
    weight = _KERNELS[interpolation](distance.abs_())
    # Pixels outside the array, the crop or the share that is used have no weight.
    first, last = 0.0, float(source)
    if isinstance(confine, Tensor):
        allowed = (pixel > first) & (pixel < (confine * source).round()[..., None, None])
    elif confine:
        # Half a pixel of slack keeps at least one pixel for crops thinner than a pixel.
        lower = (begin - 0.5).clamp_(min=first)[..., None]
        upper = (begin + extent).add_(0.5).clamp_(max=last)[..., None]
        allowed = (pixel > lower) & (pixel < upper)
    else:
        allowed = (pixel > first) & (pixel < last)
    weight = weight.mul_(allowed)
    # Weights cut at a border are normalised again; taps outside have weight 0.
    weight = weight.div_(weight.sum(-1, keepdim=True))
    # Truncating a pixel's centre gives its index.
    return Taps(pixel.clamp_(0, source - 1).long(), weight, source)


def resample(images: Tensor, rows: Taps, columns: Taps | None = None) -> Tensor:
    """Crop and resize images (B, C, H, W), float or uint8, along both axes, as float32.

    Args:
        images: on the device of the taps.
        rows: taps of the vertical axis, (B, size, taps); or of both axes, (B, 2, size, taps).
        columns: of the horizontal axis; None where ``rows`` has both. B may be 1 for all images.
    """
    count = len(images)
    if images.device.type == "cpu":
        if columns is None:
            rows, columns = rows.of_axis(0), rows.of_axis(1)
        return _sums(images, rows, columns.matrices().expand(count, -1, -1))
    dense = rows.matrices().unbind(1) if columns is None else (rows.matrices(), columns.matrices())
    return products(images, *(matrix.expand(count, -1, -1) for matrix in dense))


def _sums(images: Tensor, rows: Taps, columns: Tensor) -> Tensor:
    """Do what ``products`` does, with the same bits, in a fraction of the time on a CPU.

    Most of a matrix is zeros: along the vertical axis only the taps are added up, in the order of
    the product. Along the other axis, where pixels lie side by side, the product is faster.
    """
    b, channels, height, width = images.shape
    size = rows.pixels.shape[-2]
    first = torch.arange(0, b * channels * height, height).view(b, channels, 1, 1)
    chosen = (rows.pixels[:, None] + first).flatten(0, 2)  # (B C size, taps) rows of pixels
    weights = rows.weights[:, None].expand(b, channels, -1, -1).reshape(chosen.shape)
    pixels = images.float().reshape(-1, width)
    halfway = embedding_bag(chosen, pixels, mode="sum", per_sample_weights=weights)
    done = torch.bmm(halfway.view(b, channels * size, width), columns.transpose(1, 2))
    return done.view(b, channels, size, size)


def products(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return R X C^T of every channel X (H, W) of images (B, C, H, W), as float32.

    Args:
        images: float or uint8.
        rows: R, (B, size, H).
        columns: C, (B, size, W).
    """
    b, channels, height, width = images.shape
    size = rows.shape[1]
    # One product per axis for all channels: with the channel between the axes, the images are
    # (H, C W) for the first and (size C, W) for the second, and no matrix is copied per channel.
    arranged = torch.empty(b, height, channels, width, device=images.device)
    arranged.copy_(images.permute(0, 2, 1, 3))
    halfway = torch.bmm(rows, arranged.view(b, height, channels * width))
    done = torch.bmm(halfway.view(b, size * channels, width), columns.transpose(1, 2))
    return done.view(b, size, channels, size).transpose(1, 2)


def _triangle(x: Tensor) -> Tensor:
    """Return the bilinear kernel at distances x >= 0."""
    return (1 - x).clamp(min=0)


def _cubic(x: Tensor) -> Tensor:
    """Return Keys' bicubic kernel at distances x >= 0, with PIL's a = -0.5 (Catmull-Rom)."""
    a = -0.5
    x = x.clamp(max=2)  # where the kernel is exactly 0
    near = ((a + 2) * x).sub_(a + 3).mul_(x).mul_(x).add_(1)
    far = (a * x).sub_(5 * a).mul_(x).add_(8 * a).mul_(x).sub_(4 * a)
    return torch.where(x < 1, near, far)


_KERNELS = {"bilinear": _triangle, "bicubic": _cubic, "opencv": _triangle}
_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0, "opencv": 1.0}
"""Half the width of each kernel, in steps."""
