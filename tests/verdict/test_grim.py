"""Counts that a printed share can stand for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.verdict.grim import grim


def test_grim_of_the_papers_majority_rows() -> None:
    """58.43 % of 522 is 305 images, 67.01 % of 3001 is 2011."""
    assert grim(58.43, 522) == [305]
    assert grim(67.01, 3001) == [2011]
    assert grim(68.41, 522) == []  # the released README's Messidor figure is no count


@given(n=st.integers(1, 4000), data=st.data())
def test_grim_finds_every_count_that_was_printed(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    assert k in grim(round(100 * k / n, 2), n)
