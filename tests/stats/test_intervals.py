"""Means, standard deviations and intervals by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats import intervals


def test_intervals_by_hand() -> None:
    values = [1.0, 2.0, 3.0, 4.0]
    assert intervals.mean(values) == 2.5
    assert intervals.sd(values) == pytest.approx((5 / 3) ** 0.5)
    interval = intervals.t_interval(values)
    half = 3.182446305 * (5 / 3) ** 0.5 / 2  # t(0.975, 3)
    assert (interval.low, interval.high) == pytest.approx((2.5 - half, 2.5 + half))
    assert intervals.sd([0.1] * 7) == 0.0
    # Wilson for 8 of 10: (8 + z²/2 ± z sqrt(8 · 2 / 10 + z²/4)) / (10 + z²)
    low, high = intervals.wilson(8, 10).low, intervals.wilson(8, 10).high
    assert (low, high) == pytest.approx((0.490162, 0.943318), abs=1e-6)


@given(total=st.integers(1, 5000), data=st.data())
def test_wilson_covers_the_share_and_is_symmetric(total: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, total))
    interval = intervals.wilson(successes, total)
    assert 0 <= interval.low <= successes / total <= interval.high <= 1
    mirrored = intervals.wilson(total - successes, total)
    assert mirrored.low == pytest.approx(1 - interval.high)


def test_statistics_refuse_too_few_values() -> None:
    with pytest.raises(ValueError, match="no values"):
        intervals.mean([])
    with pytest.raises(ValueError, match="needs two values"):
        intervals.sd([1.0])
    with pytest.raises(ValueError, match="5 of 4 is no share"):
        intervals.wilson(5, 4)
    with pytest.raises(ValueError, match="level"):
        intervals.wilson(1, 4, level=1.0)
