"""ImageNet's usual evaluation transform: resize the short side to 256 / 224, crop the centre."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.augment.view import ImageRange, cut, normalise, within

RESIZED = 256 / 224
"""Ratio of the resized image's short side to the side of the crop."""


def boxes(sizes: Tensor, size: int) -> Tensor:
    """Return the boxes of central crops after the short side is resized to 256 / 224 * size.

    Args:
        sizes: (B, 2) original height and width in pixels, on the CPU.
        size: side of the crop.

    Returns:
        (B, 4) float32: top, left, height, width as fractions; sides are rounded to whole pixels
        of the resized image as torchvision rounds them.
    """
    short = int(RESIZED * size)
    resized = (short * sizes.double() / sizes.amin(1, keepdim=True)).floor()
    # torch.round and Python's round, which torchvision calls, both round halves to even.
    offset = ((resized - size) / 2).round()
    return torch.cat([offset / resized, size / resized], 1).float()


def crop(
    images: Tensor,
    sizes: Tensor,
    size: int,
    filled: Tensor | None = None,
    *,
    image_range: ImageRange = "normalised",
) -> Tensor:
    """Apply ImageNet's usual evaluation transform: bicubic resize, central crop, normalisation.

    Args:
        images: (B, C, S, S) uint8, originals stretched to a square.
        sizes: (B, 2) original height and width in pixels, on the CPU.
        size: side of the result.
        filled: (B, 2) shares of the arrays that the images fill; None for all.
        image_range: range of the result.

    Returns:
        (B, 3, size, size) float32.
    """
    device_boxes = within(boxes(sizes, size).to(images.device, non_blocking=True), filled)
    no_flips = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    # The reference resizes the whole image before it crops, so the kernel uses pixels outside the
    # crop too (no ``confine``).
    confine = False if filled is None else filled
    cropped = cut(images.float(), device_boxes, no_flips, size, "bicubic", confine=confine)
    return normalise(cropped, image_range)
