"""Batched colour augmentation of contrastive methods: jitter, grey, blur, solarise, per image.

Parameters are drawn on the CPU and applied on the images' device, without synchronisation. All
operations commute with mirroring, so they may follow a crop that already flips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor

from harness import ranges
from harness.ranges import Share

GREY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in the luma, as in torchvision."""

REFERENCE_SIZE = 224
"""Image side in pixels at which ``Colour.sigma`` is given; blur widths scale with the side."""

Change = Annotated[float, Meta(ge=0, le=10)]
"""Half the range of an enhancement's factor."""

Sigma = Annotated[float, Meta(gt=0, le=224)]
"""Standard deviation of a blur in pixels of an image of 224."""


@dataclass(frozen=True, kw_only=True)
class Colour:
    """Settings of one view's colour augmentation; jitter ranges as in torchvision's ColorJitter.

    Attributes:
        brightness: the factor is drawn uniformly from [max(0, 1 - x), 1 + x].
        contrast: likewise.
        saturation: likewise.
        hue: the shift is drawn uniformly from [-x, x], in turns of the colour circle.
        jitter: probability of applying these four, in random order.
        grey: probability of converting to greyscale.
        blur: probability of a Gaussian blur.
        sigma: range of the blur's standard deviation in pixels at 224.
        solarise: probability of inverting the values at or above ``threshold``.
        threshold: in 0..1.
    """

    brightness: Change = 0.4
    contrast: Change = 0.4
    saturation: Change = 0.4
    hue: Annotated[float, Meta(ge=0, le=0.5)] = 0.1
    jitter: Share = 0.8
    grey: Share = 0.2
    blur: Share = 0.5
    sigma: tuple[Sigma, Sigma] = (0.1, 2.0)
    solarise: Share = 0.0
    threshold: Share = 128 / 255

    def __post_init__(self) -> None:
        ranges.check(self)
        ranges.check_pair(self, "sigma")


@dataclass(frozen=True)
class Draws:
    """Random colour parameters of B images, on the CPU.

    Attributes:
        factors: (B, 4) of brightness, contrast, saturation and hue.
        order: (B, 4) permutations of the four; -1 throughout where an image is not jittered.
        grey: (B,) bool.
        solarise: (B,) bool.
        sigma: (B,) standard deviation of the blur in pixels at 224, 0 for none.
    """

    factors: Tensor
    order: Tensor
    grey: Tensor
    solarise: Tensor
    sigma: Tensor


def draw(settings: Colour, count: int, generator: torch.Generator) -> Draws:
    """Draw the colour parameters of ``count`` images.

    Every call takes the same number of random values, whatever the settings and outcomes.
    """
    chance = torch.rand(count, 5, generator=generator)
    uniform = torch.rand(count, 4, generator=generator)
    order = torch.rand(count, 4, generator=generator).argsort(1)
    half_range = torch.tensor(
        [settings.brightness, settings.contrast, settings.saturation, settings.hue]
    )
    centre = torch.tensor([1.0, 1.0, 1.0, 0.0])
    # As in torchvision: factors are at least 0, hue shifts at most half a turn.
    low = (centre - half_range).clamp(min=-0.5)
    low[:3] = low[:3].clamp(min=0)
    factors = low + uniform * (centre + half_range - low)
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
    """Return images (B, C, H, W) in 0..1, C = 1 or 3, with the drawn colour changes applied.

    Saturation, hue and the greyscale conversion are skipped for greyscale images (C = 1).
    """
    images = images.clone()
    operations = (_brightness, _contrast, _saturation, _hue)
    # One pass per position in the order: each image's operation at that position, batched over the
    # images that have the same operation there.
    for position in range(4):
        for number, operation in enumerate(operations[: 4 if images.shape[1] == 3 else 2]):
            rows = (draws.order[:, position] == number).nonzero()[:, 0]
            factor = draws.factors[rows, number].to(images.device, non_blocking=True)
            _change(images, rows, partial(operation, factor=factor[:, None, None, None]))
    if images.shape[1] == 3:
        _change(
            images, draws.grey.nonzero()[:, 0], lambda selected: _grey(selected).expand_as(selected)
        )
    rows = (draws.sigma > 0).nonzero()[:, 0]
    sigma = draws.sigma[rows].to(images.device, non_blocking=True)
    scale = images.shape[-1] / REFERENCE_SIZE
    _change(images, rows, lambda selected: blur(selected, sigma * scale))
    _change(
        images,
        draws.solarise.nonzero()[:, 0],
        lambda selected: torch.where(selected >= settings.threshold, 1 - selected, selected),
    )
    return images


def _change(images: Tensor, rows: Tensor, operation: Callable[[Tensor], Tensor]) -> None:
    """Apply an operation in place to some rows; it receives a copy that it may overwrite."""
    if len(rows):
        device_rows = rows.to(images.device, non_blocking=True)
        images.index_copy_(0, device_rows, operation(images.index_select(0, device_rows)))


def _grey(images: Tensor) -> Tensor:
    """Return the luma (B, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return (GREY[0] * red).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])[:, None]


# The operations below work in place: images are small, so allocating memory would cost more than
# the arithmetic.


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """Return factor * images + (1 - factor) * other, clipped to 0..1."""
    return images.mul_(factor).add_((1 - factor) * other).clamp_(0, 1)


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with black."""
    return images.mul_(factor).clamp_(0, 1)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the image's mean luma, one value per image."""
    return _blend(images, _grey(images).mean((1, 2, 3), keepdim=True), factor)


def _saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the greyscale image."""
    return _blend(images, _grey(images), factor)


def _hue(images: Tensor, factor: Tensor) -> Tensor:
    """Shift the hue (of HSV) by ``factor`` turns; saturation and value do not change."""
    red, green, blue = images.unbind(1)
    high = torch.maximum(red, green).maximum(blue)
    extent = high - torch.minimum(red, green).minimum(blue)
    safe = torch.where(extent > 0, extent, 1.0)
    # Hue in sixths of the colour circle, 6 h (HSV): its branch is that of the largest channel.
    sixths = torch.where(
        high == red,
        (green - blue).div_(safe),
        torch.where(
            high == green, (blue - red).div_(safe).add_(2), (red - green).div_(safe).add_(4)
        ),
    ).add_(6 * factor[:, 0])
    # HSV to RGB in closed form: high - extent * max(0, min(k, 4 - k, 1)), k = (n + 6 h) mod 6,
    # with n = 5, 3, 1 for red, green, blue.
    for channel, n in enumerate((5.0, 3.0, 1.0)):
        k = (sixths + n).remainder_(6)
        share = torch.minimum(k, 4 - k).clamp_(0, 1)
        torch.sub(high, share.mul_(extent), out=images[:, channel])
    return images.clamp_(0, 1)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur images (B, C, S, S) by Gaussians of standard deviation ``sigma`` (B,) in pixels.

    The border is mirrored without repeating the edge pixel. The blur along each axis is a product
    with one (S, S) matrix per image, whose rows sum to 1: W X W^T.
    """
    side = images.shape[-1]
    pixel = torch.arange(side, device=images.device, dtype=torch.float32)
    twice_variance = 2 * sigma.clamp(min=1e-3)[:, None, None] ** 2  # 2 sigma^2, (B, 1, 1)
    target, source = pixel[:, None], pixel[None, :]
    weight = _gauss(target - source, twice_variance)
    # A source pixel also stands for its mirror images at -source and 2 (S - 1) - source; the edge
    # pixels are their own mirror images and are counted once.
    inner = (source > 0).float()
    weight = weight + inner * _gauss(target + source, twice_variance)
    outer = (source < side - 1).float()
    weight = weight + outer * _gauss(2 * (side - 1) - target - source, twice_variance)
    weight = weight / weight.sum(2, keepdim=True)
    transposed = weight.transpose(1, 2)
    blurred = [weight @ images[:, channel] @ transposed for channel in range(images.shape[1])]
    return torch.stack(blurred, 1)


def _gauss(distance: Tensor, twice_variance: Tensor) -> Tensor:
    """Return exp(-distance^2 / twice_variance), with the exponent limited to -60.

    e^-60 vanishes beside 1 in float32. Smaller values would become denormal numbers, with which a
    CPU computes many times slower.
    """
    return torch.exp(-(distance.square() / twice_variance).clamp(max=60.0))
