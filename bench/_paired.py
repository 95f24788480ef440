"""Time two functions interleaved, so that disturbances of the machine affect both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def ratio(numerator: Callable[[], Any], denominator: Callable[[], Any], *, rounds: int) -> dict:
    """Return the median and quartiles of the ratios of paired times, and both median times.

    Args:
        numerator: function under test.
        denominator: function that it is compared with.
        rounds: number of pairs; the order within a pair alternates.
    """
    pairs = []
    for turn in range(rounds):
        first, second = (numerator, denominator) if turn % 2 == 0 else (denominator, numerator)
        times = [_time(first), _time(second)]
        pairs.append(tuple(times) if turn % 2 == 0 else tuple(reversed(times)))
    ratios = sorted(numerator_time / denominator_time for numerator_time, denominator_time in pairs)
    lower, median, upper = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
    return {
        "ratio": round(median, 4),
        "quartiles": [round(lower, 4), round(upper, 4)],
        "numerator_s": round(statistics.median(numerator_time for numerator_time, _ in pairs), 4),
        "denominator_s": round(
            statistics.median(denominator_time for _, denominator_time in pairs), 4
        ),
        "pairs": rounds,
    }


def _time(function: Callable[[], Any]) -> float:
    """Return the seconds that a function takes."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin
