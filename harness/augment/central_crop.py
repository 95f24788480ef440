"""ImageNet's usual evaluation transform: resize the short side to 256 / 224, crop the centre."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.augment.view import cut, normalise

RESIZED = 256 / 224
"""Short side of the resized image over the side of the crop."""


def boxes(sizes: Tensor, size: int) -> Tensor:
    """Return the central crops of images whose short side became int(256 / 224 * size).

    Args:
        sizes: (B, 2) original height and width in pixels, on the CPU.
        size: side of the crop.

    Returns:
        (B, 4) float32: top, left, height, width as fractions; sides are rounded to whole pixels
        of the resized image as torchvision rounds them.
    """
    short = int(RESIZED * size)
    resized = (short * sizes.double() / sizes.amin(1, keepdim=True)).floor()
    # Half a pixel goes to the even side, as in Python's round.
    begin = ((resized - size) / 2).round()
    return torch.cat([begin / resized, size / resized], 1).float()


def crop(images: Tensor, sizes: Tensor, size: int) -> Tensor:
    """Apply ImageNet's usual evaluation transform: resize, bicubic, and crop the centre.

    Args:
        images: (B, C, S, S) uint8, stretched.
        sizes: (B, 2) original height and width in pixels, on the CPU.
        size: side of the result.
    """
    there = boxes(sizes, size).to(images.device, non_blocking=True)
    none = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    # The resize comes first, so the kernel reaches past the crop.
    return normalise(cut(images.float(), there, none, size, "bicubic"))
