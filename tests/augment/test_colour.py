"""Colours against torchvision's own operations, image by image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from harness.augment import colour
from harness.augment.colour import Colour, Draws

OPERATIONS = (
    reference.adjust_brightness,
    reference.adjust_contrast,
    reference.adjust_saturation,
    reference.adjust_hue,
)


def _pictures(count: int = 6, channels: int = 3, size: int = 40) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(count, channels, size, size, generator=generator)


def _draws(count: int, **changes: Tensor) -> Draws:
    values = {
        "factors": torch.tensor([[1.0, 1.0, 1.0, 0.0]]).repeat(count, 1),
        "order": torch.full((count, 4), -1),
        "grey": torch.zeros(count, dtype=torch.bool),
        "solarise": torch.zeros(count, dtype=torch.bool),
        "sigma": torch.zeros(count),
    }
    return Draws(**(values | changes))


@pytest.mark.parametrize("number", range(4))
def test_each_operation_is_torchvisions(number: int) -> None:
    pictures = _pictures()
    factors = torch.tensor([[1.0, 1.0, 1.0, 0.0]]).repeat(6, 1)
    factors[:, number] = torch.tensor([0.3, 0.8, 1.0, 1.3, 1.9, 0.5])
    if number == 3:
        factors[:, 3] = torch.tensor([-0.5, -0.2, 0.0, 0.1, 0.33, 0.5])
    order = torch.full((6, 4), -1)
    order[:, 0] = number
    found = colour.apply(pictures, _draws(6, factors=factors, order=order), Colour())
    for picture, factor, result in zip(pictures, factors[:, number], found, strict=True):
        expected = OPERATIONS[number](picture, float(factor))
        torch.testing.assert_close(result, expected, atol=2e-5, rtol=0)


def test_operations_act_in_each_images_own_order() -> None:
    pictures = _pictures()
    draws = colour.draw(Colour(jitter=1.0, grey=0, blur=0), 6, torch.Generator().manual_seed(0))
    assert len({tuple(row) for row in draws.order.tolist()}) > 1
    found = colour.apply(pictures, draws, Colour())
    for picture, factors, order, result in zip(
        pictures, draws.factors, draws.order, found, strict=True
    ):
        expected = picture
        for number in order.tolist():
            expected = OPERATIONS[number](expected, float(factors[number]))
        torch.testing.assert_close(result, expected, atol=5e-5, rtol=0)


def test_grey_and_solarise_are_torchvisions() -> None:
    pictures = _pictures()
    chosen = torch.tensor([True, False, True, False, False, True])
    grey = colour.apply(pictures, _draws(6, grey=chosen), Colour())
    expected = torch.where(
        chosen[:, None, None, None], reference.rgb_to_grayscale(pictures, 3), pictures
    )
    torch.testing.assert_close(grey, expected, atol=1e-5, rtol=0)
    settings = Colour(solarise=0.5)
    solarised = colour.apply(pictures, _draws(6, solarise=chosen), settings)
    inverted = reference.solarize(pictures, 128 / 255)
    torch.testing.assert_close(
        solarised, torch.where(chosen[:, None, None, None], inverted, pictures)
    )


@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
def test_blur_is_torchvisions_with_simclrs_kernel(sigma: float) -> None:
    pictures = _pictures(2, size=48)
    found = colour.blur(pictures, torch.tensor([sigma, sigma]))
    expected = reference.gaussian_blur(pictures, [23, 23], [sigma, sigma])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_blur_widths_shrink_with_the_image() -> None:
    pictures = _pictures(1, size=112)
    found = colour.apply(pictures, _draws(1, sigma=torch.tensor([2.0])), Colour())
    torch.testing.assert_close(found, colour.blur(pictures, torch.tensor([1.0])))


def test_grey_images_equal_their_three_channel_copies() -> None:
    """One channel is enough: saturation, hue and grey change (almost) nothing: weights add up to
    0.9999."""
    single = _pictures(16, channels=1)
    settings = Colour()
    draws = colour.draw(settings, 16, torch.Generator().manual_seed(4))
    alone = colour.apply(single, draws, settings)
    three = colour.apply(single.expand(-1, 3, -1, -1), draws, settings)
    torch.testing.assert_close(
        alone.expand(-1, 3, -1, -1), three, atol=5e-4, rtol=0
    )  # weights sum to 0.9999


def test_draws_have_their_probabilities_and_ranges() -> None:
    settings = Colour(brightness=0.8, hue=0.2, jitter=0.8, grey=0.2, blur=0.5, solarise=0.1)
    count = 20_000
    draws = colour.draw(settings, count, torch.Generator().manual_seed(0))
    jittered = draws.order[:, 0] >= 0
    shares = [jittered, draws.grey, draws.sigma > 0, draws.solarise]
    found = [float(s.float().mean()) for s in shares]
    assert found == pytest.approx([0.8, 0.2, 0.5, 0.1], abs=0.012)
    low, high = draws.factors.amin(0), draws.factors.amax(0)
    torch.testing.assert_close(low, torch.tensor([0.2, 0.6, 0.6, -0.2]), atol=2e-3, rtol=0)
    torch.testing.assert_close(high, torch.tensor([1.8, 1.4, 1.4, 0.2]), atol=2e-3, rtol=0)
    sigma = draws.sigma[draws.sigma > 0]
    assert float(sigma.min()) >= 0.1
    assert float(sigma.max()) <= 2.0
    orders = draws.order[jittered]
    assert len(orders.unique(dim=0)) == 24


def test_inputs_are_left_alone() -> None:
    pictures = _pictures()
    before = pictures.clone()
    draws = colour.draw(Colour(), 6, torch.Generator().manual_seed(0))
    colour.apply(pictures, draws, Colour())
    assert torch.equal(pictures, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_device_that_computes_all_images_gets_the_same_values(
    channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU only the images that change are computed, elsewhere all are."""
    settings = Colour(grey=0.3, solarise=0.3, jitter=0.6)
    pictures = _pictures(32, channels=channels)
    draws = colour.draw(settings, 32, torch.Generator().manual_seed(7))
    selected = colour.apply(pictures, draws, settings)
    monkeypatch.setattr(colour._Change, "__call__", colour._Change.of_all)
    everywhere = colour.apply(pictures, draws, settings)
    torch.testing.assert_close(everywhere, selected, atol=2e-6, rtol=0)
    alone = (draws.order[:, 0] < 0) & ~draws.grey & ~draws.solarise & (draws.sigma == 0)
    assert alone.any()
    torch.testing.assert_close(everywhere[alone], pictures[alone], atol=1e-6, rtol=0)
