"""Mixup and CutMix of a batch with its own reverse, and the cross-entropy on soft targets.

As timm's Mixup in mode "batch": one mixing weight per step, drawn on the CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from harness import ranges
from harness.errors import UserError
from harness.ranges import AnyCount, ShareBelowOne

SWITCH = 0.5
"""Probability of CutMix rather than mixup where both are on (timm's default)."""

AlphaOrOff = Annotated[float, Meta(ge=0, le=100)]
"""Alpha of a Beta distribution; 0 switches the mixing off."""


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """Settings of mixup, CutMix and label smoothing of one classification.

    Attributes:
        classes: number of classes K.
        mixup: alpha of the symmetric Beta(alpha, alpha) of mixup's weight; 0 switches it off.
        cutmix: likewise for CutMix, whose weight is the share of the image that is kept.
        label_smoothing: share of the target that is spread evenly over all classes.
    """

    classes: AnyCount
    mixup: AlphaOrOff = 0.0
    cutmix: AlphaOrOff = 0.0
    label_smoothing: ShareBelowOne = 0.0

    def __post_init__(self) -> None:
        ranges.check(self)

    @property
    def mixes(self) -> bool:
        """Whether mixup or CutMix is on."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def ties(self) -> str | None:
        """Why a batch cannot be divided, for ``Task.needs_whole``; None if it can be."""
        return "mixup and CutMix mix images of the batch" if self.mixes else None


def check(mixup: float, cutmix: float, label_smoothing: float) -> None:
    """Check that the alphas are not negative and the smoothing lies in 0..1.

    Raises:
        UserError: one of them is out of range.
    """
    if mixup < 0 or cutmix < 0:
        raise UserError(f"mixup is {mixup} and cutmix {cutmix}; they must be at least 0.")
    if not 0 <= label_smoothing <= 1:
        raise UserError(f"label_smoothing is {label_smoothing}; allowed: 0 to 1.")


Draws = tuple[float, float, float, float]
"""Uniform draws in 0..1: which kind of mixing, its weight, and row and column of a rectangle."""


def draw(settings: Mixing, generator: torch.Generator) -> Draws | None:
    """Draw what ``mix`` needs for a step; None where nothing is mixed."""
    if not settings.mixes:
        return None
    kind, share, row, column = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    return kind, share, row, column


def mix(
    images: Tensor, labels: Tensor, settings: Mixing, drawn: Draws | None
) -> tuple[Tensor, Tensor]:
    """Mix a batch with itself in reverse order.

    Args:
        images: (B, C, H, W).
        labels: (B,) int64.
        settings: which kinds of mixing are on.
        drawn: from ``draw`` under the same settings.

    Returns:
        Images, and targets: the labels (B,) where nothing is mixed, else (B, K) float32 with
        smoothed labels.
    """
    if drawn is None:
        return images, labels
    switch, share, row, column = drawn
    use_cutmix = switch < SWITCH if settings.mixup and settings.cutmix else settings.cutmix > 0
    weight = beta(share, settings.cutmix if use_cutmix else settings.mixup)
    if use_cutmix:
        top, bottom, left, right = rectangle(images.shape[2:], weight, row, column)
        mixed = images.clone()
        mixed[..., top:bottom, left:right] = images.flip(0)[..., top:bottom, left:right]
        # The border may cut the rectangle, so the weight is recomputed from its true area.
        weight = 1 - (bottom - top) * (right - left) / math.prod(images.shape[2:])
    else:
        mixed = weight * images + (1 - weight) * images.flip(0)
    smoothing = settings.label_smoothing
    # Smoothed one-hot targets: s / K everywhere, plus 1 - s at the label; then the same weighted
    # sum as of the images.
    spread = smoothing / settings.classes
    targets = images.new_full((len(labels), settings.classes), spread, dtype=torch.float32)
    targets.scatter_(1, labels[:, None], 1 - smoothing + spread)
    return mixed, weight * targets + (1 - weight) * targets.flip(0)


def loss(logits: Tensor, targets: Tensor, settings: Mixing) -> Tensor:
    """Return the mean cross-entropy of logits (B, K) against the targets of ``mix``."""
    # Soft targets are smoothed already.
    smoothing = 0.0 if settings.mixes else settings.label_smoothing
    return nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing)


def beta(uniform: float, alpha: float) -> float:
    """Turn a uniform draw into one from Beta(alpha, alpha), by inverting its CDF."""
    from scipy.special import betaincinv

    return float(betaincinv(alpha, alpha, uniform))


def rectangle(
    size: torch.Size | tuple[int, int], weight: float, row: float, column: float
) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of CutMix's rectangle, clipped to the image.

    Its sides are sqrt(1 - weight) of the image's, so its area is the share 1 - weight.

    Args:
        size: height and width in pixels.
        weight: share of the image that is kept.
        row: position of the centre, as a share of the height.
        column: likewise, as a share of the width.
    """
    edges: list[int] = []
    for side, position in zip(size, (row, column), strict=True):
        extent, centre = int(side * math.sqrt(1 - weight)), int(position * side)
        edges += [max(centre - extent // 2, 0), min(centre + (extent + 1) // 2, side)]
    top, bottom, left, right = edges
    return top, bottom, left, right
