"""Random quarter turns of square images and masks: batched and exact."""

from __future__ import annotations

import torch
from torch import Tensor

PROBABILITY = 0.5
"""Of a draw; one in four of them is the turn by 0 degrees, so that 5 of 8 images stay upright
(released code)."""


def draw(count: int, generator: torch.Generator) -> Tensor:
    """Draw (B,) int64 quarter turns, 0 to 3 counter-clockwise, on the CPU.

    Args:
        count: B.
        generator: on the CPU.
    """
    turned = torch.rand(count, generator=generator) < PROBABILITY
    return torch.randint(4, (count,), generator=generator) * turned


def apply(images: Tensor, turns: Tensor) -> Tensor:
    """Turn each image (B, C, S, S) by its own quarters (B,), on the images' device."""
    number = turns[:, None, None, None]
    turned = torch.where(number % 2 == 1, images.transpose(2, 3), images)
    turned = torch.where((number == 1) | (number == 2), turned.flip(2), turned)
    return torch.where(number >= 2, turned.flip(3), turned)
