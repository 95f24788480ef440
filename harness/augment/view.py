"""Batched random-resized-crop, flip and normalisation on the images' device.

A crop is drawn in original coordinates (the store keeps each image's height and width), expressed
in fractions of the image, and cut out of the stretched array by one separable resampling: two
batched matrix products per batch. The same boxes cut attention maps and masks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from harness.augment import colour, erasing, randaugment, rotate
from harness.augment.colour import Colour
from harness.augment.erasing import Erasing
from harness.augment.randaugment import RandAugment
from harness.augment.resample import Interpolation, resample_weights

Evaluation = Literal["stretch", "centre-crop"]

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
ATTEMPTS = 10
"""Draws of a random crop before the central fall-back, as in torchvision."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Settings of one view.

    Attributes:
        scale: range of the crop's share of the image area.
        ratio: range of the crop's width over height, drawn log-uniformly.
        flip: probability of mirroring left to right.
        interpolation: "bicubic" is the paper's "interpolation of 3" (Appendix B).
        colour: jitter, grey, blur and solarise; None leaves colours alone.
        operations: RandAugment, on the crop before normalisation; None: none.
        erasing: random erasing, after normalisation; None: none.
    """

    key_name: ClassVar[str] = "augmentation"

    scale: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    interpolation: Interpolation = "bicubic"
    colour: Colour | None = None
    operations: RandAugment | None = None
    erasing: Erasing | None = None


@dataclass(frozen=True, kw_only=True)
class RotatingAugmentation(Augmentation):
    """Settings of a view that is also turned; a class of its own, so that other keys stay.

    A batch does not say how its views were turned: methods that cut maps by boxes cannot take it.

    Attributes:
        rotation: "quarter": with probability 0.5 by 0, 90, 180 or 270 degrees (released code).
    """

    key_name: ClassVar[str] = "rotating-augmentation"

    rotation: Literal["none", "quarter"] = "quarter"


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What was drawn for one view of B images besides its crops and flips, on the CPU.

    Attributes:
        turns: (B,) int64, quarter turns counter-clockwise, after the flip.
    """

    turns: Tensor | None = None
    colour: colour.Draws | None = None
    operations: randaugment.Draws | None = None
    erasing: erasing.Draws | None = None


def draw(settings: Augmentation, count: int, size: int, generator: torch.Generator) -> Drawn:
    """Draw what a view's settings ask for; what is off draws nothing.

    Args:
        settings: of the view.
        count: B.
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


def random_boxes(sizes: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Draw one crop an image, with torchvision's RandomResizedCrop's distribution.

    Args:
        sizes: (B, 2) original height and width in pixels, on the CPU.
        settings: the range of area and aspect.
        generator: on the CPU.

    Returns:
        (B, 4) float64 on the CPU: top, left, height, width as fractions of the image.
    """
    height, width = (sizes[:, i : i + 1].double() for i in (0, 1))
    draw = torch.rand(len(sizes), ATTEMPTS, 4, dtype=torch.float64, generator=generator)
    h, w = crop_shapes(height, width, settings, draw)
    top, left = (draw[..., 2] * (height - h + 1)).floor(), (draw[..., 3] * (width - w + 1)).floor()
    return first_fit(height, width, torch.stack([top, left, h, w], -1), settings)


def crop_shapes(
    height: Tensor, width: Tensor, settings: Augmentation, draw: Tensor
) -> tuple[Tensor, Tensor]:
    """Turn uniform draws into heights and widths of crops, (B, attempts) in whole pixels.

    Args:
        height: (B, 1) of the originals.
        width: (B, 1), likewise.
        settings: the range of area and aspect.
        draw: (B, attempts, 2 or more) in 0..1; the first two of the last dimension are used.
    """
    low, high = settings.scale
    area = height * width * (low + (high - low) * draw[..., 0])
    log_low, log_high = (math.log(r) for r in settings.ratio)
    aspect = torch.exp(log_low + (log_high - log_low) * draw[..., 1])
    return torch.sqrt(area / aspect).round(), torch.sqrt(area * aspect).round()


def first_fit(height: Tensor, width: Tensor, drawn: Tensor, settings: Augmentation) -> Tensor:
    """Return each image's first crop that fits, else the central one, as fractions (B, 4).

    Args:
        height: (B, 1) of the originals.
        width: (B, 1), likewise.
        drawn: (B, attempts, 4) top, left, height, width in pixels.
        settings: for the aspect of the central crop.
    """
    h, w = drawn[..., 2], drawn[..., 3]
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    boxes = drawn[torch.arange(len(drawn)), fits.int().argmax(1)]
    central = _central(height[:, 0], width[:, 0], settings.ratio)
    boxes = torch.where(fits.any(1, keepdim=True), boxes, central)
    return boxes / torch.cat([height, width, height, width], 1)


def _central(height: Tensor, width: Tensor, ratio: tuple[float, float]) -> Tensor:
    aspect = (width / height).clamp(*ratio)
    w = torch.minimum(width, (height * aspect).round())
    h = torch.minimum(height, (width / aspect).round())
    return torch.stack([((height - h) / 2).floor(), ((width - w) / 2).floor(), h, w], 1)


def cut(
    images: Tensor,
    boxes: Tensor,
    flips: Tensor,
    size: int,
    interpolation: Interpolation = "bilinear",
    *,
    confine: bool = False,
) -> Tensor:
    """Cut boxes out of images or maps and resize them.

    Args:
        images: (B, C, H, W) float or uint8.
        boxes: (B, 4) top, left, height, width as fractions.
        flips: (B,) bool; mirrored left to right after the crop.
        size: side of the result.
        interpolation: the kernel.
        confine: see ``resample_weights``; images are confined, attention maps are not.

    Returns:
        (B, C, size, size) float.
    """
    height, width = images.shape[-2:]
    rows = resample_weights(boxes[:, 0], boxes[:, 2], height, size, interpolation, confine=confine)
    columns = resample_weights(
        boxes[:, 1], boxes[:, 3], width, size, interpolation, confine=confine
    )
    columns = torch.where(flips[:, None, None], columns.flip(1), columns)
    columns = columns.transpose(1, 2)
    # One product a channel: over all at once torch copies the matrices for each, and the larger
    # intermediates fall out of the cache.
    cut_out = [rows @ images[:, channel].float() @ columns for channel in range(images.shape[1])]
    return torch.stack(cut_out, 1)


def normalise(images: Tensor) -> Tensor:
    """Turn (B, C, H, W) in 0..255, C = 1 or 3, into ImageNet-normalised (B, 3, H, W)."""
    mean = images.new_tensor(MEAN)[:, None, None] * 255
    std = images.new_tensor(STD)[:, None, None] * 255
    return (images.clamp(0, 255) - mean) / std


def view(
    images: Tensor,
    boxes: Tensor,
    flips: Tensor,
    size: int,
    settings: Augmentation,
    drawn: Drawn | None = None,
) -> Tensor:
    """Cut, resize, turn, change, normalise and erase one view.

    Args:
        images: (B, C, S, S) uint8, C = 1 or 3.
        boxes: (B, 4) as from ``random_boxes``, on the images' device.
        flips: (B,) bool, likewise.
        size: side of the result.
        settings: the kernel and the colours.
        drawn: from ``draw`` under the same settings; None changes nothing.

    Returns:
        (B, 3, size, size) float32.
    """
    crops = cut(images, boxes, flips, size, settings.interpolation, confine=True)
    drawn = drawn or Drawn()
    if drawn.turns is not None:
        crops = rotate.apply(crops, drawn.turns.to(crops.device, non_blocking=True))
    if drawn.colour is not None and settings.colour is not None:
        crops = crops.clamp_(0, 255).div_(255)
        crops = colour.apply(crops, drawn.colour, settings.colour).mul_(255)
    if drawn.operations is not None:
        # What a warp leaves empty has a colour, so grey images become three channels here.
        crops = randaugment.apply(crops.expand(-1, 3, -1, -1), drawn.operations)
    normalised = normalise(crops)
    return normalised if drawn.erasing is None else erasing.apply(normalised, drawn.erasing)


STRETCH = Augmentation(interpolation="bilinear")
"""The kernel of the evaluation transform."""


def stretch(images: Tensor, size: int) -> Tensor:
    """Apply the evaluation transform: the whole image, stretched, bilinear, normalised.

    Released code, validation transform: resize to (size, size), no centre crop.
    """
    whole = images.new_tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.float32).expand(len(images), 4)
    none = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    return view(images, whole, none, size, STRETCH)
