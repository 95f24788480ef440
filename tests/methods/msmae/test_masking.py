"""Which patches are masked, thrown and visible: counts, order of the draw, gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.methods.msmae import masking


@pytest.mark.parametrize(
    ("mask", "throw", "expected"),
    [
        (0.45, 0.30, (88, 59, 49)),
        (0.45, 0.40, (88, 78, 30)),
        (0.30, 0.45, (58, 89, 49)),
        (0.75, 0.0, (147, 0, 49)),
    ],
)
def test_counts_of_the_paper(mask: float, throw: float, expected: tuple[int, int, int]) -> None:
    masked, thrown = masking.counts(196, mask, throw)
    assert (masked, thrown, 196 - masked - thrown) == expected
    drawn = masking.weighted(torch.ones(2, 196), (mask, throw), torch.Generator())
    shapes = (drawn.ids_mask.shape[1], drawn.ids_throw.shape[1], drawn.ids_keep.shape[1])
    assert shapes == expected


@given(
    patches=st.integers(1, 400),
    mask=st.integers(0, 99),
    throw=st.integers(0, 99),
)
def test_counts_are_exact_in_decimals(patches: int, mask: int, throw: int) -> None:
    if mask + throw >= 100:
        with pytest.raises(UserError, match="together below 1"):
            masking.check_ratios(mask / 100, throw / 100)
        return
    masking.check_ratios(mask / 100, throw / 100)
    masked, thrown = masking.counts(patches, mask / 100, throw / 100)
    assert masked == patches * mask // 100
    assert masked + thrown == patches * (mask + throw) // 100
    assert patches - masked - thrown >= 1


def test_order_is_that_of_weights_over_exponentials() -> None:
    weights = torch.rand(5, 36, generator=torch.Generator().manual_seed(1)) + 0.01
    drawn = masking.weighted(weights, (0.5, 0.2), torch.Generator().manual_seed(7))
    noise = torch.empty(5, 36).exponential_(generator=torch.Generator().manual_seed(7))
    assert torch.equal(drawn.order, (weights / noise).argsort(1, descending=True))


def test_order_is_the_one_of_torch_multinomial() -> None:
    """torch.multinomial without replacement is the same race over the same exponentials."""
    weights = torch.rand(5, 36, generator=torch.Generator().manual_seed(1)) + 0.01
    drawn = masking.weighted(weights, (0.5, 0.2), torch.Generator().manual_seed(7))
    reference = torch.multinomial(
        weights, 36, replacement=False, generator=torch.Generator().manual_seed(7)
    )
    assert torch.equal(drawn.order, reference)


def test_heavy_patches_are_masked_as_often_as_sampling_without_replacement_says() -> None:
    """Of 196 patches 20 weigh five times: 0.919 masked, 0.080 thrown, 0.002."""
    weights = torch.ones(3000, 196)
    weights[:, :20] = 5.0
    drawn = masking.weighted(weights, (0.45, 0.30), torch.Generator().manual_seed(0))
    shares = [
        (ids < 20).sum().item() / (3000 * 20)
        for ids in (drawn.ids_mask, drawn.ids_throw, drawn.ids_keep)
    ]
    assert shares == pytest.approx([0.919, 0.080, 0.002], abs=0.004)


def test_zero_weights_come_last_and_in_random_order() -> None:
    weights = torch.zeros(200, 12)
    weights[:, 3] = 0.5
    weights[:, 8] = 1.0
    drawn = masking.weighted(weights, (0.25, 0.25), torch.Generator().manual_seed(0))
    assert set(drawn.order[:, :2].flatten().tolist()) == {3, 8}
    assert torch.equal(drawn.order.sort(1).values, torch.arange(12).expand(200, 12))
    assert len(drawn.order[:, 2].unique()) == 10  # any of the ten others comes next


def test_uniform_masks_are_permutations_without_throwing() -> None:
    drawn = masking.uniform((4, 36), (0.75, 0.0), torch.Generator().manual_seed(0))
    assert torch.equal(drawn.order.sort(1).values, torch.arange(36).expand(4, 36))
    assert (drawn.masked, drawn.thrown) == (27, 0)
