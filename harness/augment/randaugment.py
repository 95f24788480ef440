"""Batched RandAugment as timm's ``rand-m9-mstd0.5-inc1``: two random operations per image.

Parameters are drawn on the CPU and applied on the images' device, grouped by operation. Values are
whole numbers in 0..255, rounded where PIL rounds: each operation agrees with PIL's to within 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from msgspec import Meta
from torch import Tensor

from harness import ranges
from harness.augment import affine
from harness.ranges import Share

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
"""Operations that map each value to another, applied together through look-up tables."""

BLENDS = ("colour", "sharpness")
"""Operations that blend an image with a degenerate version of itself."""

WARPS = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
"""Affine operations."""

OPERATIONS = TABLES + BLENDS + WARPS

FILL = (124, 116, 104)
"""RGB of pixels that a warp leaves empty: ImageNet's mean in 0..255 (timm, create_transform)."""

Level = Annotated[float, Meta(ge=0, le=10)]
"""Strength of an operation, or its spread."""


@dataclass(frozen=True, kw_only=True)
class RandAugment:
    """Settings of RandAugment (timm, "rand-m9-mstd0.5-inc1").

    Attributes:
        operations: number of draws per image, with replacement, from the fifteen operations.
        probability: of applying each drawn operation.
        magnitude: mean of the normal distribution of levels, which are clipped to 0..10.
        deviation: its standard deviation.
    """

    key_name: ClassVar[str] = "randaugment"

    operations: Annotated[int, Meta(ge=1, le=100)] = 2
    probability: Share = 0.5
    magnitude: Level = 9.0
    deviation: Level = 0.5

    def __post_init__(self) -> None:
        ranges.check(self)


@dataclass(frozen=True)
class Draws:
    """Random operations of B images; each field is (B, operations), on the CPU.

    Attributes:
        operation: int64 index into ``OPERATIONS``; -1 for no operation.
        level: 0..10, float64.
        sign: -1 or 1: direction of a warp, or less or more of an enhancement.
    """

    operation: Tensor
    level: Tensor
    sign: Tensor


def draw(settings: RandAugment, count: int, generator: torch.Generator) -> Draws:
    """Draw operations, levels and signs for ``count`` images.

    Every call takes the same number of random values, whatever the outcomes.
    """
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
    """Return images (B, 3, H, W) after applying each image's own operations in turn.

    Args:
        images: float; values are rounded and clipped to 0..255 first, as a decoded crop is.
        draws: from ``draw``.
    """
    images = images.round().clamp(0, 255)
    for number in range(draws.operation.shape[1]):
        operation, level, sign = (
            field[:, number] for field in (draws.operation, draws.level, draws.sign)
        )
        changes: list[tuple[Tensor, Any]] = [
            ((operation >= 0) & (operation < len(TABLES)), _look_up),
            (operation >= len(TABLES) + len(BLENDS), _warp),
            (operation == OPERATIONS.index("colour"), _colour),
            (operation == OPERATIONS.index("sharpness"), _sharpness),
        ]
        for selected, change in changes:
            rows = selected.nonzero()[:, 0]
            if len(rows):
                device_rows = rows.to(images.device, non_blocking=True)
                images[device_rows] = change(
                    images[device_rows], operation[rows], level[rows], sign[rows]
                )
    return images


def _look_up(images: Tensor, operation: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """Apply the operations of ``TABLES`` through one table of 256 values per image and channel.

    Args:
        images: (n, C, H, W), whole numbers in 0..255.
        operation: (n,) indices into ``TABLES``.
        level: (n,) 0..10.
        sign: (n,) directions.
    """
    n, channels, height, width = images.shape
    device = images.device
    values = torch.arange(256, dtype=torch.float64, device=device)
    tables = values.expand(n, channels, 256).clone()
    for position, name in enumerate(TABLES):
        rows = (operation == position).nonzero()[:, 0]
        if len(rows):
            device_rows = rows.to(device, non_blocking=True)
            parameter = _parameter(name, level[rows], sign[rows])[:, None, None]
            parameter = parameter.to(device, non_blocking=True)
            tables[device_rows] = _TABLES[name](images[device_rows], values, parameter)
    flat = images.flatten(2).long()
    return tables.float().gather(2, flat).view(n, channels, height, width)


def _parameter(name: str, level: Tensor, sign: Tensor) -> Tensor:
    """Convert levels (n,) to an operation's parameter, which rises in severity (timm, inc1)."""
    severity = level / 10
    match name:
        case "posterize":  # bits dropped; all eight at level 10, which recent PILs refuse
            return 4 + (severity * 4).floor()
        case "solarize":  # first value that is inverted
            return 256 - (severity * 256).floor().clamp(max=256)
        case "solarize_add":
            return (severity * 110).floor().clamp(max=128)
        case "contrast" | "brightness" | "colour" | "sharpness":
            return (1 + sign * 0.9 * severity).clamp(min=0.1)
        case "rotate":  # degrees
            return sign * severity * 30
        case "shear_x" | "shear_y":
            return sign * severity * 0.3
        case "translate_x" | "translate_y":  # share of the side
            return sign * severity * 0.45
        case _:
            return torch.zeros_like(level)


# Each function below returns the look-up tables (n, C, 256) of one operation, or a shape that
# broadcasts to it, from images (n, 3, H, W), values (256,) and parameters (n, 1, 1).


def _autocontrast(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    """Stretch each channel's range to 0..255."""
    del parameter
    low, high = (f(images.double(), (2, 3))[..., None] for f in (torch.amin, torch.amax))
    extent = high - low
    # The same division and order of products as in PIL: results that PIL truncates can lie exactly
    # on a whole number, where another order would round them to the one below.
    scale = torch.full_like(extent, 255) / torch.where(extent > 0, extent, 1.0)
    stretched = (values * scale - low * scale).trunc().clamp(0, 255)
    return torch.where(extent > 0, stretched, values)


def _equalize(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    """Equalise each channel's histogram, in PIL's integer arithmetic (ImageOps.equalize)."""
    del parameter
    flat = images.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    last_count = counts.gather(2, flat.amax(2, keepdim=True))
    # PIL: step = (pixels - count of the largest value) // 255; the entry of v is
    # (step // 2 + pixels below v) // step, and the image stays as it is where step is 0.
    step = torch.div(flat.shape[2] - last_count, 255, rounding_mode="floor")
    below = counts.cumsum(2) - counts
    divisor = step.clamp(min=1)
    entries = torch.div(torch.div(divisor, 2, rounding_mode="floor") + below, divisor)
    return torch.where(step > 0, entries.floor().clamp(max=255).double(), values)


def _invert(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    """Replace v by 255 - v."""
    del images, parameter
    return 255 - values


def _posterize(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    """Clear the lowest bits."""
    del images
    unit = 2**parameter
    return (values / unit).floor() * unit


def _solarize(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    """Invert the values at or above the threshold."""
    del images
    return torch.where(values < parameter, values, 255 - values)


def _solarize_add(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    """Add to the values below 128."""
    del images
    return torch.where(values < 128, (values + parameter).clamp(max=255), values)


def _contrast(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    """Blend with the image's mean luma, rounded as in PIL's ImageEnhance.Contrast."""
    mean = (_luma(images).double().mean((1, 2, 3)) + 0.5).floor()[:, None, None]
    return _blend(mean.float(), values.float(), parameter).double()


def _brightness(images: Tensor, values: Tensor, parameter: Tensor) -> Tensor:
    """Blend with black."""
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
    """Return the luma (n, 1, H, W) in whole numbers, with PIL's 16-bit fixed-point weights."""
    red, green, blue = images.unbind(1)
    return ((red * 19595 + green * 38470 + blue * 7471 + 32768) / 65536).floor()[:, None]


def _blend(other: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """Return other + factor * (images - other), truncated; PIL computes this in float32, too."""
    return (other + factor.float() * (images - other)).clamp(0, 255).floor()


def _colour(images: Tensor, operation: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """Blend with the greyscale image (PIL's ImageEnhance.Color)."""
    del operation
    factor = _parameter("colour", level, sign).to(images.device, non_blocking=True)
    return _blend(_luma(images), images, factor[:, None, None, None])


def _sharpness(images: Tensor, operation: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """Blend with the image smoothed by PIL's 3 x 3 SMOOTH filter (ImageEnhance.Sharpness)."""
    del operation
    factor = _parameter("sharpness", level, sign).to(images.device, non_blocking=True)
    # Weights 5 at the centre and 1 around it, over 13.
    kernel = images.new_ones(images.shape[1], 1, 3, 3)
    kernel[:, :, 1, 1] = 5
    # PIL copies the border pixels, which have no full neighbourhood.
    smooth = images.clone()
    total = torch.nn.functional.conv2d(images, kernel, groups=images.shape[1])
    smooth[..., 1:-1, 1:-1] = (total.round() / 13 + 0.5).floor()
    return _blend(smooth, images, factor[:, None, None, None])


def matrices(operation: Tensor, level: Tensor, sign: Tensor, size: tuple[int, int]) -> Tensor:
    """Return affine maps (n, 2, 3) from output pixels (x, y, 1) to input pixels (x, y).

    Args:
        operation: (n,) indices into ``OPERATIONS``, all of them in ``WARPS``.
        level: (n,) 0..10.
        sign: (n,) directions.
        size: height and width in pixels.
    """
    height, width = size
    maps = torch.eye(2, 3, dtype=torch.float64).repeat(len(operation), 1, 1)
    # Parameters by operation, 0 (no effect) for the images whose operation is another one.
    parameters = {
        name: torch.where(operation == OPERATIONS.index(name), _parameter(name, level, sign), 0.0)
        for name in WARPS
    }
    angle = torch.deg2rad(parameters["rotate"])
    cosine, sine = torch.cos(angle), torch.sin(angle)
    maps[:, 0, 0] = maps[:, 1, 1] = cosine
    maps[:, 0, 1] = parameters["shear_x"] - sine
    maps[:, 1, 0] = parameters["shear_y"] + sine
    # Rotation is about the image's centre c, as in timm: an offset of c - R c. Shears are about the
    # origin.
    centre_x, centre_y = width / 2, height / 2
    maps[:, 0, 2] = (
        parameters["translate_x"] * width + centre_x - cosine * centre_x + sine * centre_y
    )
    maps[:, 1, 2] = (
        parameters["translate_y"] * height + centre_y - sine * centre_x - cosine * centre_y
    )
    return maps


def _warp(images: Tensor, operation: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """Apply affine operations with bicubic sampling; empty pixels get ``FILL``."""
    maps = matrices(operation, level, sign, (images.shape[2], images.shape[3]))
    sampled = affine.sample(images, maps.to(images.device, non_blocking=True), FILL)
    # PIL truncates sums in float64; the float32 sums here can fall just short of a whole number.
    return (sampled + 2e-4).floor().clamp(0, 255)
