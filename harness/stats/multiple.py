"""Correction of p values of several tests."""

from __future__ import annotations

from collections.abc import Sequence


def holm(ps: Sequence[float]) -> list[float]:
    """Return p values adjusted so that one false finding among all of them has at most level alpha.

    It holds whatever the dependence of the tests. Source: S. Holm, Scand. J. Stat. 6 (1979) 65-70.

    Args:
        ps: p values in any order.

    Returns:
        the adjusted p values in the same order.

    Raises:
        ValueError: a p value is outside 0..1.
    """
    if not all(0.0 <= p <= 1.0 for p in ps):
        raise ValueError(f"Some of the p values {list(ps)} are outside 0..1.")
    adjusted = [0.0] * len(ps)
    largest = 0.0
    # The smallest p is multiplied by m, the next by m - 1, ...; none may become smaller than one
    # before it.
    for rank, position in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[position]))
        adjusted[position] = largest
    return adjusted
