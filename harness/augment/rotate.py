"""Random rotations of square images and masks by multiples of 90 degrees, without resampling."""

from __future__ import annotations

import torch
from torch import Tensor

PROBABILITY = 0.5
"""Probability of drawing a turn (released code).

A quarter of the drawn turns are by 0 degrees, so that 5 of 8 images stay upright.
"""


def draw(count: int, generator: torch.Generator) -> Tensor:
    """Draw the number of quarter turns of each image, 0 to 3 counter-clockwise.

    Args:
        count: number of images B.
        generator: on the CPU.

    Returns:
        (B,) int64 on the CPU.
    """
    turned = torch.rand(count, generator=generator) < PROBABILITY
    return torch.randint(4, (count,), generator=generator) * turned


def apply(images: Tensor, turns: Tensor) -> Tensor:
    """Rotate each image (B, C, S, S) by its number of quarter turns (B,), on the same device."""
    number = turns[:, None, None, None]
    # One turn is a transposition and a flip of the rows, two turns are two flips, three turns a
    # transposition and a flip of the columns; torch.where selects without branching per image.
    turned = torch.where(number % 2 == 1, images.transpose(2, 3), images)
    turned = torch.where((number == 1) | (number == 2), turned.flip(2), turned)
    return torch.where(number >= 2, turned.flip(3), turned)
