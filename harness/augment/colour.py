"""Batched colour augmentation of contrastive methods: jitter, grey, blur, solarise, per image.

Draws are made on the CPU, applied on the images' device; no image waits for another. Everything
here commutes with mirroring, so that it does not matter that flips come with the crop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

GREY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in brightness, torchvision's."""

REFERENCE_SIZE = 224
"""Blur widths are given in pixels of images of this side, and shrink with smaller ones."""


@dataclass(frozen=True, kw_only=True)
class Colour:
    """Settings of one view's colours; the ranges are torchvision's ColorJitter's.

    Attributes:
        brightness, contrast, saturation: factors are drawn from 1 - x to 1 + x, at least 0.
        hue: shift is drawn from -x to x, in turns of the colour circle.
        jitter: probability of the four, which act in random order.
        grey: probability of losing all colour.
        blur: probability of a Gaussian blur; ``sigma`` its range in pixels at 224.
        solarise: probability of inverting values from ``threshold`` on (0..1).
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    jitter: float = 0.8
    grey: float = 0.2
    blur: float = 0.5
    sigma: tuple[float, float] = (0.1, 2.0)
    solarise: float = 0.0
    threshold: float = 128 / 255


@dataclass(frozen=True)
class Draws:
    """What was drawn for B images, on the CPU.

    Attributes:
        factors: (B, 4) of brightness, contrast, saturation and hue.
        order: (B, 4) permutations of the four; a row of an image that is not jittered is -1.
        grey, solarise: (B,) bool.
        sigma: (B,) blur width in pixels at 224, 0 for none.
    """

    factors: Tensor
    order: Tensor
    grey: Tensor
    solarise: Tensor
    sigma: Tensor


def draw(settings: Colour, count: int, generator: torch.Generator) -> Draws:
    """Draw the colours of ``count`` images; the stream does not depend on what was drawn."""
    chance = torch.rand(count, 5, generator=generator)
    uniform = torch.rand(count, 4, generator=generator)
    order = torch.rand(count, 4, generator=generator).argsort(1)
    reach = torch.tensor(
        [settings.brightness, settings.contrast, settings.saturation, settings.hue]
    )
    centre = torch.tensor([1.0, 1.0, 1.0, 0.0])
    low = (centre - reach).clamp(min=-0.5)
    low[:3] = low[:3].clamp(min=0)
    factors = low + uniform * (centre + reach - low)
    jittered = chance[:, 0] < settings.jitter
    narrow, wide = settings.sigma
    return Draws(
        factors=factors,
        order=torch.where(jittered[:, None], order, -1),
        grey=chance[:, 1] < settings.grey,
        solarise=chance[:, 2] < settings.solarise,
        sigma=torch.where(
            chance[:, 3] < settings.blur, narrow + (wide - narrow) * chance[:, 4], 0.0
        ),
    )


def apply(images: Tensor, draws: Draws, settings: Colour) -> Tensor:
    """Return the images (B, C, H, W) in 0..1, C = 1 or 3, with their colours changed.

    Grey images (C = 1) have no saturation and no hue.
    """
    images = images.clone()
    operations = (_brightness, _contrast, _saturation, _hue)
    for position in range(4):
        for number, operation in enumerate(operations[: 4 if images.shape[1] == 3 else 2]):
            rows = (draws.order[:, position] == number).nonzero()[:, 0]
            factor = draws.factors[rows, number].to(images.device, non_blocking=True)
            _change(images, rows, partial(operation, factor=factor[:, None, None, None]))
    if images.shape[1] == 3:
        _change(images, draws.grey.nonzero()[:, 0], lambda some: _grey(some).expand_as(some))
    rows = (draws.sigma > 0).nonzero()[:, 0]
    sigma = draws.sigma[rows].to(images.device, non_blocking=True)
    scale = images.shape[-1] / REFERENCE_SIZE
    _change(images, rows, lambda some: blur(some, sigma * scale))
    _change(
        images,
        draws.solarise.nonzero()[:, 0],
        lambda some: torch.where(some >= settings.threshold, 1 - some, some),
    )
    return images


def _change(images: Tensor, rows: Tensor, operation: Callable[[Tensor], Tensor]) -> None:
    """Change some rows; the operation is given a copy of them, which it may overwrite."""
    if len(rows):
        there = rows.to(images.device, non_blocking=True)
        images.index_copy_(0, there, operation(images.index_select(0, there)))


def _grey(images: Tensor) -> Tensor:
    """Return the brightness (B, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return (GREY[0] * red).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])[:, None]


# These overwrite the images: the sides are small, and memory that is asked for anew costs more than
# the arithmetic.


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return images.mul_(factor).add_((1 - factor) * other).clamp_(0, 1)


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return images.mul_(factor).clamp_(0, 1)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    return _blend(images, _grey(images).mean((1, 2, 3), keepdim=True), factor)


def _saturation(images: Tensor, factor: Tensor) -> Tensor:
    return _blend(images, _grey(images), factor)


def _hue(images: Tensor, factor: Tensor) -> Tensor:
    """Turn the hue by ``factor`` turns: saturation and value stay."""
    red, green, blue = images.unbind(1)
    high = torch.maximum(red, green).maximum(blue)
    extent = high - torch.minimum(red, green).minimum(blue)
    safe = torch.where(extent > 0, extent, 1.0)
    # Six times the hue, in sixths of the circle.
    sixths = torch.where(
        high == red,
        (green - blue).div_(safe),
        torch.where(
            high == green, (blue - red).div_(safe).add_(2), (red - green).div_(safe).add_(4)
        ),
    ).add_(6 * factor[:, 0])
    # A channel of hue h is high - extent * max(0, min(k, 4 - k, 1)) with k = (n + 6 h) mod 6.
    for channel, n in enumerate((5.0, 3.0, 1.0)):
        k = (sixths + n).remainder_(6)
        share = torch.minimum(k, 4 - k).clamp_(0, 1)
        torch.sub(high, share.mul_(extent), out=images[:, channel])
    return images.clamp_(0, 1)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur images (B, C, S, S) by Gaussians of width ``sigma`` (B,), mirrored at the border.

    One (S, S) matrix an image and axis; rows sum to 1.
    """
    side = images.shape[-1]
    place = torch.arange(side, device=images.device, dtype=torch.float32)
    width = 2 * sigma.clamp(min=1e-3)[:, None, None] ** 2
    to, source = place[:, None], place[None, :]
    weight = _gauss(to - source, width)
    # What lies past the border is the mirror image of what lies before it, the edge once.
    inner = (source > 0).float()
    weight = weight + inner * _gauss(to + source, width)
    outer = (source < side - 1).float()
    weight = weight + outer * _gauss(2 * (side - 1) - to - source, width)
    weight = weight / weight.sum(2, keepdim=True)
    back = weight.transpose(1, 2)
    blurred = [weight @ images[:, channel] @ back for channel in range(images.shape[1])]
    return torch.stack(blurred, 1)


def _gauss(distance: Tensor, width: Tensor) -> Tensor:
    """Return exp(-distance^2 / width), never less than e^-60, nothing in a sum beside 1.

    Smaller values end as denormal numbers, with which a CPU computes many times slower.
    """
    return torch.exp(-(distance.square() / width).clamp(max=60.0))
