"""Means and intervals of what runs measured.

scipy is imported where it is needed: a table of one seed does without.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


def mean(values: Sequence[float]) -> float:
    """Return the mean, from an exactly rounded sum.

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
        return 0.0  # the mean may be off by one unit in the last place
    centre = mean(values)
    return math.sqrt(math.fsum((v - centre) ** 2 for v in values) / (len(values) - 1))


def t_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Return Student's interval of the mean, for values that vary as a normal variable does.

    Args:
        values: one number a seed, at least two.
        level: the coverage, in 0..1.

    Raises:
        ValueError: there are fewer than two values, or the level is outside 0..1.
    """
    from scipy.special import stdtrit

    spread = sd(values)
    quantile = float(stdtrit(len(values) - 1, _upper(level)))
    half = quantile * spread / math.sqrt(len(values))
    return Interval(mean(values) - half, mean(values) + half)


def wilson(successes: int, total: int, *, level: float = 0.95) -> Interval:
    """Return Wilson's score interval of a share, without continuity correction.

    It covers the drawing of images, not of seeds.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212.

    Raises:
        ValueError: not 0 <= successes <= total with total > 0, or the level is outside 0..1.
    """
    if not 0 <= successes <= total or total == 0:
        raise ValueError(f"{successes} of {total} is no share; allowed: 0 <= k <= n, n > 0.")
    z = NormalDist().inv_cdf(_upper(level))
    share = successes / total
    scale = 1.0 + z * z / total
    centre = (share + z * z / (2.0 * total)) / scale
    half = z * math.sqrt(share * (1.0 - share) / total + z * z / (4.0 * total * total)) / scale
    # Exact at the ends, where rounding would leave 1e-17.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == total else centre + half
    return Interval(low, high)


def _upper(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"The level {level} is not inside 0..1.")
    return 0.5 + level / 2.0
