"""Random erasing: bounds of the rectangles, their distribution, and where the noise lands."""

from __future__ import annotations

import pytest
import torch

from harness.augment import erasing
from harness.augment.erasing import Draws, Erasing


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_rectangles_lie_inside_and_keep_area_and_aspect() -> None:
    size, count = 224, 4000
    draws = erasing.draw(Erasing(probability=1.0), count, size, _generator())
    top, left, height, width = draws.rectangles.double().unbind(1)
    assert bool((height > 0).all())
    assert bool(((top >= 0) & (left >= 0)).all())
    assert bool(((top + height <= size) & (left + width <= size)).all())
    assert int(height.max()) < size
    assert int(width.max()) < size
    # Whole pixels: half of one on either side moves a side's share by little.
    area, ratio = height * width / size**2, height / width
    assert 0.0195 < float(area.min()) < 0.022
    assert 0.325 < float(area.max()) < 0.336
    assert 0.29 < float(ratio.min()) < 0.32
    assert 3.1 < float(ratio.max()) < 3.45
    # Aspects that are too long for their area are drawn again, so squares are a little likelier.
    assert float(area.mean()) == pytest.approx(0.176, abs=0.006)
    assert float(ratio.log().mean()) == pytest.approx(0, abs=0.03)
    # The place is uniform over what is free.
    assert float((top / (size - height)).mean()) == pytest.approx(0.5, abs=0.02)
    assert float((left / (size - width)).mean()) == pytest.approx(0.5, abs=0.02)


def test_a_quarter_of_the_images_is_erased() -> None:
    draws = erasing.draw(Erasing(), 20_000, 32, _generator())
    assert float((draws.rectangles[:, 2] > 0).double().mean()) == pytest.approx(0.25, abs=0.01)
    none = erasing.draw(Erasing(probability=0.0), 10, 32, _generator())
    assert none.noise.numel() == 0
    assert bool((none.rectangles == 0).all())


def test_noise_fills_the_rectangles_alone_in_order() -> None:
    images = torch.full((3, 3, 6, 6), 9.0)
    rectangles = torch.tensor([[1, 2, 2, 3], [0, 0, 0, 0], [4, 0, 1, 2]])
    noise = torch.arange(3.0 * (6 + 2))
    found = erasing.apply(images, Draws(rectangles, noise))
    expected = images.clone()
    expected[0, :, 1:3, 2:5] = noise[:18].view(3, 2, 3)
    expected[2, :, 4:5, 0:2] = noise[18:].view(3, 1, 2)
    torch.testing.assert_close(found, expected)
    assert bool((images == 9).all())


def test_noise_is_standard_normal() -> None:
    noise = erasing.draw(Erasing(probability=1.0), 64, 64, _generator()).noise
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(noise.std()) == pytest.approx(1, abs=0.01)
