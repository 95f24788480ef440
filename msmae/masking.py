"""Which patches are masked, thrown and visible (paper, eq. 6 and 7)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from harness.errors import UserError


@dataclass(frozen=True)
class Masks:
    """A permutation of the L patches of each image, cut in three.

    Attributes:
        order: (B, L) int64; the first ``masked`` patches are masked, the next ``thrown`` are
            thrown (neither encoded nor reconstructed), the rest are visible.
        masked: patches that are masked.
        thrown: patches that are thrown.
    """

    order: Tensor
    masked: int
    thrown: int

    @property
    def ids_mask(self) -> Tensor:
        """(B, masked) patches to reconstruct."""
        return self.order[:, : self.masked]

    @property
    def ids_throw(self) -> Tensor:
        """(B, thrown) patches that nobody sees."""
        return self.order[:, self.masked : self.masked + self.thrown]

    @property
    def ids_keep(self) -> Tensor:
        """(B, visible) patches that the encoder sees."""
        return self.order[:, self.masked + self.thrown :]


def check_ratios(mask_ratio: float, throw_ratio: float) -> None:
    """Check that some patches stay visible.

    Raises:
        UserError: a ratio is negative or together they reach 1.
    """
    if mask_ratio < 0 or throw_ratio < 0 or _exact(mask_ratio) + _exact(throw_ratio) >= 1:
        raise UserError(
            f"mask_ratio {mask_ratio} + throw_ratio {throw_ratio} must each be at least 0 and"
            " together below 1: some patches must stay visible."
        )


def counts(patches: int, mask_ratio: float, throw_ratio: float) -> tuple[int, int]:
    """Return how many of L patches are masked and thrown: int(L r) and int(L (r + t)) - int(L r).

    Ratios are read as the decimals they are written as, so that 196 * (0.45 + 0.30) is 147.
    """
    masked = int(patches * _exact(mask_ratio))
    return masked, int(patches * (_exact(mask_ratio) + _exact(throw_ratio))) - masked


def _exact(ratio: float) -> Fraction:
    return Fraction(str(ratio))


def uniform(
    size: tuple[int, int], ratios: tuple[float, float], generator: torch.Generator
) -> Masks:
    """Mask and throw patches uniformly at random.

    Args:
        size: (B, L).
        ratios: share masked and share thrown.
        generator: on the CPU; the result is on the CPU too.
    """
    order = torch.rand(size, generator=generator).argsort(1)
    return Masks(order, *counts(size[1], *ratios))


def weighted(weights: Tensor, ratios: tuple[float, float], generator: torch.Generator) -> Masks:
    """Mask patches of high weight first, then throw, by sampling without replacement.

    The order is that of ``weight / E`` descending with E ~ Exp(1), which draws all L indices
    one after the other with probability proportional to weight (what torch.multinomial does;
    paper, eq. 6; AMT). Patches of weight zero come last, in random order among themselves.

    Args:
        weights: (B, L), not negative, on any device.
        ratios: share masked and share thrown.
        generator: on the CPU.
    """
    noise = torch.empty(weights.shape).exponential_(generator=generator)
    race = noise.to(weights.device, non_blocking=True)
    # Ascending E / w is descending w / E and orders zero weights (infinite) by nothing; the
    # second key keeps them random.
    score = torch.where(weights > 0, weights / race, -race)
    return Masks(score.argsort(1, descending=True), *counts(weights.shape[1], *ratios))
