"""Geometric augmentation of segmentation masks: the crop, flip and turn of their images."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.augment import rotate
from harness.augment.view import within


def cut(masks: Tensor, boxes: Tensor, flips: Tensor, size: int, turned: Tensor | None) -> Tensor:
    """Crop masks and resize them by nearest neighbour, so that they stay binary.

    Args:
        masks: (B, 1, H, W) uint8 in {0, 1}.
        boxes: (B, 4) top, left, height, width as fractions.
        flips: (B,) bool; mirrored left to right after the crop.
        size: side of the result.
        turned: (B,) counter-clockwise quarter turns after the flip; None for no turns.

    Returns:
        (B, 1, size, size) float in {0, 1}.
    """
    height, width = masks.shape[-2:]
    rows = _nearest(boxes[:, 0], boxes[:, 2], height, size)
    columns = _nearest(boxes[:, 1], boxes[:, 3], width, size)
    columns = torch.where(flips[:, None], columns.flip(1), columns)
    image = torch.arange(len(masks), device=masks.device)[:, None, None]
    cropped = masks[image, 0, rows[:, :, None], columns[:, None, :]][:, None].float()
    return cropped if turned is None else rotate.apply(cropped, turned)


def whole(masks: Tensor, size: int, filled: Tensor | None = None) -> Tensor:
    """Return whole masks, stretched to (B, 1, size, size) float, as the evaluation uses them.

    ``filled`` is as in ``harness.augment.view.within``.
    """
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=masks.device).expand(len(masks), 4)
    box = within(box, filled)
    no_flips = torch.zeros(len(masks), dtype=torch.bool, device=masks.device)
    return cut(masks, box, no_flips, size, None)


def _nearest(start: Tensor, length: Tensor, source: int, target: int) -> Tensor:
    """Return (B, target) source pixels that contain the centres of the target pixels.

    Args:
        start: (B,) where the crop begins, as a fraction of the axis.
        length: (B,) its length, as a fraction of the axis.
        source: pixels of the axis.
        target: pixels of the result.
    """
    centre = (torch.arange(target, device=start.device) + 0.5) / target
    position = (start.float()[:, None] + centre * length.float()[:, None]) * source
    return position.floor().long().clamp(0, source - 1)
