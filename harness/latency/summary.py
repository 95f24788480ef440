"""Quantiles and confidence intervals of times and of their ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.stats import intervals

NOISY_IQR = 0.05
"""Times are noisy if the interquartile range exceeds this share of the median."""

NOISY_PROCESSES = 0.02
"""Times are also noisy if the medians of two processes differ by more than this share."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Quantiles of times in seconds, or of ratios, over all processes.

    Attributes:
        n: number of samples.
        p50: median, interpolated linearly, as are all quantiles.
        p90: 0.9 quantile.
        p99: 0.99 quantile.
        iqr: interquartile range.
        low: lower end of the median's 95 % interval: from the order statistics of all samples,
            widened to Student's interval of the processes' medians and to the medians themselves,
            because samples of one process are not independent. None with fewer than six samples.
        high: upper end, likewise.
        processes: the median of each process.
        noisy: reasons why the times are noisy; empty if they are not.
    """

    n: int
    p50: float
    p90: float
    p99: float
    iqr: float
    low: float | None
    high: float | None
    processes: tuple[float, ...]
    noisy: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "n": self.n,
            "p50": self.p50,
            "p90": self.p90,
            "p99": self.p99,
            "iqr": self.iqr,
            "median_95": None if self.low is None else [self.low, self.high],
            "processes": list(self.processes),
            "noisy": list(self.noisy),
        }


def median_ranks(n: int) -> tuple[int, int] | None:
    """Return the ranks (from 1) of the order statistics that bound the median of n samples.

    The narrowest symmetric pair that contains the median with probability at least 95 % for every
    continuous distribution: P(fewer than ``rank`` of n samples lie below the median) <= 1 / 40,
    with that number binomial (n, 1/2). None for n < 6, where no pair suffices.
    """
    rank, below = 0, 0
    # In whole numbers: sum of C(n, k) for k <= rank, compared with 2^n / 40.
    while 40 * (below + math.comb(n, rank)) <= 2**n:
        below += math.comb(n, rank)
        rank += 1
    return (rank, n + 1 - rank) if rank else None


def summarise(processes: Sequence[Sequence[float]]) -> Summary:
    """Summarise the samples of all processes.

    Args:
        processes: samples by process, at least one each.
    """
    samples = np.sort(np.concatenate([np.asarray(p, dtype=float) for p in processes]))
    medians = tuple(float(np.median(p)) for p in processes)
    p25, p50, p75, p90, p99 = (float(q) for q in np.quantile(samples, (0.25, 0.5, 0.75, 0.9, 0.99)))
    ranks = median_ranks(len(samples))
    low = high = None
    if ranks is not None:
        # Student's interval of few, differing medians can reach below 0; times and ratios cannot.
        between = intervals.t_interval(medians) if len(medians) > 1 else None
        low = min(float(samples[ranks[0] - 1]), *medians)
        high = max(float(samples[ranks[1] - 1]), *medians)
        low = low if between is None else min(low, max(between.low, 0.0))
        high = high if between is None else max(high, between.high)
    return Summary(
        n=len(samples),
        p50=p50,
        p90=p90,
        p99=p99,
        iqr=p75 - p25,
        low=low,
        high=high,
        processes=medians,
        noisy=_noisy(p75 - p25, p50, medians),
    )


def _noisy(iqr: float, median: float, medians: tuple[float, ...]) -> tuple[str, ...]:
    """Return the reasons why times are noisy."""
    reasons = []
    if iqr > NOISY_IQR * median:
        reasons.append(f"IQR {100 * iqr / median:.1f} % of the median")
    spread = (max(medians) - min(medians)) / median
    if spread > NOISY_PROCESSES:
        reasons.append(f"processes differ by {100 * spread:.1f} %")
    return tuple(reasons)


def ratios(
    subject: Sequence[Sequence[float]], base: Sequence[Sequence[float]]
) -> tuple[tuple[float, ...], ...]:
    """Return the ratios subject / base of samples taken one after the other, by process.

    A disturbance that lasts longer than one pass affects both and cancels.
    """
    return tuple(
        tuple(
            numerator / denominator
            for numerator, denominator in zip(subject_times, base_times, strict=True)
        )
        for subject_times, base_times in zip(subject, base, strict=True)
    )
