"""Mean, standard deviation, and intervals of means, of one more draw and of proportions.

scipy is imported inside the function that needs it: a table of one seed does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of the values.

    Attributes:
        low: lower end.
        high: upper end.
    """

    low: float
    high: float


def mean(values: Sequence[float]) -> float:
    """Return the mean, computed from an exactly rounded sum.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("The mean of no values does not exist; give at least one.")
    return math.fsum(values) / len(values)


def sd(values: Sequence[float]) -> float:
    """Return the sample standard deviation (n - 1 in the denominator).

    Raises:
        ValueError: there are fewer than two values.
    """
    if len(values) < 2:
        raise ValueError(f"A standard deviation needs two values; there are {len(values)}.")
    if len(set(values)) == 1:
        return 0.0  # the rounded mean may differ from equal values in the last place
    centre = mean(values)
    return math.sqrt(math.fsum((v - centre) ** 2 for v in values) / (len(values) - 1))


def t_interval(values: Sequence[float], *, level: float = 0.95, least: float = 0.0) -> Interval:
    """Return Student's t confidence interval of the mean of normally distributed values.

    Args:
        values: independent values, for instance one per seed; at least two.
        level: coverage, in 0..1.
        least: smallest standard deviation of one value that is believed, see
            ``harness.stats.grid``.

    Raises:
        ValueError: there are fewer than two values, or the level is outside 0..1.
    """
    # mean ± t(n - 1, (1 + level) / 2) * s / sqrt(n)
    spread = max(sd(values), least)
    half = quantile(len(values) - 1, level) * spread / math.sqrt(len(values))
    return Interval(mean(values) - half, mean(values) + half)


def prediction_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Return the interval that contains one more draw from the same normal distribution.

    Args:
        values: independent draws; at least two.
        level: coverage, in 0..1.

    Raises:
        ValueError: there are fewer than two values, or the level is outside 0..1.
    """
    # The new draw has the variance sd², our mean sd² / n; they are independent.
    half = quantile(len(values) - 1, level) * sd(values) * math.sqrt(1.0 + 1.0 / len(values))
    return Interval(mean(values) - half, mean(values) + half)


def wilson(successes: int, total: int, *, level: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion, without continuity correction.

    For an accuracy it covers the sampling of images, not the variation between seeds. Source: E. B.
    Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212.

    Args:
        successes: k, in 0..total.
        total: n, above 0.
        level: coverage, in 0..1.

    Raises:
        ValueError: not 0 <= successes <= total with total > 0, or the level is outside 0..1.
    """
    _check_share(successes, total)
    z = NormalDist().inv_cdf(_upper(level))
    # (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n) with p = k / n.
    share = successes / total
    scale = 1.0 + z * z / total
    centre = (share + z * z / (2.0 * total)) / scale
    half = z * math.sqrt(share * (1.0 - share) / total + z * z / (4.0 * total * total)) / scale
    # The ends are exactly 0 and 1 there; rounding would give values such as 1e-17.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == total else centre + half
    return Interval(low, high)


def clopper_pearson(successes: int, total: int, *, level: float = 0.95) -> Interval:
    """Return the exact interval of a proportion, which covers at least ``level`` always.

    Source: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404-413.

    Args:
        successes: k, in 0..total.
        total: n, above 0.
        level: coverage, in 0..1.

    Raises:
        ValueError: not 0 <= successes <= total with total > 0, or the level is outside 0..1.
    """
    from scipy.special import betaincinv

    _check_share(successes, total)
    tail = 1.0 - _upper(level)
    # P(X >= k | low) = P(X <= k | high) = tail; the binomial tails are incomplete beta functions.
    low = 0.0 if successes == 0 else float(betaincinv(successes, total - successes + 1, tail))
    high = 1.0
    if successes < total:
        high = float(betaincinv(successes + 1, total - successes, 1.0 - tail))
    return Interval(low, high)


def quantile(df: float, level: float) -> float:
    """Return the quantile of Student's t that bounds a two-sided interval.

    Args:
        df: degrees of freedom, above 0.
        level: coverage, in 0..1.

    Raises:
        ValueError: the level is outside 0..1, or there is no degree of freedom.
    """
    from scipy.special import stdtrit

    if not df > 0:
        raise ValueError(f"Student's t with {df} degrees of freedom needs more values.")
    return float(stdtrit(df, _upper(level)))


def _check_share(successes: int, total: int) -> None:
    if not 0 <= successes <= total or total == 0:
        raise ValueError(f"{successes} of {total} is no share; allowed: 0 <= k <= n, n > 0.")


def _upper(level: float) -> float:
    """Return the cumulative probability of a two-sided interval's upper end."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"The level {level} is not inside 0..1.")
    return 0.5 + level / 2.0
