"""Student's tests of a mean: is it another number, is it the same within a margin?

A published number may be taken as a constant (``t_test``, ``tost``), or as one draw with the
spread of ours (``prediction_test``, ``tost_of_prediction``), which is what a single run is.

``least`` of every test is the smallest standard deviation of one value that is believed, see
``harness.stats.grid``: shares of few images can be equal by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.stats.intervals import mean, sd


@dataclass(frozen=True)
class TTest:
    """Result of a two-sided test by Student's t.

    Attributes:
        statistic: the difference over its standard error; infinite where nothing varies.
        p: two-sided p value.
        df: degrees of freedom.
    """

    statistic: float
    p: float
    df: int


def t_test(values: Sequence[float], against: float, *, least: float = 0.0) -> TTest:
    """Test whether the mean of normally distributed values is a given number.

    Args:
        values: independent values, for instance one per seed; at least two.
        against: the number.
        least: smallest standard deviation of one value that is believed.

    Raises:
        ValueError: there are fewer than two values, or a value is not finite.
    """
    return _two_sided(_centre(values) - against, error(values, least=least), len(values) - 1)


def prediction_test(
    values: Sequence[float], against: float, *, draw: float = 1.0, least: float = 0.0
) -> TTest:
    """Test whether a number is one more draw from the distribution of the values.

    Args:
        values: independent values; at least two.
        against: the number.
        draw: variance of the number as a share of that of one value: 1 for one draw, 1 / k for the
            mean of k.
        least: smallest standard deviation of one value that is believed.

    Raises:
        ValueError: there are fewer than two values, or a value is not finite.
    """
    spread = error(values, draw=draw, least=least)
    return _two_sided(_centre(values) - against, spread, len(values) - 1)


def paired_t(a: Sequence[float], b: Sequence[float], *, least: float = 0.0) -> TTest:
    """Test whether the mean of the differences a - b is zero.

    Args:
        a: values, for instance one per seed.
        b: values of the same seeds, in the same order.
        least: the smallest standard deviation of a difference that is believed, see
            ``grid.least_sd_of_differences``.

    Raises:
        ValueError: there are fewer than two pairs, or a and b are not equally many.
    """
    if len(a) != len(b):
        raise ValueError(f"Pairs need equally many values, not {len(a)} and {len(b)}.")
    differences = [x - y for x, y in zip(a, b, strict=True)]
    return t_test(differences, 0.0, least=least)


def tost(values: Sequence[float], against: float, margin: float, *, least: float = 0.0) -> float:
    """Return the p value of "the mean differs from a number by the margin or more".

    Two one-sided t tests, of which the larger p counts (D. J. Schuirmann, J. Pharmacokinet.
    Biopharm. 15 (1987) 657-680).

    Args:
        values: independent values; at least two.
        against: the number.
        margin: the largest difference that does not matter, above 0, in the values' unit.
        least: smallest standard deviation of one value that is believed.

    Raises:
        ValueError: there are fewer than two values, one is not finite, or the margin is not above
            zero.
    """
    spread = error(values, least=least)
    return _equivalence(_centre(values) - against, margin, spread, len(values) - 1)


def tost_of_prediction(
    values: Sequence[float],
    against: float,
    margin: float,
    *,
    draw: float = 1.0,
    least: float = 0.0,
) -> float:
    """Return the p value of ``tost`` where the number is itself a draw with our spread.

    Raises:
        ValueError: see ``tost``; ``draw`` and ``least`` are those of ``prediction_test``.
    """
    spread = error(values, draw=draw, least=least)
    return _equivalence(_centre(values) - against, margin, spread, len(values) - 1)


def _centre(values: Sequence[float]) -> float:
    """Return the mean; of equal values exactly that value, which a rounded sum may miss."""
    return values[0] if len(set(values)) == 1 else mean(values)


def error(values: Sequence[float], *, draw: float = 0.0, least: float = 0.0) -> float:
    """Return the standard error of the mean, or of the mean less a draw, see ``prediction_test``.

    Raises:
        ValueError: there are fewer than two values, or a value is not finite.
    """
    if not all(math.isfinite(value) for value in values):
        raise ValueError("Some values are not finite; leave them out and say so.")
    return max(sd(values), least) * math.sqrt(draw + 1.0 / len(values))


def _two_sided(difference: float, error: float, df: int) -> TTest:
    from scipy.special import stdtr

    if not math.isfinite(difference):
        raise ValueError("The number that is tested against is not finite.")
    if error == 0.0:
        if difference == 0.0:
            return TTest(0.0, 1.0, df)
        return TTest(math.copysign(math.inf, difference), 0.0, df)
    statistic = difference / error
    return TTest(statistic, float(2.0 * stdtr(df, -abs(statistic))), df)


def _equivalence(difference: float, margin: float, error: float, df: int) -> float:
    from scipy.special import stdtr

    if not (margin > 0.0 and math.isfinite(margin) and math.isfinite(difference)):
        raise ValueError(f"The margin {margin} is no finite number above 0.")
    # The hypothesis that is less clearly rejected: the end that the mean is nearer to.
    distance = margin - abs(difference)
    if error == 0.0:
        return 0.0 if distance > 0.0 else 1.0
    return float(stdtr(df, -distance / error))
