"""Boxes around what is hot in an image, and random crops centred inside them (ContrastiveCrop)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from harness.augment import view
from harness.augment.view import Augmentation


def heat_boxes(heat: Tensor, size: int, threshold: float) -> Tensor:
    """Return the box (B, 4) around what is hot: top, left, bottom, right as fractions.

    The map (B, 1, h, w) is brought to 0..1 per image, resized bilinearly to ``size``, and a row
    or column belongs to the box if its maximum exceeds the threshold. The last row's index over
    ``size`` is the bottom, so a full box ends at (size - 1) / size (released code).
    """
    low = heat.amin((2, 3), keepdim=True)
    extent = heat.amax((2, 3), keepdim=True) - low
    scaled = (heat - low) / torch.where(extent > 0, extent, torch.ones_like(extent))
    pixels = nn.functional.interpolate(scaled, (size, size), mode="bilinear")[:, 0]
    place = torch.arange(size, device=heat.device)
    edges = []
    for axis in (2, 1):
        inside = pixels.amax(axis) > threshold
        # A map without any heat gives the whole image.
        inside = inside | ~inside.any(1, keepdim=True)
        first = torch.where(inside, place, size).amin(1)
        last = torch.where(inside, place, -1).amax(1)
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
    """Draw crops whose centres lie inside boxes, Beta(alpha, alpha) along each axis.

    Args:
        sizes: (B, 2) original height and width in pixels.
        regions: (B, 4) top, left, bottom, right as fractions.
        settings: the range of area and aspect.
        alpha: of the Beta.
        generator: on the CPU.

    Returns:
        (B, 4) float64 top, left, height, width as fractions; an image that no crop fits takes
        the central one, whatever its box (released code).
    """
    height, width = (sizes[:, i : i + 1].double() for i in (0, 1))
    shape = (len(sizes), view.ATTEMPTS, 4)
    draw = torch.rand(shape, dtype=torch.float64, generator=generator)
    h, w = view.crop_shapes(height, width, settings, draw)
    share = beta_quantile(draw[..., 2:], alpha)
    region = regions.double()
    top = _centred(height, h, region[:, 0:1], region[:, 2:3], share[..., 0])
    left = _centred(width, w, region[:, 1:2], region[:, 3:4], share[..., 1])
    return view.first_fit(height, width, torch.stack([top, left, h, w], -1), settings)


def _centred(whole: Tensor, part: Tensor, low: Tensor, high: Tensor, share: Tensor) -> Tensor:
    """Return where a crop of ``part`` pixels begins so that its centre lies between two marks."""
    room, half = (whole - part).clamp(min=0), torch.div(part, 2, rounding_mode="floor")
    first = torch.minimum(((whole * low).floor() - half).clamp(min=0), room)
    last = torch.minimum(((whole * high).floor() - half).clamp(min=0), room)
    return first + ((last - first) * share).floor()


def beta_quantile(uniform: Tensor, alpha: float) -> Tensor:
    """Turn uniform draws on the CPU into draws of the symmetric Beta, by its inverse."""
    from scipy.special import betaincinv

    values = betaincinv(alpha, alpha, uniform.numpy())
    return torch.from_numpy(np.ascontiguousarray(values))
