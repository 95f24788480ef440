"""Attention maps of the training images, turned into sampling weights of patches (SAM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from harness.augment.resample import resample_weights
from harness.methods.msmae import lesions
from harness.methods.msmae.masking import LESION_WEIGHTS, Weights
from harness.methods.msmae.vit import VisionTransformer
from harness.train.task import Batch, DatasetPass

CROPS = "crops"
"""Name in ``Batch.ahead`` of what is made of the crops."""

Crop = Literal["joint", "top-left"]
Normalisation = Literal["mean-first", "per-head"]


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """Settings that turn [CLS] attention into sampling weights of patches.

    Attributes:
        weights: "attention" (paper, section 3.2), or "ones", which masks uniformly (released code:
            the maps are computed and then discarded). Two controls take the true lesion mask
            instead: "lesion", the share of a patch that is lesion, so that lesions are masked
            first; "inverse", 1 for patches without any lesion and 0 for others, so that lesions
            are masked last.
        crop: "joint" applies the image's crop and flip to the map (paper); "top-left" always
            takes the upper left two or three cells along each axis (an integer division in AMT
            and in the released code).
        normalisation: "mean-first" averages the heads, then scales to 0..1 (paper, eq. 5);
            "per-head" scales every head to 0..1, then averages (released code, AMT).
    """

    weights: Weights
    crop: Crop
    normalisation: Normalisation


class AttentionMaps:
    """Attention maps (N, grid, grid) of all N training images, in 0..1; ones until first computed.

    Args:
        settings: how attention becomes weights.
        image_size: side of the input in pixels.
        patch: side of a patch; grid = image_size / patch.
    """

    def __init__(self, settings: MapSettings, image_size: int, patch: int) -> None:
        """Start without maps: all weights are 1, so masking is uniform until ``renew``."""
        self.settings = settings
        self.image_size = image_size
        self.grid = image_size // patch
        self.maps: Tensor | None = None

    def renew(self, look: DatasetPass, encoder: VisionTransformer) -> None:
        """Compute the maps of all unaugmented training images with the current encoder."""
        if self.settings.weights == "attention":
            self.maps = look(lambda images: self._map(encoder.class_attention(images)))

    def _map(self, attention: Tensor) -> Tensor:
        """Turn attention (B, heads, L) into maps (B, grid, grid)."""
        # Both forms agree for one head only: the heads' ranges differ (paper, eq. 5, against AMT).
        if self.settings.normalisation == "mean-first":
            weights = unit_range(attention.mean(1))
        else:
            weights = unit_range(attention).mean(1)
        return weights.reshape(-1, self.grid, self.grid)

    def patch_weights(self, batch: Batch, *, view: int = 0) -> Tensor:
        """Return the sampling weights (B, L) of the patches of one view's augmented images.

        The map is resized to the image bilinearly, cropped by the image's box, mirrored if the
        image is, and averaged over each patch (paper, section 3.2; AMT). Resizing, cropping and
        averaging are one (grid, grid) matrix per axis; bilinear weights keep values within 0..1.
        """
        boxes, flips = batch.boxes[view], batch.flips[view]
        if self.settings.weights in LESION_WEIGHTS:
            return self._lesion_weights(batch, view)
        if self.maps is None:
            return torch.ones(len(boxes), self.grid**2, device=boxes.device)
        maps = self.maps[batch.ids]
        made = (batch.ahead or {}).get(CROPS) if view == 0 else None
        rows, columns = (self._axes(boxes, flips) if made is None else made).unbind(1)
        # (B, grid, grid) @ (B, grid, grid) @ (B, grid, grid), then row-major patches (B, L).
        weights: Tensor = rows @ maps @ columns.transpose(1, 2)
        return weights.flatten(1)

    def crops_ahead(self, boxes: Tensor, flips: Tensor) -> dict[str, Tensor]:
        """Return what ``patch_weights`` needs of the first view's crops, for ``Batch.ahead``."""
        if self.maps is None or self.settings.weights in LESION_WEIGHTS:
            return {}
        return {CROPS: self._axes(boxes, flips)}

    def _axes(self, boxes: Tensor, flips: Tensor) -> Tensor:
        """Return the matrices of rows and columns (B, 2, grid, grid) from map to patches.

        Boxes are (B, 4), flips (B,).
        """
        confine = self.settings.crop == "top-left"
        if confine:
            boxes = top_left_boxes(boxes, self.grid)
        # Both axes at once, (B, 2, pixels, grid), then from pixels to the patches' averages.
        sides = (self.grid, self.image_size)
        axes = resample_weights(boxes[:, :2], boxes[:, 2:], sides, "bilinear", confine=confine)
        rows, columns = axes.unflatten(2, (self.grid, -1)).mean(3).unbind(1)
        # Reversing the output cells of the column matrix mirrors the map left to right.
        columns = torch.where(flips[:, None, None], columns.flip(1), columns)
        return torch.stack([rows, columns], 1)

    def _lesion_weights(self, batch: Batch, view: int) -> Tensor:
        assert batch.masks is not None, "loaded without masks"
        covered = lesions.coverage(batch.masks[view], self.image_size // self.grid)
        return covered if self.settings.weights == "lesion" else (covered == 0).float()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must contain; it is moved to the CPU when it is written."""
        return {"maps": self.maps}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore what ``state`` returned."""
        maps = state["maps"]
        self.maps = None if maps is None else maps.to(device)


def unit_range(values: Tensor) -> Tensor:
    """Scale the last dimension to 0..1; a constant row becomes all ones (uniform weights).

    The released code divides by the maximum without a check and gives NaN for such a row.
    """
    low = values.amin(-1, keepdim=True)
    extent = values.amax(-1, keepdim=True) - low
    return torch.where(extent > 0, (values - low) / extent, torch.ones_like(values))


def top_left_boxes(boxes: Tensor, grid: int) -> Tensor:
    """Return the boxes (B, 4) that the erroneous crop of AMT and the released code takes.

    Offsets are divided by the image size without multiplying by the grid: the slice starts at
    cell 0 and ends at cell 2, or 3 where the crop touches the lower or right border.
    """
    end = boxes[:, :2] + boxes[:, 2:]
    # The tolerance absorbs rounding of top + height at the border.
    cells = 2 + (end >= 1 - 1e-6).float()
    return torch.cat([torch.zeros_like(cells), cells / grid], 1)
