"""Power of the tests of a mean, and the number of seeds that a decision needs.

Both are exact for normally distributed values. The standard deviation is an input: from few seeds
it is itself uncertain, so a number of seeds is an order of magnitude.
"""

from __future__ import annotations

import math
from collections.abc import Callable


def power_t(n: int, sd: float, effect: float, *, alpha: float = 0.05) -> float:
    """Return the probability that ``location.t_test`` is significant.

    Args:
        n: number of values, at least two.
        sd: standard deviation of one value.
        effect: true difference of the mean from the number that it is tested against.
        alpha: level of the test.

    Raises:
        ValueError: n is below two, sd is negative, or alpha is outside 0..1.
    """
    from scipy.special import nctdtr, stdtrit

    _check(n, sd, alpha)
    if sd == 0.0:
        return 1.0 if effect else 0.0  # equal values that are the number: p is 1
    df = n - 1
    critical = float(stdtrit(df, 1.0 - alpha / 2.0))
    # Noncentral t; the two tails of |t| > critical.
    shift = abs(effect) / sd * math.sqrt(n)
    above = 1.0 - float(nctdtr(df, shift, critical))
    below = float(nctdtr(df, shift, -critical))
    if math.isnan(above) or math.isnan(below):
        return 1.0  # scipy gives no value where the shift is so large that nothing is left below
    return min(1.0, above + below)


def power_tost(
    n: int, sd: float, difference: float, margin: float, *, alpha: float = 0.05
) -> float:
    """Return the probability that ``location.tost`` is significant.

    Args:
        n: number of values, at least two.
        sd: standard deviation of one value.
        difference: true difference of the mean from the number.
        margin: of the test, above 0.
        alpha: level of each one-sided test.

    Raises:
        ValueError: n is below two, sd is negative, the margin is not above 0, or alpha is outside
            0..1.
    """
    import numpy as np
    from scipy.special import chdtri, gammaln, ndtr, stdtrit

    _check(n, sd, alpha)
    if not margin > 0.0:
        raise ValueError(f"The margin {margin} is not above 0.")
    if sd == 0.0:
        return 1.0 if abs(difference) < margin else 0.0
    df, error = n - 1, sd / math.sqrt(n)
    critical = float(stdtrit(df, 1.0 - alpha))
    # Given the ratio r of the sample's to the true sd, both tests reject where the mean lies within
    # margin - critical r error of the number; integrate over r sqrt(df), which is a chi variable.
    low, high = (math.sqrt(float(chdtri(df, tail)) / df) for tail in (1.0 - 1e-13, 1e-13))
    high = min(high, margin / (critical * error))
    if high <= low:
        return 0.0
    nodes, weights = np.polynomial.legendre.leggauss(200)
    r = low + (high - low) * (nodes + 1.0) / 2.0
    log_density = (
        math.log(2.0)
        + 0.5 * df * math.log(df / 2.0)
        - float(gammaln(df / 2.0))
        + (df - 1) * np.log(r)
        - 0.5 * df * r * r
    )
    room = margin / error - critical * r
    centre = difference / error
    inside = ndtr(room - centre) - ndtr(-room - centre)
    total = float(np.sum(weights * np.exp(log_density) * inside)) * (high - low) / 2.0
    return min(1.0, max(0.0, total))


def seeds_for_difference(
    sd: float, effect: float, *, alpha: float = 0.05, power: float = 0.8, most: int = 10_000
) -> int | None:
    """Return the smallest number of seeds with which ``t_test`` finds an effect.

    Returns:
        None if more than ``most`` would be needed, or there is no effect.

    Raises:
        ValueError: sd is negative, or alpha or power are outside 0..1.
    """
    if effect == 0.0:
        _check(2, sd, alpha)
        return None
    return _smallest(lambda n: power_t(n, sd, effect, alpha=alpha), power, most)


def seeds_for_equivalence(
    sd: float,
    margin: float,
    *,
    difference: float = 0.0,
    alpha: float = 0.05,
    power: float = 0.8,
    most: int = 10_000,
) -> int | None:
    """Return the smallest number of seeds with which ``tost`` shows equivalence.

    Args:
        sd: standard deviation of one value.
        margin: of the test.
        difference: true difference, in the same unit.
        alpha: level of each one-sided test.
        power: probability wanted.
        most: the largest number of seeds that is tried.

    Returns:
        None if more than ``most`` would be needed, or the true difference is not within the margin.

    Raises:
        ValueError: sd is negative, the margin is not above 0, or alpha or power are outside 0..1.
    """
    if abs(difference) >= margin > 0.0:
        _check(2, sd, alpha)
        return None
    return _smallest(lambda n: power_tost(n, sd, difference, margin, alpha=alpha), power, most)


def _smallest(reached: Callable[[int], float], power: float, most: int) -> int | None:
    """Return the smallest n of 2..most whose power suffices; power grows with n."""
    if not 0.0 < power < 1.0:
        raise ValueError(f"The power {power} is not inside 0..1.")
    below, high = 1, 2
    while high < most and reached(high) < power:
        below, high = high, min(2 * high, most)
    if high > most or reached(high) < power:
        return None
    while high - below > 1:
        middle = (below + high) // 2
        below, high = (below, middle) if reached(middle) >= power else (middle, high)
    return high


def _check(n: int, sd: float, alpha: float) -> None:
    if n < 2:
        raise ValueError(f"The power of a test needs two values; there are {n}.")
    if not (sd >= 0.0 and math.isfinite(sd)):
        raise ValueError(f"The standard deviation {sd} is no finite number from 0 on.")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"The level {alpha} is not inside 0..1.")
