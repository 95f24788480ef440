"""Masks beside images: cut by the same box, flip and turn, batched on their device."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.augment import rotate


def cut(masks: Tensor, boxes: Tensor, flips: Tensor, size: int, turned: Tensor | None) -> Tensor:
    """Cut boxes out of masks and resize them to the nearest pixel, so that they stay binary.

    Args:
        masks: (B, 1, H, W) uint8 in {0, 1}.
        boxes: (B, 4) top, left, height, width as fractions.
        flips: (B,) bool; mirrored left to right after the crop.
        size: side of the result.
        turned: (B,) quarter turns after the flip; None turns nothing.

    Returns:
        (B, 1, size, size) float in {0, 1}.
    """
    height, width = masks.shape[-2:]
    rows = _nearest(boxes[:, 0], boxes[:, 2], height, size)
    columns = _nearest(boxes[:, 1], boxes[:, 3], width, size)
    columns = torch.where(flips[:, None], columns.flip(1), columns)
    number = torch.arange(len(masks), device=masks.device)[:, None, None]
    found = masks[number, 0, rows[:, :, None], columns[:, None, :]][:, None].float()
    return found if turned is None else rotate.apply(found, turned)


def whole(masks: Tensor, size: int) -> Tensor:
    """Return the masks as an evaluation sees them: whole, stretched, (B, 1, size, size) float."""
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=masks.device).expand(len(masks), 4)
    none = torch.zeros(len(masks), dtype=torch.bool, device=masks.device)
    return cut(masks, box, none, size, None)


def _nearest(start: Tensor, length: Tensor, source: int, target: int) -> Tensor:
    """Return (B, target) pixels: those in which the centres of the result's pixels lie."""
    centre = (torch.arange(target, device=start.device) + 0.5) / target
    place = (start.float()[:, None] + centre * length.float()[:, None]) * source
    return place.floor().long().clamp(0, source - 1)
