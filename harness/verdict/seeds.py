"""How many seeds would decide a verdict, from a spread and a difference that are taken as given."""

from __future__ import annotations

import bisect
import math

from harness.stats import power
from harness.verdict.values import LEVEL, Basis, Evidence

MOST = 1000
"""Largest number of seeds that is looked for."""

POWER = 0.8
"""Probability with which the seeds that are named reach a verdict about an exact number."""


def draw(evidence: Evidence, basis: Basis) -> float:
    """Return the variance of the published number as a share of that of one run."""
    return 1.0 / evidence.printed.runs if basis == "draw" else 0.0


def within(difference: float, rounding: float) -> bool:
    """Return whether rounding alone can make a difference, up to the error of binary fractions."""
    return abs(difference) <= rounding * (1 + 1e-9)


def needed(evidence: Evidence, sd: float, difference: float) -> int | None:
    """Return the seeds in all with which a difference or an equivalence is shown.

    None up to ``MOST``. A difference within the rounding of the print is never shown.

    Args:
        evidence: of the number; its basis is that of the test.
        sd: of one run.
        difference: of the true mean from the published number.
    """
    size = abs(difference)
    found = [_smallest(evidence, sd, size, margin=evidence.margin.value)]
    if not within(difference, evidence.printed.resolution):
        found.append(_smallest(evidence, sd, size, margin=None))
    reached = [count for count in found if count is not None]
    return max(min(reached), len(evidence.values) + 1) if reached else None


def _smallest(
    evidence: Evidence, sd: float, difference: float, *, margin: float | None
) -> int | None:
    """Return the smallest number of seeds whose power suffices, None up to ``MOST``.

    Args:
        evidence: of the number; its basis is that of the test.
        sd: of one run.
        difference: between the true mean and the published number, at least 0.
        margin: of the test of equivalence; None for the test of difference.
    """
    from scipy.special import stdtrit  # slow to import

    def reached(n: int) -> bool:
        if evidence.basis == "draw":
            # The published draw is what it is: is the test significant with the same mean and sd?
            error = sd * math.sqrt(draw(evidence, "draw") + 1 / n)
            if margin is None:
                return difference > float(stdtrit(n - 1, 1 - LEVEL / 2)) * error
            return difference + float(stdtrit(n - 1, 1 - LEVEL)) * error < margin
        if margin is None:
            return power.power_t(n, sd, difference) >= POWER
        return power.power_tost(n, sd, difference, margin) >= POWER

    counts = range(2, MOST + 1)
    if not reached(MOST):
        return None
    # The first count that is reached: False sorts before True.
    return counts[bisect.bisect_left(counts, 1, key=lambda n: int(reached(n)))]
