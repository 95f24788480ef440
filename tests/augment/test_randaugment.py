"""RandAugment against timm's PIL operations, image by image, and its draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import auto_augment as reference
from torch import Tensor

from harness.augment import randaugment
from harness.augment.randaugment import OPERATIONS, Draws, RandAugment

TIMM = {
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
    "invert": "Invert",
    "posterize": "PosterizeIncreasing",
    "solarize": "SolarizeIncreasing",
    "solarize_add": "SolarizeAdd",
    "contrast": "ContrastIncreasing",
    "brightness": "BrightnessIncreasing",
    "colour": "ColorIncreasing",
    "sharpness": "SharpnessIncreasing",
    "rotate": "Rotate",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateXRel",
    "translate_y": "TranslateYRel",
}
LEVELS = (0.0, 0.4, 5.0, 8.3, 9.0, 9.6, 10.0)


def _pictures() -> Tensor:
    """Return noise, a smooth picture, two narrow ranges, a plain one and a dark one."""
    generator = torch.Generator().manual_seed(2)
    side = 37
    noise = torch.randint(0, 256, (3, side, side), generator=generator)
    ramp = torch.arange(side)
    smooth = torch.stack(
        [ramp.expand(side, side) * 6, ramp[:, None].expand(side, side) * 5, (ramp + ramp[:, None])]
    )
    narrow = 90 + noise % 41
    two = 100 + (noise > 128) * 50
    plain = torch.full_like(noise, 77)
    dark = noise // 9
    return torch.stack([noise, smooth, narrow, two, plain, dark, noise.flip(0)]).float()


def _expected(picture: Tensor, name: str, level: float, sign: float) -> Tensor:
    image = Image.fromarray(picture.byte().permute(1, 2, 0).contiguous().numpy())
    to_arguments: Any = reference.LEVEL_TO_ARG[TIMM[name]]
    original = reference._randomly_negate
    reference._randomly_negate = lambda value: sign * value
    try:
        arguments = to_arguments(level, {}) if to_arguments else ()
    finally:
        reference._randomly_negate = original
    if arguments == (0,) and name == "posterize":
        return torch.zeros_like(picture)  # no bit is kept; new PILs refuse it, old ones did this
    operation: Any = reference.NAME_TO_OP[TIMM[name]]
    result = operation(
        image, *arguments, fillcolor=randaugment.FILL, resample=Image.Resampling.BICUBIC
    )
    return torch.from_numpy(np.array(result)).permute(2, 0, 1).float()


def test_the_operations_are_timms() -> None:
    assert sorted(TIMM.values()) == sorted(reference._RAND_INCREASING_TRANSFORMS)
    assert set(TIMM) == set(OPERATIONS)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_timms_to_the_value(name: str, sign: float) -> None:
    """Exact; of a warp's values at most one in 500 is off by one, where float32 sums round."""
    pictures = _pictures()
    for level in LEVELS:
        draws = Draws(
            torch.full((len(pictures), 1), OPERATIONS.index(name)),
            torch.full((len(pictures), 1), level, dtype=torch.float64),
            torch.full((len(pictures), 1), sign, dtype=torch.float64),
        )
        found = randaugment.apply(pictures, draws)
        expected = torch.stack([_expected(p, name, level, sign) for p in pictures])
        if name not in randaugment.WARPS:
            torch.testing.assert_close(found, expected, atol=0, rtol=0)
        else:
            off = (found - expected).abs()
            assert float(off.max()) <= 1
            assert float((off > 0).float().mean()) <= 0.002


def test_images_keep_their_own_operations_in_a_batch() -> None:
    pictures = _pictures().repeat(6, 1, 1, 1)
    draws = randaugment.draw(
        RandAugment(probability=0.9), len(pictures), torch.Generator().manual_seed(5)
    )
    together = randaugment.apply(pictures, draws)
    for row in range(len(pictures)):
        own = Draws(*(part[row : row + 1] for part in vars(draws).values()))
        alone = randaugment.apply(pictures[row : row + 1], own)
        torch.testing.assert_close(together[row : row + 1], alone, atol=0, rtol=0)


def test_draws_have_their_probabilities_and_levels() -> None:
    count = 60_000
    draws = randaugment.draw(RandAugment(), count, torch.Generator().manual_seed(0))
    assert draws.operation.shape == (count, 2)
    applied = draws.operation >= 0
    assert float(applied.double().mean()) == pytest.approx(0.5, abs=0.006)
    both = applied.all(1).double().mean()
    assert float(both) == pytest.approx(0.25, abs=0.008)
    shares = torch.bincount(draws.operation[applied], minlength=15) / applied.sum()
    assert shares.tolist() == pytest.approx([1 / 15] * 15, abs=0.004)
    inner = draws.level[draws.level < 10]
    assert float(inner.max()) < 10
    # A normal of mean 9 and deviation 0.5 lies above 10 in 2.275 % of the draws.
    assert 1 - inner.numel() / draws.level.numel() == pytest.approx(0.02275, abs=0.002)
    assert float(draws.level.median()) == pytest.approx(9, abs=0.01)
    assert float((draws.level < 8.5).double().mean()) == pytest.approx(0.1587, abs=0.004)
    assert float(draws.sign.mean()) == pytest.approx(0, abs=0.012)


def test_inputs_are_left_alone_and_values_are_rounded() -> None:
    pictures = _pictures() + 0.4
    before = pictures.clone()
    none = Draws(torch.full((7, 2), -1), torch.ones(7, 2).double(), torch.ones(7, 2).double())
    found = randaugment.apply(pictures, none)
    assert torch.equal(pictures, before)
    assert torch.equal(found, _pictures())
