"""Geometric augmentation of segmentation masks: the crop, flip and turn of their images."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from harness.augment import rotate
from harness.augment.constants import false, whole_boxes
from harness.augment.view import within

Nearest = Literal["centre", "corner"]
"""The point of a pixel of the result at which the mask is looked up: its centre, or its upper left
corner (OpenCV's INTER_NEAREST)."""

SLACK = 1e-4
"""Share of a pixel by which corners are moved into the pixel that they begin or end."""


def cut(
    masks: Tensor,
    boxes: Tensor,
    flips: Tensor,
    size: int,
    turned: Tensor | None,
    *,
    nearest: Nearest = "centre",
) -> Tensor:
    """Crop masks and resize them by nearest neighbour, so that they stay binary.

    Args:
        masks: (B, 1, H, W) uint8 in {0, 1}.
        boxes: (B, 4) top, left, height, width as fractions.
        flips: (B,) bool; mirrored left to right after the crop.
        size: side of the result.
        turned: (B,) counter-clockwise quarter turns after the flip; None for no turns.
        nearest: the point of a target pixel whose source pixel is taken.

    Returns:
        (B, 1, size, size) float in {0, 1}.
    """
    height, width = masks.shape[-2:]
    if nearest == "centre":
        rows = _centres(boxes[:, 0], boxes[:, 2], height, size)
        columns = _centres(boxes[:, 1], boxes[:, 3], width, size)
    else:
        # The resize comes last: the upper left corner of a pixel of the result was another of its
        # corners before it was mirrored or turned (one turn makes the last column the first row).
        turns = torch.zeros_like(flips, dtype=torch.int64) if turned is None else turned
        rows = _corners(boxes[:, 0], boxes[:, 2], height, size, at_end=turns >= 2)
        from_right = ((turns == 1) | (turns == 2)) ^ flips
        columns = _corners(boxes[:, 1], boxes[:, 3], width, size, at_end=from_right)
    columns = torch.where(flips[:, None], columns.flip(1), columns)
    image = torch.arange(len(masks), device=masks.device)[:, None, None]
    cropped = masks[image, 0, rows[:, :, None], columns[:, None, :]][:, None].float()
    return cropped if turned is None else rotate.apply(cropped, turned)


def whole(
    masks: Tensor, size: int, filled: Tensor | None = None, *, nearest: Nearest = "centre"
) -> Tensor:
    """Return whole masks, stretched to (B, 1, size, size) float, as the evaluation uses them.

    ``filled`` is as in ``harness.augment.view.within``.
    """
    box = within(whole_boxes(len(masks), masks.device), filled)
    no_flips = false(device=masks.device).expand(len(masks))
    return cut(masks, box, no_flips, size, None, nearest=nearest)


def _centres(start: Tensor, length: Tensor, source: int, target: int) -> Tensor:
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


def _corners(start: Tensor, length: Tensor, source: int, target: int, *, at_end: Tensor) -> Tensor:
    """Return (B, target) source pixels at one corner of the target pixels, see ``_centres``.

    Args:
        start: see ``_centres``.
        length: see ``_centres``.
        source: see ``_centres``.
        target: see ``_centres``.
        at_end: (B,) whether the corner is the last one along the axis, to which the source pixel
            before it belongs; else the first one, to which the pixel after it belongs.
    """
    corner = (torch.arange(target, device=start.device) + at_end.double()[:, None]) / target
    position = (start.double()[:, None] + corner * length.double()[:, None]) * source
    # Corners lie on the borders of source pixels; the slack keeps rounding from crossing them.
    slack = torch.where(at_end, -SLACK, SLACK)[:, None]
    return (position + slack).floor().long().clamp(0, source - 1)
