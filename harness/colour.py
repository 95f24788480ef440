"""Batched colour augmentation of contrastive methods: jitter, grey, blur, solarise, per image.

Draws are made on the CPU, applied on the images' device; no image waits for another. Everything
here commutes with mirroring, so that it does not matter that flips come with the crop.
"""

from __future__ import annotations

from dataclasses import dataclass

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
            if len(rows):
                there = rows.to(images.device, non_blocking=True)
                factor = draws.factors[rows, number].to(images.device, non_blocking=True)
                images[there] = operation(images[there], factor[:, None, None, None])
    if images.shape[1] == 3:
        _change(images, draws.grey, lambda some: _grey(some).expand_as(some))
    blurred = draws.sigma > 0
    sigma = draws.sigma[blurred].to(images.device, non_blocking=True)
    scale = images.shape[-1] / REFERENCE_SIZE
    _change(images, blurred, lambda some: blur(some, sigma * scale))
    _change(
        images,
        draws.solarise,
        lambda some: torch.where(some >= settings.threshold, 1 - some, some),
    )
    return images


def _change(images: Tensor, chosen: Tensor, operation: object) -> None:
    rows = chosen.nonzero()[:, 0]
    if len(rows):
        there = rows.to(images.device, non_blocking=True)
        images[there] = operation(images[there])  # type: ignore[operator]


def _grey(images: Tensor) -> Tensor:
    """Return the brightness (B, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return (GREY[0] * red + GREY[1] * green + GREY[2] * blue)[:, None]


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (factor * images + (1 - factor) * other).clamp(0, 1)


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return (factor * images).clamp(0, 1)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    return _blend(images, _grey(images).mean((1, 2, 3), keepdim=True), factor)


def _saturation(images: Tensor, factor: Tensor) -> Tensor:
    return _blend(images, _grey(images), factor)


def _hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by ``shift`` turns: saturation and value stay."""
    high, low = images.amax(1), images.amin(1)
    extent = high - low
    red, green, blue = images.unbind(1)
    safe = torch.where(extent > 0, extent, torch.ones_like(extent))
    hue = torch.where(
        high == red,
        (green - blue) / safe,
        torch.where(high == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = hue / 6 + shift[:, 0]
    # A channel of hue h is high - extent * max(0, min(k, 4 - k, 1)) with k = (n + 6 h) mod 6.
    channels = []
    for n in (5.0, 3.0, 1.0):
        k = (n + 6 * hue) % 6
        channels.append(high - extent * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, 1).clamp(0, 1)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur images (B, C, S, S) by Gaussians of width ``sigma`` (B,), mirrored at the border.

    One (S, S) matrix an image and axis; rows sum to 1.
    """
    side = images.shape[-1]
    place = torch.arange(side, device=images.device, dtype=torch.float32)
    width = 2 * sigma.clamp(min=1e-3)[:, None, None] ** 2
    to, source = place[:, None], place[None, :]
    weight = torch.exp(-((to - source) ** 2) / width)
    # What lies past the border is the mirror image of what lies before it, the edge once.
    inner = (source > 0).float()
    weight = weight + inner * torch.exp(-((to + source) ** 2) / width)
    outer = (source < side - 1).float()
    weight = weight + outer * torch.exp(-((2 * (side - 1) - to - source) ** 2) / width)
    weight = weight / weight.sum(2, keepdim=True)
    return weight[:, None] @ images @ weight.transpose(1, 2)[:, None]
