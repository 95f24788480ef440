"""Batched RandAugment as timm's ``rand-m9-mstd0.5-inc1``: two random operations an image.

Draws are made on the CPU, applied on the images' device, grouped by operation. Values are whole
numbers in 0..255 and are rounded where PIL rounds, so that the images are PIL's to a unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness.augment import affine

TABLES = (
    "autocontrast",
    "equalize",
    "invert",
    "posterize",
    "solarize",
    "solarize_add",
    "contrast",
    "brightness",
)
"""Operations that replace each value by another: one look-up for all of them."""

BLENDS = ("colour", "sharpness")
WARPS = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
OPERATIONS = TABLES + BLENDS + WARPS

FILL = (124, 116, 104)
"""What a warp leaves empty: ImageNet's mean in 0..255 (timm, create_transform)."""


@dataclass(frozen=True, kw_only=True)
class RandAugment:
    """Settings of RandAugment (timm, "rand-m9-mstd0.5-inc1").

    Attributes:
        operations: draws an image, with replacement, from the fifteen.
        probability: of applying each.
        magnitude: mean of the normal that levels are drawn from, clipped to 0..10.
        deviation: its standard deviation.
    """

    key_name: ClassVar[str] = "randaugment"

    operations: int = 2
    probability: float = 0.5
    magnitude: float = 9.0
    deviation: float = 0.5


@dataclass(frozen=True)
class Draws:
    """What was drawn for B images, (B, operations) each, on the CPU.

    Attributes:
        operation: position in ``OPERATIONS``; -1 leaves the image alone.
        level: 0..10, float64.
        sign: -1 or 1: the direction of a warp, less or more of an enhancement.
    """

    operation: Tensor
    level: Tensor
    sign: Tensor


def draw(settings: RandAugment, count: int, generator: torch.Generator) -> Draws:
    """Draw for ``count`` images; the stream does not depend on what was drawn."""
    shape = (count, settings.operations)
    operation = torch.randint(len(OPERATIONS), shape, generator=generator)
    chance = torch.rand(2, *shape, generator=generator)
    noise = torch.randn(shape, dtype=torch.float64, generator=generator)
    return Draws(
        operation=torch.where(chance[0] < settings.probability, operation, -1),
        level=(settings.magnitude + settings.deviation * noise).clamp(0, 10),
        sign=torch.where(chance[1] < 0.5, -1.0, 1.0).double(),
    )


def apply(images: Tensor, draws: Draws) -> Tensor:
    """Return images (B, 3, H, W) after each image's own operations.

    Args:
        images: float; values are rounded and clipped to 0..255 first, as a decoded crop is.
        draws: from ``draw``.
    """
    images = images.round().clamp(0, 255)
    for number in range(draws.operation.shape[1]):
        operation, level, sign = (
            part[:, number] for part in (draws.operation, draws.level, draws.sign)
        )
        changes: list[tuple[Tensor, Any]] = [
            ((operation >= 0) & (operation < len(TABLES)), _look_up),
            (operation >= len(TABLES) + len(BLENDS), _warp),
            (operation == OPERATIONS.index("colour"), _colour),
            (operation == OPERATIONS.index("sharpness"), _sharpness),
        ]
        for chosen, change in changes:
            rows = chosen.nonzero()[:, 0]
            if len(rows):
                there = rows.to(images.device, non_blocking=True)
                images[there] = change(images[there], operation[rows], level[rows], sign[rows])
    return images


def _look_up(images: Tensor, operation: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """Apply the operations of ``TABLES``: build one table of 256 values an image and channel."""
    n, channels, height, width = images.shape
    device = images.device
    values = torch.arange(256, dtype=torch.float64, device=device)
    tables = values.expand(n, channels, 256).clone()
    for position, name in enumerate(TABLES):
        rows = (operation == position).nonzero()[:, 0]
        if len(rows):
            there = rows.to(device, non_blocking=True)
            parameter = _parameter(name, level[rows], sign[rows])[:, None, None]
            parameter = parameter.to(device, non_blocking=True)
            tables[there] = _TABLES[name](images[there], values, parameter)
    flat = images.flatten(2).long()
    return tables.float().gather(2, flat).view(n, channels, height, width)


def _parameter(name: str, level: Tensor, sign: Tensor) -> Tensor:
    """Turn levels (n,) into what an operation takes; severity rises with the level."""
    share = level / 10
    match name:
        case "posterize":  # bits that are lost; all eight at level 10, which new PILs refuse
            return 4 + (share * 4).floor()
        case "solarize":  # first value that is inverted
            return 256 - (share * 256).floor().clamp(max=256)
        case "solarize_add":
            return (share * 110).floor().clamp(max=128)
        case "contrast" | "brightness" | "colour" | "sharpness":
            return (1 + sign * 0.9 * share).clamp(min=0.1)
        case "rotate":  # degrees
            return sign * share * 30
        case "shear_x" | "shear_y":
            return sign * share * 0.3
        case "translate_x" | "translate_y":  # share of the side
            return sign * share * 0.45
        case _:
            return torch.zeros_like(level)


def _autocontrast(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    del parameter
    low, high = (f(images.double(), (2, 3))[..., None] for f in (torch.amin, torch.amax))
    extent = high - low
    # A true division and this order of products: what PIL truncates may lie on a whole number.
    scale = torch.full_like(extent, 255) / torch.where(extent > 0, extent, 1.0)
    stretched = (values * scale - low * scale).trunc().clamp(0, 255)
    return torch.where(extent > 0, stretched, values)


def _equalize(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    del parameter
    flat = images.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    last = counts.gather(2, flat.amax(2, keepdim=True))
    step = torch.div(flat.shape[2] - last, 255, rounding_mode="floor")
    before = counts.cumsum(2) - counts
    safe = step.clamp(min=1)
    filled = torch.div(torch.div(safe, 2, rounding_mode="floor") + before, safe)
    return torch.where(step > 0, filled.floor().clamp(max=255).double(), values)


def _invert(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    del images, parameter
    return 255 - values


def _posterize(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    del images
    unit = 2**parameter
    return (values / unit).floor() * unit


def _solarize(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    del images
    return torch.where(values < parameter, values, 255 - values)


def _solarize_add(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    del images
    return torch.where(values < 128, (values + parameter).clamp(max=255), values)


def _contrast(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    mean = (_luma(images).double().mean((1, 2, 3)) + 0.5).floor()[:, None, None]
    return _blend(mean.float(), values.float(), parameter).double()


def _brightness(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    del images
    return _blend(torch.zeros_like(values).float(), values.float(), parameter).double()


_TABLES: dict[str, Any] = {
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "invert": _invert,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "contrast": _contrast,
    "brightness": _brightness,
}


def _luma(images: Tensor) -> Tensor:
    """Return the brightness (n, 1, H, W) in whole numbers, with PIL's fixed-point weights."""
    red, green, blue = images.unbind(1)
    return ((red * 19595 + green * 38470 + blue * 7471 + 32768) / 65536).floor()[:, None]


def _blend(other: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """Move from ``other`` through the images by a factor; PIL truncates, in float32."""
    return (other + factor.float() * (images - other)).clamp(0, 255).floor()


def _colour(images: Tensor, operation: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    del operation
    factor = _parameter("colour", level, sign).to(images.device, non_blocking=True)
    return _blend(_luma(images), images, factor[:, None, None, None])


def _sharpness(images: Tensor, operation: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    del operation
    factor = _parameter("sharpness", level, sign).to(images.device, non_blocking=True)
    kernel = images.new_ones(images.shape[1], 1, 3, 3)
    kernel[:, :, 1, 1] = 5
    # The border has no full neighbourhood and stays as it is.
    smooth = images.clone()
    total = torch.nn.functional.conv2d(images, kernel, groups=images.shape[1])
    smooth[..., 1:-1, 1:-1] = (total.round() / 13 + 0.5).floor()
    return _blend(smooth, images, factor[:, None, None, None])


def matrices(operation: Tensor, level: Tensor, sign: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the maps (n, 2, 3) from a result's pixels (x, y, 1) to the image's.

    Args:
        operation: (n,) positions in ``OPERATIONS``, all of ``WARPS``.
        level: (n,) 0..10.
        sign: (n,) directions.
        size: height and width in pixels.
    """
    height, width = size
    found = torch.eye(2, 3, dtype=torch.float64).repeat(len(operation), 1, 1)
    of = {
        name: torch.where(operation == OPERATIONS.index(name), _parameter(name, level, sign), 0.0)
        for name in WARPS
    }
    angle = torch.deg2rad(of["rotate"])
    cosine, sine = torch.cos(angle), torch.sin(angle)
    found[:, 0, 0] = found[:, 1, 1] = cosine
    found[:, 0, 1] = of["shear_x"] - sine
    found[:, 1, 0] = of["shear_y"] + sine
    x, y = width / 2, height / 2
    found[:, 0, 2] = of["translate_x"] * width + x - cosine * x + sine * y
    found[:, 1, 2] = of["translate_y"] * height + y - sine * x - cosine * y
    return found


def _warp(images: Tensor, operation: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    maps = matrices(operation, level, sign, (images.shape[2], images.shape[3]))
    sampled = affine.sample(images, maps.to(images.device, non_blocking=True), FILL)
    # PIL truncates sums in float64; ours in float32 may fall just short of a whole number.
    return (sampled + 2e-4).floor().clamp(0, 255)
