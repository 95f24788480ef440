"""Random crops, as torchvision's RandomResizedCrop draws them, for all images of a batch at once.

Few numbers pass many operations here, each of which NumPy does in a fraction of torch's time.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from harness.augment.view import Augmentation

ATTEMPTS = 10
"""Attempts to draw a random crop before a central one is taken, as in torchvision."""


def random_boxes(sizes: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Draw one crop per image from the distribution of torchvision's RandomResizedCrop.

    Args:
        sizes: (B, 2) original height and width in pixels, on the CPU.
        settings: ranges of area and aspect ratio.
        generator: on the CPU.

    Returns:
        (B, 4) float64 on the CPU: top, left, height, width as fractions of the image.
    """
    height, width = extents(sizes)
    uniform = torch.rand(len(sizes), ATTEMPTS, 4, dtype=torch.float64, generator=generator)
    h, w = crop_shapes(height, width, settings, uniform)
    draw = uniform.numpy()
    top = np.floor(draw[..., 2] * (height - h + 1))
    left = np.floor(draw[..., 3] * (width - w + 1))
    return first_fit(height, width, (top, left, h, w), settings)


def extents(sizes: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return heights and widths, each (B, 1) float64, of images' sizes (B, 2) on the CPU."""
    both = sizes.numpy().astype(np.float64)
    return both[:, :1], both[:, 1:]


def crop_shapes(
    height: np.ndarray, width: np.ndarray, settings: Augmentation, draw: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Turn uniform draws into heights and widths of crops, each (B, attempts) in whole pixels.

    Args:
        height: (B, 1) of the originals.
        width: (B, 1), likewise.
        settings: ranges of area and aspect ratio.
        draw: (B, attempts, 2 or more) in 0..1; the first two of the last dimension are used.
    """
    low, high = settings.scale
    area = height * width * (low + (high - low) * draw[..., 0].numpy())
    # w / h = aspect and w h = area, so h = sqrt(area / aspect) and w = sqrt(area * aspect).
    log_low, log_high = (math.log(r) for r in settings.ratio)
    # torch's exponential, which NumPy's may differ from in the last digit.
    aspect = torch.exp(log_low + (log_high - log_low) * draw[..., 1]).numpy()
    return np.rint(np.sqrt(area / aspect)), np.rint(np.sqrt(area * aspect))


def first_fit(
    height: np.ndarray,
    width: np.ndarray,
    candidates: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    settings: Augmentation,
) -> Tensor:
    """Return each image's first candidate crop that fits, or the central one, as fractions (B, 4).

    Args:
        height: (B, 1) of the originals.
        width: (B, 1), likewise.
        candidates: top, left, height, width in pixels, each (B, attempts).
        settings: limits of the central crop's aspect ratio.
    """
    _, _, h, w = candidates
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    # argmax over False and True returns the first attempt that fits.
    chosen = np.arange(len(fits)), fits.argmax(1)
    boxes = np.stack([part[chosen] for part in candidates], 1)
    found = fits.any(1, keepdims=True)
    if not found.all():
        boxes = np.where(found, boxes, _central(height, width, settings.ratio))
    return torch.from_numpy(boxes / np.concatenate([height, width, height, width], 1))


def _central(height: np.ndarray, width: np.ndarray, ratio: tuple[float, float]) -> np.ndarray:
    """Return the largest central crops within the aspect limits, (B, 4) in pixels.

    As torchvision's fall-back; height and width are (B, 1).
    """
    aspect = np.clip(width / height, *ratio)
    # Of an image one pixel wide or high, the aspect limits could leave nothing.
    w = np.minimum(width, np.maximum(np.rint(height * aspect), 1))
    h = np.minimum(height, np.maximum(np.rint(width / aspect), 1))
    return np.concatenate([np.floor((height - h) / 2), np.floor((width - w) / 2), h, w], 1)
