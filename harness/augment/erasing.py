"""Batched random erasing: a rectangle is replaced by noise (Zhong et al. 2020).

As timm's RandomErasing in mode "pixel": applied after normalisation, with noise from N(0, 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor

from harness import ranges
from harness.ranges import AspectRatio, Share

ATTEMPTS = 10
"""Attempts to draw a rectangle smaller than the image; if all fail, nothing is erased (timm)."""

Area = Annotated[float, Meta(gt=0, le=1)]
"""Area of a rectangle as a share of the image's."""


@dataclass(frozen=True, kw_only=True)
class Erasing:
    """Settings of random erasing; the defaults are timm's.

    Attributes:
        probability: of erasing a rectangle from an image.
        area: range of the rectangle's area as a share of the image's.
        ratio: range of its height over its width, drawn log-uniformly.
    """

    key_name: ClassVar[str] = "erasing"

    probability: Share = 0.25
    area: tuple[Area, Area] = (0.02, 1 / 3)
    ratio: tuple[AspectRatio, AspectRatio] = (0.3, 1 / 0.3)

    def __post_init__(self) -> None:
        ranges.check(self)
        for name in ("area", "ratio"):
            ranges.check_pair(self, name)


@dataclass(frozen=True)
class Draws:
    """Random rectangles and noise of B images, on the CPU.

    Attributes:
        rectangles: (B, 4) int64 top, left, height, width in pixels; height 0 erases nothing.
        noise: (n,) values for all n erased pixels of 3 channels, by image, then by channel.
    """

    moves: ClassVar[bool] = True  # with the step's other draws to the device

    rectangles: Tensor
    noise: Tensor


def draw(settings: Erasing, count: int, size: int, generator: torch.Generator) -> Draws:
    """Draw the rectangles of ``count`` images of ``size`` x ``size``, then their noise."""
    chance = torch.rand(count, generator=generator, dtype=torch.float64)
    uniform = torch.rand(count, ATTEMPTS, 4, generator=generator, dtype=torch.float64)
    low, high = settings.area
    area = size * size * (low + (high - low) * uniform[..., 0])
    log_low, log_high = (math.log(r) for r in settings.ratio)
    ratio = torch.exp(log_low + (log_high - log_low) * uniform[..., 1])
    height, width = torch.sqrt(area * ratio).round(), torch.sqrt(area / ratio).round()
    top = (uniform[..., 2] * (size - height + 1)).floor()
    left = (uniform[..., 3] * (size - width + 1)).floor()
    # argmax over 0 and 1 returns the first attempt that fits.
    fits = (height < size) & (width < size)
    candidates = torch.stack([top, left, height, width], -1)
    first = candidates[torch.arange(count), fits.int().argmax(1)]
    is_erased = (chance < settings.probability) & fits.any(1)
    rectangles = torch.where(is_erased[:, None], first, 0).long()
    pixels = int((rectangles[:, 2] * rectangles[:, 3]).sum())
    return Draws(rectangles, torch.randn(3 * pixels, generator=generator))


def apply(images: Tensor, draws: Draws) -> Tensor:
    """Return the images (B, 3, S, S) with their rectangles replaced by the drawn noise."""
    pixel = torch.arange(images.shape[-1], device=images.device)
    rectangles = draws.rectangles.to(images.device, non_blocking=True)
    top, left, height, width = rectangles[:, :, None].unbind(1)
    rows = (pixel >= top) & (pixel < top + height)
    columns = (pixel >= left) & (pixel < left + width)
    mask = rows[:, None, :, None] & columns[:, None, None, :]
    # masked_scatter consumes the noise in memory order: image, channel, row, column.
    noise = draws.noise.to(images.device, non_blocking=True)
    return images.masked_scatter(mask.expand_as(images), noise)
