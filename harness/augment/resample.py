"""Interpolation along one axis as batched matrices, equal to PIL's resize or OpenCV's bilinear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from harness.augment.constants import counted, per_device

Interpolation = Literal["bilinear", "bicubic", "opencv"]
"""Kernels: PIL's "bilinear" and "bicubic", which widen where they shrink an image (antialiasing);
and "opencv", the bilinear kernel of OpenCV's INTER_LINEAR, which takes the two nearest pixels at
any size."""


@dataclass(frozen=True)
class Taps:
    """Matrices that crop and resize along one axis, by what is not 0 in their rows.

    Attributes:
        first: (..., target) int64, the source pixel of each row's first weight; it may lie outside
            the array, and weights outside are 0.
        weights: (..., target, taps) float32, of that pixel and those after it; they sum to 1.
    """

    moves: ClassVar[bool] = True  # with the step's draws to the device

    first: Tensor
    weights: Tensor


def resample_weights(
    start: Tensor,
    length: Tensor,
    sides: tuple[int, int],
    interpolation: Interpolation,
    *,
    confine: bool | Tensor = False,
    reverse: Tensor | None = None,
) -> Tensor:
    """Build matrices (..., target, source) that crop and resize along one axis.

    Arguments are those of ``taps``; the result is float32, and every row sums to 1.
    """
    made = taps(start, length, sides, interpolation, confine=confine, reverse=reverse)
    return dense(made, sides[0])


def taps(
    start: Tensor,
    length: Tensor,
    sides: tuple[int, int],
    interpolation: Interpolation,
    *,
    confine: bool | Tensor = False,
    reverse: Tensor | None = None,
) -> Taps:
    """Compute the weights that crop and resize along one axis, as PIL or OpenCV resize.

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
    # Weights are computed for the taps within the kernel's reach alone, (..., target, taps).
    widens = interpolation != "opencv"
    reach = _SUPPORT[interpolation] * (max(source / target, 1.0) if widens else 1.0)
    offsets = counted(math.ceil(2 * reach) + 1, 0.5, device=device)
    first_pixel = (centre - reach).floor_()
    pixel = first_pixel[..., None] + offsets  # centres of source pixels
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
    return Taps(first_pixel.long(), weight.div_(weight.sum(-1, keepdim=True)))


def dense(made: Taps, source: int) -> Tensor:
    """Return the matrices (..., target, source), float32, of an axis of ``source`` pixels."""
    matrix = torch.zeros(*made.first.shape, source, device=made.first.device)
    return matrix.scatter_add_(-1, _pixels(made, source), made.weights)


def _pixels(made: Taps, source: int) -> Tensor:
    """Return the source pixels of the weights, (..., target, taps) int64, within the array."""
    numbers = _numbers(made.weights.shape[-1], device=made.first.device)
    return (made.first[..., None] + numbers).clamp_(0, source - 1)


@per_device
def _numbers(count: int, *, device: torch.device) -> Tensor:
    """Return 0 ... count - 1, (count,) int64."""
    return torch.arange(count, device=device)


def cut_by(images: Tensor, made: Taps) -> Tensor:
    """Cut square images (B, C, S, S) by the taps of rows and columns, (B, 2, ...)."""
    count, side = len(images), images.shape[-1]
    if images.device.type == "cpu":
        across = dense(Taps(made.first[:, 1], made.weights[:, 1]), side)
        down = Taps(made.first[:, 0], made.weights[:, 0])
        return sums(images, down, across.expand(count, -1, -1))
    rows, columns = dense(made, side).unbind(1)
    return products(images, rows.expand(count, -1, -1), columns.expand(count, -1, -1))


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


def sums(images: Tensor, rows: Taps, columns: Tensor) -> Tensor:
    """Do what ``products`` does, in a fraction of the time on a CPU.

    Most of a matrix is zeros: along the vertical axis only the taps are added up, in the order of
    the product. Along the other axis, where pixels lie side by side, the product is faster. Bits
    are the same while the product adds up an axis at once (arrays of 128 pixels); of 448 pixels it
    adds up parts, and some pixels differ in their last digit (3e-5 of a grey level).

    Args:
        images: (B, C, H, W), float or uint8.
        rows: of the vertical axis, (B, size, taps).
        columns: C, (B, size, W).
    """
    (b, channels, height, width), size = images.shape, rows.first.shape[-1]
    # A table of all rows of pixels, and which of them make each row of the result.
    table = images.float().reshape(-1, width)
    begin = torch.arange(0, b * channels * height, height).view(b, channels, 1, 1)
    chosen = (_pixels(rows, height)[:, None] + begin).flatten(0, 2)  # (B C size, taps)
    weights = rows.weights[:, None].expand(b, channels, -1, -1).reshape(chosen.shape)
    halfway = embedding_bag(chosen, table, mode="sum", per_sample_weights=weights)
    done = torch.bmm(halfway.view(b, channels * size, width), columns.transpose(1, 2))
    return done.view(b, channels, size, size)


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
