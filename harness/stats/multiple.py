"""Level of the tests, and correction of p values of several tests."""

from __future__ import annotations

from collections.abc import Sequence

LEVEL = 0.05
"""Significance level of every test, two-sided; of equivalence, on each side."""


def significant(p: float) -> bool:
    """Whether a p value, adjusted where there are several, rejects: at most the level."""
    return p <= LEVEL


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


def partial_conjunction(ps: Sequence[float], least: int) -> float:
    """Return the p value of "fewer than ``least`` of these hypotheses are false".

    With all of them it is the largest p (an intersection-union test needs no adjustment), with one
    Bonferroni's. It holds whatever the dependence. Source: Y. Benjamini and R. Heller, Biometrics
    64 (2008) 1215-1222.

    Args:
        ps: p values in any order, in 0..1.
        least: number of hypotheses that are to be false, in 1..len(ps).

    Raises:
        ValueError: ``least`` is outside that range, or a p value is outside 0..1.
    """
    if not 1 <= least <= len(ps) or not all(0.0 <= p <= 1.0 for p in ps):
        raise ValueError(f"{least} of the p values {list(ps)} cannot be tested.")
    return min(1.0, (len(ps) - least + 1) * sorted(ps)[least - 1])
