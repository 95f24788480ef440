"""Mixup and CutMix of a batch with its own reverse, and the loss on the soft targets.

As timm's Mixup in mode "batch": one weight a step, drawn on the CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.errors import UserError

SWITCH = 0.5
"""Probability of CutMix where both are on (timm's default)."""


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """Settings of the targets of one classification.

    Attributes:
        classes: K.
        mixup: alpha of the Beta that mixup's weight is drawn from; 0 switches it off.
        cutmix: likewise for CutMix, whose weight is the share of the image that stays.
        label_smoothing: share of the target that is spread over all classes.
    """

    classes: int
    mixup: float = 0.0
    cutmix: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check(self.mixup, self.cutmix, self.label_smoothing)

    @property
    def mixes(self) -> bool:
        """Whether images are mixed at all."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def ties(self) -> str | None:
        """What ties the images of a batch together, for ``Task.needs_whole``."""
        return "mixup and CutMix mix images of the batch" if self.mixes else None


def check(mixup: float, cutmix: float, label_smoothing: float) -> None:
    """Check the settings, also where they are given long before a model is built.

    Raises:
        UserError: an alpha is negative, or the smoothing is no share.
    """
    if mixup < 0 or cutmix < 0:
        raise UserError(f"mixup is {mixup} and cutmix {cutmix}; they must be at least 0.")
    if not 0 <= label_smoothing <= 1:
        raise UserError(f"label_smoothing is {label_smoothing}; allowed: 0 to 1.")


def mix(
    images: Tensor, labels: Tensor, settings: Mixing, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix a batch with its reverse.

    Args:
        images: (B, C, H, W).
        labels: (B,) int64.
        settings: which mixing, if any.
        generator: on the CPU; four numbers a call, none where nothing is mixed.

    Returns:
        images and targets: labels themselves where nothing is mixed, else (B, K) float32 with
        the labels smoothed.
    """
    if not settings.mixes:
        return images, labels
    switch, share, row, column = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    cuts = switch < SWITCH if settings.mixup and settings.cutmix else settings.cutmix > 0
    weight = beta(share, settings.cutmix if cuts else settings.mixup)
    if cuts:
        top, bottom, left, right = rectangle(images.shape[2:], weight, row, column)
        mixed = images.clone()
        mixed[..., top:bottom, left:right] = images.flip(0)[..., top:bottom, left:right]
        weight = 1 - (bottom - top) * (right - left) / math.prod(images.shape[2:])
    else:
        mixed = weight * images + (1 - weight) * images.flip(0)
    smoothing = settings.label_smoothing
    spread = smoothing / settings.classes
    targets = images.new_full((len(labels), settings.classes), spread, dtype=torch.float32)
    targets.scatter_(1, labels[:, None], 1 - smoothing + spread)
    return mixed, weight * targets + (1 - weight) * targets.flip(0)


def loss(logits: Tensor, targets: Tensor, settings: Mixing) -> Tensor:
    """Return the mean cross-entropy of logits (B, K) against what ``mix`` returned."""
    # Soft targets are smoothed already.
    smoothing = 0.0 if settings.mixes else settings.label_smoothing
    return nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing)


def beta(uniform: float, alpha: float) -> float:
    """Turn a uniform draw into one of the symmetric Beta, by its inverse."""
    from scipy.special import betaincinv

    return float(betaincinv(alpha, alpha, uniform))


def rectangle(
    size: torch.Size | tuple[int, int], weight: float, row: float, column: float
) -> tuple[int, int, int, int]:
    """Return CutMix's top, bottom, left and right: a share 1 - weight, cut by the border.

    Args:
        size: height and width in pixels.
        weight: share of the image that stays.
        row: where the centre lies, as a share of the height.
        column: likewise of the width.
    """
    edges: list[int] = []
    for side, place in zip(size, (row, column), strict=True):
        extent, centre = int(side * math.sqrt(1 - weight)), int(place * side)
        edges += [max(centre - extent // 2, 0), min(centre + (extent + 1) // 2, side)]
    top, bottom, left, right = edges
    return top, bottom, left, right
