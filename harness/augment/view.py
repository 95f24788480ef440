"""Batched random resized crop, flip and normalisation on the images' device.

A crop is drawn in the original image's coordinates (the data store records its height and width),
expressed as fractions of the image, and cut out of the square array by separable resampling: two
batched matrix products per channel. The same boxes cut attention maps and masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from msgspec import Meta
from torch import Tensor

from harness import ranges
from harness.augment import colour, erasing, randaugment, rotate
from harness.augment.colour import Colour
from harness.augment.constants import false, per_device, vector, whole_boxes
from harness.augment.erasing import Erasing
from harness.augment.randaugment import RandAugment
from harness.augment.resample import (
    Interpolation,
    Taps,
    cut_by,
    parts,
    products,
    resample_weights,
    taps,
)
from harness.ranges import AspectRatio, Share

Evaluation = Literal["stretch", "stretch-opencv", "centre-crop"]
"""How whole images are prepared for evaluation, see ``harness.train.task.Task.evaluation``."""

ImageRange = Literal["normalised", "unit"]
"""Range of a model's input: "normalised" with ImageNet's mean and standard deviation, or "unit",
pixels in 0..1 without either."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's mean and standard deviation of red, green and blue in 0..1."""

CropArea = Annotated[float, Meta(gt=0, le=1)]
"""Area of a crop as a share of the image's."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Settings of one augmented view of an image.

    Attributes:
        scale: range of the crop's area as a share of the image's.
        ratio: range of the crop's width over height, drawn log-uniformly.
        flip: probability of mirroring left to right.
        interpolation: "bicubic" is the paper's "interpolation of 3" (Appendix B).
        colour: jitter, grey, blur and solarise; None for none.
        operations: RandAugment, on the crop before normalisation; None for none.
        erasing: random erasing, after normalisation; None for none.
    """

    key_name: ClassVar[str] = "augmentation"

    scale: tuple[CropArea, CropArea] = (0.2, 1.0)
    ratio: tuple[AspectRatio, AspectRatio] = (3 / 4, 4 / 3)
    flip: Share = 0.5
    interpolation: Interpolation = "bicubic"
    colour: Colour | None = None
    operations: RandAugment | None = None
    erasing: Erasing | None = None

    def __post_init__(self) -> None:
        ranges.check(self)
        for name in ("scale", "ratio"):
            ranges.check_pair(self, name)


@dataclass(frozen=True, kw_only=True)
class RotatingAugmentation(Augmentation):
    """Settings of a view that is also rotated by a random multiple of 90 degrees.

    A separate class, so that the keys of views without rotation do not change. A batch does not
    record the rotations: methods that cut maps by the views' boxes cannot use it.

    Attributes:
        rotation: "quarter": with probability 0.5 by 0, 90, 180 or 270 degrees (released code).
    """

    key_name: ClassVar[str] = "rotating-augmentation"

    rotation: Literal["none", "quarter"] = "quarter"


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Random parameters of one view of B images besides crops and flips, on the CPU.

    Attributes:
        turns: (B,) int64, counter-clockwise quarter turns after the flip; None for none.
        colour: of jitter, grey, blur and solarise; None for none.
        operations: of RandAugment; None for none.
        erasing: of random erasing; None for none.
        crop: what ``axes`` made of the crops and flips, with ``confine``, for square images; None
            leaves that to ``augment``.
    """

    moves: ClassVar[bool] = True  # with the step's other draws to the device

    turns: Tensor | None = None
    colour: colour.Draws | None = None
    operations: randaugment.Draws | None = None
    erasing: erasing.Draws | None = None
    crop: Taps | None = None


def draw(settings: Augmentation, count: int, size: int, generator: torch.Generator) -> Drawn:
    """Draw a view's random parameters; augmentations that are off take no random values.

    Args:
        settings: of the view.
        count: number of images B.
        size: side of the view.
        generator: on the CPU.
    """
    turned = isinstance(settings, RotatingAugmentation) and settings.rotation == "quarter"
    return Drawn(
        turns=rotate.draw(count, generator) if turned else None,
        colour=colour.draw(settings.colour, count, generator) if settings.colour else None,
        operations=randaugment.draw(settings.operations, count, generator)
        if settings.operations
        else None,
        erasing=erasing.draw(settings.erasing, count, size, generator)
        if settings.erasing
        else None,
    )


def cut(
    images: Tensor,
    boxes: Tensor,
    flips: Tensor,
    size: int,
    interpolation: Interpolation = "bilinear",
    *,
    confine: bool | Tensor = False,
) -> Tensor:
    """Cut boxes out of images or maps and resize them.

    Args:
        images: (B, C, H, W) float or uint8.
        boxes: (B, 4) top, left, height, width as fractions.
        flips: (B,) bool; True mirrors left to right after the crop.
        size: side of the result.
        interpolation: the kernel.
        confine: use only pixels inside the box (see ``resample_weights``); on for images, off for
            attention maps. A tensor (B, 2) holds the shares of height and width that the images
            fill, see ``within``: only pixels of these are used.

    Returns:
        (B, C, size, size) float.
    """
    (height, width), count = images.shape[-2:], len(images)
    if height == width:
        return cut_by(images, axes(boxes, flips, (height, size), interpolation, confine=confine))
    reverse = _mirrored(flips)
    rows, columns = (
        resample_weights(
            boxes[:, axis],
            boxes[:, 2 + axis],
            (side, size),
            interpolation,
            confine=confine[:, axis] if isinstance(confine, Tensor) else confine,
            reverse=reverse[:, axis],
        )
        for axis, side in enumerate((height, width))
    )
    return products(images, rows.expand(count, -1, -1), columns.expand(count, -1, -1))


def axes(
    boxes: Tensor,
    flips: Tensor,
    sides: tuple[int, int],
    interpolation: Interpolation = "bilinear",
    *,
    confine: bool | Tensor = False,
) -> Taps:
    """Return the weights of rows and columns by which ``cut`` cuts square images.

    They are (B, 2, size, taps); ``sides`` are those of the images and of the result.
    """
    start, length = boxes[:, :2], boxes[:, 2:]  # both axes at once: half as many operations
    return taps(start, length, sides, interpolation, confine=confine, reverse=_mirrored(flips))


def _mirrored(flips: Tensor) -> Tensor:
    """Return which axes are mirrored, (B, 2) bool: never the rows, the columns by ``flips``."""
    return torch.stack([false(device=flips.device).expand_as(flips), flips], 1)


def within(boxes: Tensor, filled: Tensor | None) -> Tensor:
    """Return boxes of images as boxes of the arrays whose upper left corners the images fill.

    Args:
        boxes: (B, 4) top, left, height, width as fractions of the images.
        filled: (B, 2) shares of the arrays' height and width that the images fill; None for all.
    """
    return boxes if filled is None else boxes * torch.cat([filled, filled], 1)


def normalise(
    images: Tensor, image_range: ImageRange = "normalised", *, out: Tensor | None = None
) -> Tensor:
    """Bring images (B, C, H, W) in 0..255, C = 1 or 3, to a model's range; always 3 channels.

    The result is written to ``out``, (B, 3, H, W), where that is given.
    """
    grey = images.shape[1] == 1
    # Into a tensor whose values lie in order: crops are views of another order.
    if grey or out is None:
        ordered = torch.empty(images.shape, dtype=images.dtype, device=images.device)
    else:
        ordered = out
    images = torch.clamp(images, 0, 255, out=ordered)
    if image_range == "unit":
        return torch.div(images.expand(-1, 3, -1, -1), 255, out=out)
    mean, std = mean_and_std(255, device=images.device).unbind()
    # A greyscale image becomes three channels here.
    centred = torch.sub(images, mean, out=out) if grey else images.sub_(mean)
    return centred.div_(std)


@per_device
def mean_and_std(scale: float, *, device: torch.device) -> Tensor:
    """Return ImageNet's mean and standard deviation, times a factor, (2, 3, 1, 1)."""
    values = vector(*MEAN, *STD, device=device).view(2, 3, 1, 1)
    return values * scale


def view(
    images: Tensor,
    boxes: Tensor,
    flips: Tensor,
    size: int,
    settings: Augmentation,
    drawn: Drawn | None = None,
) -> Tensor:
    """Produce one augmented view, normalised: ``augment``, then ``finish``."""
    return finish(augment(images, boxes, flips, size, settings, drawn), drawn)


def only_cropped(drawn: Drawn) -> bool:
    """Whether nothing but crops and flips is drawn for a view."""
    others = (drawn.turns, drawn.colour, drawn.operations, drawn.erasing)
    return all(other is None for other in others)


def crops(images: Tensor, rows: Tensor | None, made: Taps, image_range: ImageRange) -> Tensor:
    """Crop and normalise images on the CPU, a few at a time from the array to the result.

    Args:
        images: (N, C, S, S) uint8.
        rows: (B,) which of them; None for all.
        made: from ``axes``.
        image_range: range of the result.

    Returns:
        (B, 3, size, size) float32, what ``augment`` and ``finish`` give where nothing but crops
        and flips is drawn.
    """
    count, size = len(images if rows is None else rows), made.first.shape[-1]
    done = torch.empty(count, 3, size, size)
    for some, few in parts(images, made, rows):
        normalise(few, image_range, out=done[some])
    return done


def augment(
    images: Tensor,
    boxes: Tensor,
    flips: Tensor,
    size: int,
    settings: Augmentation,
    drawn: Drawn | None = None,
) -> Tensor:
    """Crop, rotate and recolour images and apply RandAugment.

    Args:
        images: (B, C, S, S) uint8, C = 1 or 3.
        boxes: (B, 4) top, left, height, width as fractions, on the images' device.
        flips: (B,) bool, likewise.
        size: side of the result.
        settings: the kernel and the colour augmentation.
        drawn: from ``draw`` under the same settings; None only crops and flips.

    Returns:
        (B, 1 or 3, size, size) float32, in 0..255 up to what the kernel overshoots.
    """
    drawn = drawn or Drawn()
    if drawn.crop is not None:
        crops = cut_by(images, drawn.crop)
    else:
        crops = cut(images, boxes, flips, size, settings.interpolation, confine=True)
    if drawn.turns is not None:
        crops = rotate.apply(crops, drawn.turns.to(crops.device, non_blocking=True))
    if drawn.colour is not None and settings.colour is not None:
        crops = crops.clamp_(0, 255).div_(255)
        crops = colour.apply(crops, drawn.colour, settings.colour).mul_(255)
    if drawn.operations is not None:
        # Pixels that a warp leaves empty get an RGB colour, so greyscale becomes three channels.
        crops = randaugment.apply(crops.expand(-1, 3, -1, -1), drawn.operations)
    return crops


def finish(
    images: Tensor, drawn: Drawn | None = None, image_range: ImageRange = "normalised"
) -> Tensor:
    """Bring augmented images to a model's range, then erase rectangles.

    Args:
        images: (B, C, S, S) in 0..255, C = 1 or 3.
        drawn: as for ``augment``; None erases nothing.
        image_range: the model's.

    Returns:
        (B, 3, S, S) float32.
    """
    finished = normalise(images, image_range)
    if drawn is None or drawn.erasing is None:
        return finished
    return erasing.apply(finished, drawn.erasing)


STRETCH = Augmentation(interpolation="bilinear")
"""Settings of the evaluation transform: bilinear interpolation and no augmentation."""

STRETCH_OPENCV = Augmentation(interpolation="opencv")
"""The same without antialiasing (released segmentation code)."""


def stretch(
    images: Tensor,
    size: int,
    filled: Tensor | None = None,
    *,
    settings: Augmentation = STRETCH,
    image_range: ImageRange = "normalised",
) -> Tensor:
    """Apply the evaluation transform: resize the whole image to a square, then normalise.

    Released code, validation transform: bilinear resize to (size, size), no centre crop. Images are
    (B, C, S, S) uint8; the result is (B, 3, size, size) float32. ``filled`` is as in ``within``.
    """
    side, count = images.shape[-1], len(images)
    if filled is None and images.shape[-2] == side:
        # One matrix for both axes and all images, which is built once.
        matrix = _whole(side, size, settings.interpolation, device=images.device)
        matrices = matrix.expand(count, -1, -1)
        return finish(products(images, matrices, matrices), image_range=image_range)
    whole = within(whole_boxes(count, images.device), filled)
    no_flips = false(device=images.device).expand(count)
    return finish(augment(images, whole, no_flips, size, settings), image_range=image_range)


@per_device
def _whole(
    source: int, target: int, interpolation: Interpolation, *, device: torch.device
) -> Tensor:
    """Return the matrix (target, source) that resizes whole images along one axis."""
    start, length = torch.zeros((), device=device), torch.ones((), device=device)
    return resample_weights(start, length, (source, target), interpolation, confine=True)
