"""Bounding boxes of high activation and random crops centred inside them (ContrastiveCrop)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from harness.augment import random_crop
from harness.augment.view import Augmentation


def heat_boxes(heat: Tensor, size: int, threshold: float) -> Tensor:
    """Return bounding boxes (B, 4) of high activation: top, left, bottom, right as fractions.

    The map is scaled to 0..1 per image and resized bilinearly to ``size`` pixels; a row or column
    belongs to the box if its maximum exceeds the threshold. The bottom is the last row's index
    divided by ``size``, so a full box ends at (size - 1) / size (released code).

    Args:
        heat: activation maps (B, 1, h, w).
        size: side of the input image in pixels.
        threshold: share of the range, in 0..1.
    """
    # (x - min) / (max - min) per image.
    low = heat.amin((2, 3), keepdim=True)
    extent = heat.amax((2, 3), keepdim=True) - low
    scaled = (heat - low) / torch.where(extent > 0, extent, torch.ones_like(extent))
    pixels = nn.functional.interpolate(scaled, (size, size), mode="bilinear")[:, 0]
    index = torch.arange(size, device=heat.device)
    edges = []
    for axis in (2, 1):  # the maximum over columns gives rows (top, bottom), then the reverse
        inside = pixels.amax(axis) > threshold
        # A constant map exceeds the threshold nowhere; its box is the whole image.
        inside = inside | ~inside.any(1, keepdim=True)
        first = torch.where(inside, index, size).amin(1)
        last = torch.where(inside, index, -1).amax(1)
        edges.append((first / size, last / size))
    (top, bottom), (left, right) = edges
    return torch.stack([top, left, bottom, right], 1)


def boxed_crops(
    sizes: Tensor,
    regions: Tensor,
    settings: Augmentation,
    alpha: float,
    generator: torch.Generator,
) -> Tensor:
    """Draw crops whose centres lie inside boxes, distributed as Beta(alpha, alpha) per axis.

    Args:
        sizes: (B, 2) original height and width in pixels.
        regions: (B, 4) top, left, bottom, right as fractions.
        settings: augmentation with the range of the crop's area and aspect ratio.
        alpha: both parameters of the Beta distribution.
        generator: on the CPU.

    Returns:
        (B, 4) float64 top, left, height, width as fractions; an image into which none of the
        drawn crops fits gets a central crop, whatever its box (released code).
    """
    height, width = random_crop.extents(sizes)
    shape = (len(sizes), random_crop.ATTEMPTS, 4)
    # Per image and attempt: area, aspect ratio, vertical and horizontal position.
    uniform = torch.rand(shape, dtype=torch.float64, generator=generator)
    h, w = random_crop.crop_shapes(height, width, settings, uniform)
    share = beta_quantile(uniform[..., 2:], alpha).numpy()
    region = regions.double().numpy()
    top = _centred(height, h, region[:, 0:1], region[:, 2:3], share[..., 0])
    left = _centred(width, w, region[:, 1:2], region[:, 3:4], share[..., 1])
    return random_crop.first_fit(height, width, (top, left, h, w), settings)


def _centred(
    whole: np.ndarray, part: np.ndarray, low: np.ndarray, high: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """Return the first pixel of crops whose centres lie between two positions on one axis.

    Args:
        whole: (B, 1) pixels of the image.
        part: (B, attempts) pixels of the crop.
        low: (B, 1) lower bound of the centre, as a fraction of the image.
        high: (B, 1) upper bound of the centre, likewise.
        share: (B, attempts) position between the bounds, in 0..1.
    """
    # A crop that would leave the image is moved back to its border.
    limit, half = np.maximum(whole - part, 0), np.floor(part / 2)
    first = np.minimum(np.maximum(np.floor(whole * low) - half, 0), limit)
    last = np.minimum(np.maximum(np.floor(whole * high) - half, 0), limit)
    place: np.ndarray = first + np.floor((last - first) * share)
    return place


def beta_quantile(uniform: Tensor, alpha: float) -> Tensor:
    """Return Beta(alpha, alpha) quantiles of uniform draws on the CPU (inverse transform)."""
    from scipy.special import betaincinv

    values = betaincinv(alpha, alpha, uniform.numpy())
    return torch.from_numpy(np.ascontiguousarray(values))
