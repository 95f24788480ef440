"""Intervals of means over seeds and of shares of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Mean over seeds with sample deviation and two-sided interval (None for one seed)."""

    n: int
    mean: float
    sd: float | None
    interval: tuple[float, float] | None


def summarise(values: Sequence[float], *, level: float = 0.95) -> Summary:
    """Return mean, deviation (n - 1) and Student's interval of the mean.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values to summarise; give at least one")
    array = np.asarray(values, float)
    mean = float(array.mean())
    if len(array) == 1:
        return Summary(1, mean, None, None)
    from scipy import stats

    sd = float(array.std(ddof=1))
    half = float(stats.t.ppf(0.5 + level / 2, len(array) - 1)) * sd / math.sqrt(len(array))
    return Summary(len(array), mean, sd, (mean - half, mean + half))


def wilson(hits: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of a share ``hits / n``.

    Raises:
        ValueError: not 0 <= hits <= n with n > 0.
    """
    if not 0 <= hits <= n or n == 0:
        raise ValueError(f"{hits} of {n} is not a share; give 0 <= hits <= n, n > 0")
    from statistics import NormalDist

    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, spread = hits / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == n else centre + half
    return low, high
