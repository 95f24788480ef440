"""Batched colour augmentation of contrastive methods: jitter, grey, blur, solarise, per image.

Parameters are drawn on the CPU and applied on the images' device, without synchronisation. All
operations commute with mirroring, so they may follow a crop that already flips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor

from harness import ranges
from harness.augment.constants import counted, per_device, vector
from harness.augment.resample import products
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
    colours = images.shape[1] == 3
    # One table for all changes, so that a step uploads once.
    table = _table(draws, settings, images).to(images.device, non_blocking=True)
    passes = table[:, : 3 * PASSES].unflatten(1, (PASSES, 3))
    shift, sigma, threshold = table[:, 3 * PASSES :].unbind(1)
    own, mean = _matrices(passes, images.shape[1])
    linear = [_Change(_blended, passes[:, n], (own[:, n], mean[:, n])) for n in range(6)]
    changes: list[_Change] = []
    if settings.jitter > 0:
        turned = [_Change(_hue, shift, (shift,), nothing=(0.0,))] if colours else []
        changes += [*linear[:3], *turned, *linear[3:]]
    if settings.grey > 0 and colours:
        changes.append(_Change(_multiplied, passes[:, 6], (own[:, 6],)))
    if settings.blur > 0:
        changes.append(_Change(blur, sigma, (sigma,), nothing=(0.0,)))
    if settings.solarise > 0:
        changes.append(_Change(_solarised, threshold, (threshold,), nothing=(NEVER,)))
    if images.device.type == "cpu":
        images = images.clone(memory_format=torch.contiguous_format)
    for change in changes:
        images = change(images)
    return images


@dataclass(frozen=True)
class _Change:
    """An operation on the images that the table says to change.

    Attributes:
        operation: from images (n, C, H, W) and their parameters (n, ...) to (n, C, H, W); it
            leaves its input alone.
        numbers: of the table, (B,), or (B, 3) of a linear pass.
        parameters: (B, ...) each.
        nothing: the numbers of an image that is not changed.
    """

    operation: Callable[..., Tensor]
    numbers: Tensor
    parameters: tuple[Tensor, ...]
    nothing: tuple[float, ...] = (1.0, 0.0, 0.0)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the changed images; on the CPU the given ones are overwritten.

        How many change is known without waiting for the device on the CPU alone. Elsewhere the
        operation is applied to all images, and returns those as they are that do not change.
        """
        if images.device.type != "cpu":
            return self.of_all(images)
        nothing = vector(*self.nothing, device=images.device)
        rows = (self.numbers.view(len(images), -1) != nothing).any(1).nonzero()[:, 0]
        if len(rows) == len(images):
            return self.of_all(images)
        if len(rows):
            chosen = (parameter.index_select(0, rows) for parameter in self.parameters)
            images.index_copy_(0, rows, self.operation(images.index_select(0, rows), *chosen))
        return images

    def of_all(self, images: Tensor) -> Tensor:
        """Return the operation's result for all images, on any device."""
        return self.operation(images, *self.parameters)


PASSES = 7
"""Linear changes of an image: three before its hue, three after it, and the greyscale."""

NEVER = 2.0
"""Threshold of images that are not solarised; all values are below it."""


def _table(draws: Draws, settings: Colour, images: Tensor) -> Tensor:
    """Return all changes of B images in numbers, (B, 3 * PASSES + 3), on the device of the draws.

    A pass replaces an image x by the clipped f x + s luma(x) + m mean(luma(x)), of which the table
    has f, s and m; without a change they are 1, 0 and 0. Then come the hue's shift, the blur's
    standard deviation in pixels and the threshold of the solarisation.
    """
    count, order = len(images), draws.order
    # The jitter's order (B, 4) around the hue (number 3): before it, positions 0, 1, 2 as far as
    # they come before its own; after it, the three that follow.
    is_hue = order == 3
    hue = torch.where(is_hue.any(1, keepdim=True), is_hue.int().argmax(1, keepdim=True), 4)
    number = torch.arange(3, device=order.device)
    position = torch.cat([number.expand(count, 3), hue + 1 + number], 1)  # (B, 6)
    valid = torch.cat([number < hue, position[:, 3:] < 4], 1) & (order[:, :1] >= 0)
    operation = torch.where(valid, order.gather(1, position.clamp(max=3)), -1)
    factor = draws.factors.gather(1, operation.clamp(min=0))
    if images.shape[1] == 1:
        operation = torch.where(operation == 2, -1, operation)
    # Blends of the image with black (0), its mean luma (1) or its own luma (2): f x + (1 - f) y.
    passes = torch.stack(
        [
            torch.where(operation < 0, 1.0, factor),
            torch.where(operation == 2, 1 - factor, 0.0),
            torch.where(operation == 1, 1 - factor, 0.0),
        ],
        2,
    )
    grey = draws.grey.float()[:, None]
    others = [
        torch.where(order[:, 0] >= 0, draws.factors[:, 3], 0.0),
        draws.sigma * (images.shape[-1] / REFERENCE_SIZE),
        torch.where(draws.solarise, settings.threshold, NEVER),
    ]
    return torch.cat([passes.flatten(1), 1 - grey, grey, 0 * grey, torch.stack(others, 1)], 1)


@per_device
def _luma(channels: int, *, device: torch.device) -> Tensor:
    """Return the matrix (C, C) that makes every channel of a pixel its luma."""
    if channels == 1:
        return torch.ones(1, 1, device=device)
    return vector(*GREY, device=device).expand(3, 3).clone()


@per_device
def _identity(channels: int, *, device: torch.device) -> Tensor:
    return torch.eye(channels, device=device)


def _matrices(passes: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Return the matrices of the passes (B, n, 3) that act on pixels and on the mean pixel.

    Both are (B, n, C, C): f I + s L and m L, where L makes every channel the luma.
    """
    factor, pixel, mean = passes[..., None, None].unbind(2)
    luma = _luma(channels, device=passes.device)
    identity = _identity(channels, device=passes.device)
    return torch.addcmul(factor * identity, pixel, luma), mean * luma


def _multiplied(images: Tensor, own: Tensor) -> Tensor:
    """Multiply every pixel of images (n, C, H, W) by a matrix of its image's (n, C, C)."""
    return torch.bmm(own, images.flatten(2)).view_as(images)


def _blended(images: Tensor, own: Tensor, mean: Tensor) -> Tensor:
    """Replace pixels x by A x + B m, m being the mean pixel, clipped to 0..1.

    Args:
        images: (n, C, H, W), contiguous.
        own: A, (n, C, C).
        mean: B, likewise.
    """
    flat = images.flatten(2)
    shift = torch.bmm(mean, flat.mean(2, keepdim=True))
    return torch.baddbmm(shift, own, flat).clamp_(0, 1).view_as(images)


def _solarised(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert the values at or above a threshold (n,)."""
    return torch.where(images >= threshold[:, None, None, None], 1 - images, images)


def _hue(images: Tensor, shift: Tensor) -> Tensor:
    """Shift the hue (of HSV) by (n,) turns; saturation and value do not change."""
    red, green, blue = images.split(1, 1)
    high, low = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    extent = high - low
    safe = extent.clamp(min=1e-12)  # of a grey pixel all differences are 0
    # Hue in sixths of the colour circle, 6 h (HSV): its branch is that of the largest channel.
    sixths = torch.where(
        high == red,
        (green - blue).div_(safe),
        torch.where(
            high == green, (blue - red).div_(safe).add_(2), (red - green).div_(safe).add_(4)
        ),
    ).add_(shift[:, None, None, None], alpha=6)
    # HSV to RGB in closed form: low + extent * min(max(|k - 2| - 1, 0), 1), k = (n + 6 h) mod 6,
    # with n = 5, 3, 1 for red, green, blue.
    n = vector(5.0, 3.0, 1.0, device=images.device)[:, None, None]
    share = (sixths + n).remainder_(6).sub_(2).abs_().sub_(1).clamp_(0, 1)
    return torch.addcmul(low, share, extent, out=share).clamp_(0, 1)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur images (B, C, S, S) by Gaussians of standard deviation ``sigma`` (B,) in pixels.

    The border is mirrored without repeating the edge pixel. The blur along each axis is a product
    with one (S, S) matrix per image, whose rows sum to 1: W X W^T.
    """
    precision = sigma.clamp(min=1e-3).pow(-2)[:, None, None, None]  # 1 / sigma^2
    exponent = _mirrored(images.shape[-1], device=images.device) * precision
    # e^-60 vanishes beside 1 in float32. Smaller values would become denormal numbers, with which
    # a CPU computes many times slower.
    weight = exponent.clamp_(min=-60.0).exp_().sum(1)
    weight = weight.div_(weight.sum(2, keepdim=True))
    return products(images, weight, weight)


@per_device
def _mirrored(side: int, *, device: torch.device) -> Tensor:
    """Return -d^2 / 2 of all pairs of pixels of an axis of S pixels, (3, S, S).

    d is the distance of target (row) and source (column): itself, and its mirror images at -source
    and 2 (S - 1) - source. The edge pixels are their own mirror images and are counted once.
    """
    pixel = counted(side, device=device)
    target, source = pixel[:, None], pixel[None, :]
    before = torch.where(source > 0, target + source, torch.inf)
    after = torch.where(source < side - 1, 2 * (side - 1) - target - source, torch.inf)
    return torch.stack([target - source, before, after]).square() / -2
