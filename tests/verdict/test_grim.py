"""Counts that a printed share can stand for."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.verdict.grim import HALF_EVEN, HALF_UP, TRUNCATED, grim

ROUNDINGS = {HALF_UP: ROUND_HALF_UP, HALF_EVEN: ROUND_HALF_EVEN, TRUNCATED: ROUND_DOWN}


def test_grim_of_the_papers_majority_rows() -> None:
    """58.43 % of 522 is 305 images, 67.01 % of 3001 is 2011."""
    assert grim("58.43", 522).counts == (305,)
    assert grim("67.01", 3001).counts == (2011,)
    assert not grim("68.41", 522).attainable  # the released README's Messidor figure is no count


def test_ways_of_printing_are_told_apart() -> None:
    # 59.75 of 522: 311 / 522 = 59.578 %, 312 / 522 = 59.770 %: neither.
    assert grim("59.75", 522).counts == ()
    # 1 / 8 = 12.5 %: half up 13, half to even 12, truncated 12.
    assert grim("13", 8).fits == {HALF_UP: (1,), HALF_EVEN: (), TRUNCATED: ()}
    assert grim("12", 8).fits == {HALF_UP: (), HALF_EVEN: (1,), TRUNCATED: (1,)}
    # 2 / 3 = 66.666 %: truncated 66.66, rounded 66.67.
    assert grim("66.66", 3).conventions == (TRUNCATED,)
    assert grim("66.67", 3).conventions == (HALF_UP, HALF_EVEN)
    assert grim("66.66", 3).rounded == ()


def test_last_zeros_count() -> None:
    """61.30 of 522 is 320 images (61.3027 %); 61.3 could be 61.25 to 61.35."""
    assert grim("61.30", 522).counts == (320,)
    # 64 / 522 = 12.260 %, 12.3 rounded to one decimal; "12.30" is no count.
    assert grim("12.3", 522).counts == (64,)
    assert grim("12.30", 522).counts == ()
    # Without decimals several counts are printed alike: 7 / 522 = 1.34 %, 5 / 522 = 0.96 %.
    assert grim("1", 522).fits[HALF_UP] == (3, 4, 5, 6, 7)
    assert grim("1", 522).fits[TRUNCATED] == (6, 7, 8, 9, 10)


def test_shares_beyond_all_images_are_no_counts() -> None:
    assert grim("100.00", 522).counts == (522,)
    assert grim("100.01", 522).counts == ()
    assert grim("-0.50", 522).counts == ()
    with pytest.raises(ValueError, match="n is 0"):
        grim("50.00", 0)


@given(n=st.integers(1, 4000), digits=st.integers(0, 4), data=st.data())
def test_grim_finds_every_count_that_was_printed_and_no_other(
    n: int, digits: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(0, n))
    unit = Decimal(1).scaleb(-digits)
    with localcontext() as context:
        context.prec = 40  # 100 k / n with 4000 as its largest n is a tie or far from one
        for name, rounding in ROUNDINGS.items():
            found = grim(str((Decimal(100 * k) / n).quantize(unit, rounding)), n)
            by_hand = [
                i
                for i in range(max(0, k - n // 20 - 2), min(n, k + n // 20 + 2) + 1)
                if (Decimal(100 * i) / n).quantize(unit, rounding) == found.printed.exact
            ]
            assert k in found.fits[name]
            assert list(found.fits[name]) == by_hand
