"""Random division of patches into masked, thrown and visible ones (paper, eq. 6 and 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from harness.errors import UserError

Weights = Literal["attention", "ones", "lesion", "inverse"]
"""What patches are weighted by, see ``harness.methods.msmae.saliency.MapSettings``."""

LESION_WEIGHTS: tuple[Weights, ...] = ("lesion", "inverse")
"""Weights that are made from the true lesion masks."""

Selection = Literal["drawn", "highest"]
"""How weights become masks: drawn in proportion to them, or the heaviest patches."""

Measure = Literal["nothing", "lesions"]
"""What is measured after every epoch: "lesions", the masks against the true lesions."""


@dataclass(frozen=True)
class Masks:
    """A permutation of the L patches of each image, cut into masked, thrown and visible ones.

    Attributes:
        order: (B, L) int64; the first ``masked`` patches are masked, the next ``thrown`` are
            thrown (neither encoded nor reconstructed), the rest are visible.
        masked: number of masked patches per image.
        thrown: number of thrown patches per image.
    """

    order: Tensor
    masked: int
    thrown: int

    @property
    def ids_mask(self) -> Tensor:
        """Indices (B, masked) of the patches to reconstruct."""
        return self.order[:, : self.masked]

    @property
    def ids_throw(self) -> Tensor:
        """Indices (B, thrown) of the patches that are neither encoded nor reconstructed."""
        return self.order[:, self.masked : self.masked + self.thrown]

    @property
    def ids_keep(self) -> Tensor:
        """Indices (B, visible) of the patches that the encoder gets."""
        return self.order[:, self.masked + self.thrown :]


def masks_for(weights: Weights, measure: Measure, *, masking: bool = True) -> str | None:
    """Return the setting that needs lesion masks, in words; None if none does.

    Args:
        weights: what patches are weighted by.
        measure: what is measured.
        masking: whether patches are masked at all; if not, the weights play no part.
    """
    if masking and weights in LESION_WEIGHTS:
        return f"method.weights={weights!r}"
    return f"method.measure={measure!r}" if measure == "lesions" else None


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


def check_counts(
    patches: int, given: Mapping[str, float], counted: tuple[int, int], *, must_mask: bool = True
) -> None:
    """Check that some of L patches are masked, some stay visible, and a throw ratio throws some.

    Args:
        patches: L, the number of patches of an image.
        given: the ratios of masked and, where there is one, of thrown patches, by their setting.
        counted: numbers of patches masked and thrown, from ``counts`` or ``counts_kept``.
        must_mask: whether at least one patch must be masked.

    Raises:
        UserError: they are not; the message names the numbers.
    """
    masked, thrown = counted
    visible = patches - masked - thrown
    throws = list(given.values())[1:] > [0.0]
    if visible > 0 and (masked or not must_mask) and (thrown or not throws):
        return
    settings = " and ".join(f"method.{name} is {ratio}" for name, ratio in given.items())
    throwing = f", throws {thrown}" if len(given) > 1 else ""
    needed = "at least one must stay visible" + (", one be masked" if must_mask else "")
    raise UserError(
        f"{settings}, which masks {masked} of {patches} patches{throwing} and leaves"
        f" {max(visible, 0)} visible; {needed}{', one be thrown' if throws else ''}."
    )


def counts(patches: int, mask_ratio: float, throw_ratio: float) -> tuple[int, int]:
    """Return how many of L patches are masked and thrown: int(L r) and int(L (r + t)) - int(L r).

    Ratios are read as the decimals they are written as, so that 196 * (0.45 + 0.30) is exactly
    147 and rounding down cannot lose a patch.
    """
    masked = int(patches * _exact(mask_ratio))
    return masked, int(patches * (_exact(mask_ratio) + _exact(throw_ratio))) - masked


def counts_kept(patches: int, mask_ratio: float) -> tuple[int, int]:
    """Return how many of L patches are masked and thrown where int(L (1 - r)) are kept (MAE).

    In floating point as MAE's code computes it (models_mae.py, random_masking), so that rounding
    may lose a patch: of 100 patches at r = 0.9 it keeps 9, because 1 - 0.9 is below 0.1.
    """
    return patches - int(patches * (1 - mask_ratio)), 0


def _exact(ratio: float) -> Fraction:
    """Return the ratio as the exact fraction that its shortest decimal form denotes."""
    return Fraction(str(ratio))


Noise = Mapping[str, Tensor]
"""Random numbers of ``race`` or ``shuffles``, by name."""


def uniform(
    size: tuple[int, int], ratios: tuple[float, float], generator: torch.Generator
) -> Masks:
    """Mask and throw patches uniformly at random.

    Args:
        size: number of images B and of patches L.
        ratios: share masked and share thrown.
        generator: on the CPU; the result is on the CPU too.
    """
    return Masks(permutations(size, generator), *counts(size[1], *ratios))


def permutations(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw a random permutation of L patches for each of B images, (B, L) int64 on the CPU."""
    # Sorting independent uniform noise gives a uniformly random permutation per image (MAE).
    return torch.rand(size, generator=generator).argsort(1)


def race(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw the arrivals (B, L) of ``weighted``, exponentially distributed, on the CPU."""
    return torch.empty(size).exponential_(generator=generator)


def shuffles(
    size: tuple[int, int], masked: int, hints: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Draw the permutations of ``highest``, on the CPU: of L patches and, for hints, of M."""
    drawn = {"patches": permutations(size, generator)}
    if hints_shown(masked, hints):
        # Positions among the M heaviest in random order: the last of them become hints.
        drawn["heaviest"] = permutations((size[0], masked), generator)
    return drawn


def noise(
    size: tuple[int, int],
    ratios: tuple[float, float],
    generator: torch.Generator,
    selection: Selection,
    hints: float,
) -> dict[str, Tensor]:
    """Draw what ``select`` needs for B images of L patches, on the CPU."""
    if selection == "drawn":
        return {"arrivals": race(size, generator)}
    return shuffles(size, counts(size[1], *ratios)[0], hints, generator)


def weighted(
    weights: Tensor, ratios: tuple[float, float], generator: torch.Generator | Tensor
) -> Masks:
    """Mask, then throw patches by weighted sampling without replacement (paper, eq. 6).

    Sorting ``weight / E`` in descending order with E ~ Exp(1) draws all L indices one after the
    other, each with probability proportional to its weight among those left (the exponential
    race; torch.multinomial does the same; AMT). So patches of high weight tend to be masked.
    Patches of weight zero come last, in random order among themselves.

    Args:
        weights: (B, L), not negative, on any device.
        ratios: share masked and share thrown.
        generator: on the CPU; or the arrivals (B, L) that ``race`` drew before.
    """
    size = (weights.shape[0], weights.shape[1])
    drawn = race(size, generator) if isinstance(generator, torch.Generator) else generator
    arrivals = drawn.to(weights.device, non_blocking=True)
    # A weight of zero gives w / E = 0 for every E, which would leave the order of such patches to
    # the sort. Their score -E is below all others and random among themselves.
    score = torch.where(weights > 0, weights / arrivals, -arrivals)
    return Masks(score.argsort(1, descending=True), *counts(weights.shape[1], *ratios))


def highest(
    weights: Tensor,
    ratios: tuple[float, float],
    generator: torch.Generator | Noise,
    *,
    hints: float,
) -> Masks:
    """Mask, then throw the heaviest patches, but show some of the heaviest as hints.

    In the manner of AttMask-Hint (Kakogeorgiou et al. 2022), which masks the most attended patches
    and reveals a few of them: of the M heaviest patches, int(M * hints) drawn at random stay
    visible, and as many of the next heaviest take their places. Equal weights are in random order.

    Args:
        weights: (B, L), on any device.
        ratios: share masked, M of L patches, and share thrown.
        generator: on the CPU; or what ``shuffles`` drew before.
        hints: share of the masked patches that is shown instead, see ``hints_shown``.
    """
    masked, thrown = counts(weights.shape[1], *ratios)
    if isinstance(generator, torch.Generator):
        size = (weights.shape[0], weights.shape[1])
        generator = shuffles(size, masked, hints, generator)
    # Sorting a random permutation stably by weight leaves ties in random order.
    shuffled = generator["patches"].to(weights.device, non_blocking=True)
    sorting = weights.gather(1, shuffled).argsort(dim=1, descending=True, stable=True)
    order = shuffled.gather(1, sorting)
    if shown := hints_shown(masked, hints):
        positions = generator["heaviest"].to(weights.device, non_blocking=True)
        hidden, revealed = positions.split([masked - shown, shown], 1)
        heaviest, others = order[:, :masked], order[:, masked:]
        order = torch.cat([heaviest.gather(1, hidden), others, heaviest.gather(1, revealed)], 1)
    return Masks(order, masked, thrown)


def hints_shown(masked: int, hints: float) -> int:
    """Return how many of the heaviest patches stay visible, int(masked * hints)."""
    return int(masked * _exact(hints))


def check_hints(patches: int, ratios: tuple[float, float], hints: float) -> None:
    """Check that all hints fit among the visible patches.

    Raises:
        UserError: they do not; the message names the numbers.
    """
    masked, thrown = counts(patches, *ratios)
    shown, visible = hints_shown(masked, hints), patches - masked - thrown
    if shown > visible:
        raise UserError(
            f"method.hints is {hints}, which shows {shown} of the {masked} masked patches, but only"
            f" {visible} of {patches} patches are visible; choose smaller hints or ratios."
        )


def select(
    weights: Tensor,
    ratios: tuple[float, float],
    generator: torch.Generator | Noise,
    selection: Selection,
    hints: float,
) -> Masks:
    """Mask and throw patches by their weights, see ``weighted`` and ``highest``.

    The generator may be given as what ``noise`` drew from it before.
    """
    if selection == "drawn":
        drawn = generator if isinstance(generator, torch.Generator) else generator["arrivals"]
        return weighted(weights, ratios, drawn)
    return highest(weights, ratios, generator, hints=hints)
