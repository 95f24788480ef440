"""Random crops against the same draws, one image and one attempt at a time."""

from __future__ import annotations

import math

import pytest
import torch

from harness.augment.random_crop import ATTEMPTS, random_boxes
from harness.augment.view import Augmentation

SETTINGS = (
    Augmentation(),
    Augmentation(scale=(0.08, 1.0), ratio=(0.5, 2.0)),
    Augmentation(scale=(0.9, 1.0)),  # most attempts fail for images that are not square
)


@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_boxes_are_those_of_single_images(number: int) -> None:
    settings = SETTINGS[number]
    sizes = torch.randint(1, 900, (200, 2), generator=torch.Generator().manual_seed(3))
    found = random_boxes(sizes, settings, torch.Generator().manual_seed(number))
    drawn = torch.rand(
        200, ATTEMPTS, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(number)
    )
    for (height, width), draws, box in zip(sizes.tolist(), drawn.tolist(), found, strict=True):
        top, left, h, w = _box(height, width, settings, draws)
        expected = torch.tensor([top / height, left / width, h / height, w / width]).double()
        torch.testing.assert_close(box, expected, rtol=0, atol=1e-7)


def _box(
    height: int, width: int, settings: Augmentation, draws: list[list[float]]
) -> tuple[int, int, int, int]:
    """Return top, left, height and width in pixels, as torchvision's loop finds them."""
    low, high = settings.scale
    log_low, log_high = (math.log(r) for r in settings.ratio)
    for share, shape, vertical, horizontal in draws:
        area = height * width * (low + (high - low) * share)
        aspect = math.exp(log_low + (log_high - log_low) * shape)
        h, w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < h <= height and 0 < w <= width:
            top = math.floor(vertical * (height - h + 1))
            return top, math.floor(horizontal * (width - w + 1)), h, w
    h, w = height, width
    if width / height < settings.ratio[0]:
        h = max(1, min(height, round(width / settings.ratio[0])))
    elif width / height > settings.ratio[1]:
        w = max(1, min(width, round(height * settings.ratio[1])))
    return (height - h) // 2, (width - w) // 2, h, w
