"""Interpolation along one axis as batched matrices, equal to PIL's resize or OpenCV's bilinear."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harness.augment.constants import counted, per_device

Interpolation = Literal["bilinear", "bicubic", "opencv"]
"""Kernels: PIL's "bilinear" and "bicubic", which widen where they shrink an image (antialiasing);
and "opencv", the bilinear kernel of OpenCV's INTER_LINEAR, which takes the two nearest pixels at
any size."""

PART = 400_000
"""Pixels, all channels counted, that are cut at once on a CPU."""


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
    # Weights are computed for the pixels within the kernel's reach alone, as (taps, ..., target):
    # operations on a short last axis take several times as long.
    widens = interpolation != "opencv"
    reach = _SUPPORT[interpolation] * (max(source / target, 1.0) if widens else 1.0)
    offsets = counted(math.ceil(2 * reach) + 1, 0.5, device=device)
    first_pixel = (centre - reach).floor_()
    pixel = first_pixel + offsets.view(-1, *(1 for _ in centre.shape))  # their centres
    # Distance in units of max(step, 1): PIL widens the kernel when it shrinks an image.
    distance = pixel - centre
    if widens:
        distance = distance.div_(step.clamp(min=1.0))
    weight = _KERNELS[interpolation](distance.abs_())
    # Pixels outside the array, the crop or the share that is used have no weight.
    first, last = 0.0, float(source)
    if isinstance(confine, Tensor):
        allowed = (pixel > first) & (pixel < (confine * source).round()[..., None])
    elif confine:
        # Half a pixel of slack keeps at least one pixel for crops thinner than a pixel.
        lower = (begin - 0.5).clamp_(min=first)
        upper = (begin + extent).add_(0.5).clamp_(max=last)
        allowed = (pixel > lower) & (pixel < upper)
    else:
        allowed = (pixel > first) & (pixel < last)
    # To multiply by bytes takes less time than by bools.
    weight = weight.mul_(allowed.view(torch.uint8))
    # Weights cut at a border are normalised again; taps outside have weight 0.
    total = weight.movedim(0, -1).contiguous().sum(-1)
    # The kernel reaches one pixel less than the taps: either the first or the last weight is 0.
    late = weight[0] == 0
    weight = torch.where(late, weight[1:], weight[:-1]).div_(total)
    return Taps(first_pixel.add_(late).long(), weight.movedim(0, -1))


def dense(made: Taps, source: int) -> Tensor:
    """Return the matrices (..., target, source), float32, of an axis of ``source`` pixels."""
    matrix = torch.zeros(*made.first.shape, source, device=made.first.device)
    return matrix.scatter_add_(-1, _pixels(made, source), made.weights)


def _pixels(made: Taps, source: int) -> Tensor:
    """Return the source pixels of the weights, (..., target, taps), within the array."""
    numbers = _numbers(made.weights.shape[-1], made.first.dtype, device=made.first.device)
    return (made.first[..., None] + numbers).clamp_(0, source - 1)


@per_device
def _numbers(count: int, dtype: torch.dtype, *, device: torch.device) -> Tensor:
    """Return 0 ... count - 1, (count,)."""
    return torch.arange(count, dtype=dtype, device=device)


def cut_by(images: Tensor, made: Taps) -> Tensor:
    """Cut square images (B, C, S, S) by the taps of rows and columns, (B, 2, ...)."""
    if images.device.type == "cpu":
        return sums(images, made)
    count, side = len(images), images.shape[-1]
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


def sums(images: Tensor, made: Taps) -> Tensor:
    """Do what ``products`` does to square images, in half of the time on a CPU, see ``parts``."""
    size = made.first.shape[-1]
    done = torch.empty(*images.shape[:2], size, size)
    for some, crops in parts(images, made):
        done[some] = crops
    return done


def parts(images: Tensor, made: Taps, rows: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
    """Yield the crops of a few images at a time, (n, C, size, size), and which images they are.

    Most of a matrix is zeros: only the taps are added up, in the order of the product. Whole lines
    of pixels are added, so that images are transposed between the axes; a processor's caches hold
    what a few images need. Bits are the product's while it adds up an axis at once (arrays of 128
    pixels); of 448 pixels it adds up parts, and some pixels differ in their last digit (6e-5 of a
    grey level).

    Args:
        images: (B, C, S, S) on the CPU, float or uint8; with ``rows`` those to choose from.
        made: of rows and columns, (B, 2, size, taps), or (1, 2, size, taps) for all images.
        rows: (B,) int64, the numbers of the images to be cut; None for all.
    """
    chosen = range(len(images)) if rows is None else rows.tolist()
    b = len(chosen)
    channels, side = images.shape[1:3]
    size, count = made.weights.shape[-2:]
    part = max(1, min(b, PART // (channels * side**2)))
    # Axes first, (2, B, size taps): weights, and their lines in a table of a part's images.
    weights = made.weights.transpose(0, 1).expand(-1, b, -1, -1).contiguous().flatten(2)
    begin = torch.arange(b, dtype=torch.int32).remainder_(part).mul_(side)
    pixels = _pixels(Taps(made.first.transpose(0, 1).int().contiguous(), made.weights), side)
    lines = (pixels + begin[:, None, None]).flatten(2)
    offsets = torch.arange(0, part * size * count, count, dtype=torch.int32)
    table = torch.empty(part, side, channels, side)
    places = table.transpose(1, 2).unbind()
    for first in range(0, b, part):
        some = slice(first, min(first + part, b))
        n = some.stop - first
        bags = offsets[: n * size]
        for place, number in zip(places, chosen[some], strict=False):
            place.copy_(images[number])
        added = _added(table.view(part * side, -1), lines[0, some], weights[0, some], bags)
        turned = _transposed(added.view(n, size * channels, side))  # columns first
        added = _added(turned.view(n * side, -1), lines[1, some], weights[1, some], bags)
        crops = _transposed(added.view(n, size, size * channels))
        yield some, crops.view(n, size, channels, size).transpose(1, 2)


def _added(table: Tensor, lines: Tensor, weights: Tensor, bags: Tensor) -> Tensor:
    """Return weighted sums of lines (n, pixels) of a table; ``bags`` are where sums begin."""
    return torch.embedding_bag(
        table,
        lines.view(-1),
        bags,
        scale_grad_by_freq=False,
        mode=0,  # sums
        sparse=False,
        per_sample_weights=weights.view(-1),
    )[0]


def _transposed(tables: Tensor) -> Tensor:
    """Return tables (n, rows, columns) as (n, columns, rows), in order in memory.

    To shuffle the channels of images of one pixel is the same, and has a faster kernel than copies
    of another order.
    """
    n, rows, columns = tables.shape
    every = rows * columns
    pixels = tables.as_strided((n, every, 1, 1), (every, 1, every, every))  # channels last
    return torch.channel_shuffle(pixels, rows).as_strided((n, columns, rows), (every, rows, 1))


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
