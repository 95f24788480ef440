"""Take times in turns, so that a machine's moods fall on both sides alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def ratio(numerator: Callable[[], Any], denominator: Callable[[], Any], *, rounds: int) -> dict:
    """Return the median of the ratios of neighbouring times, its quartiles and both medians.

    Args:
        numerator: what is judged.
        denominator: what it is judged by.
        rounds: pairs; the order within a pair alternates.
    """
    pairs = []
    for turn in range(rounds):
        first, second = (numerator, denominator) if turn % 2 == 0 else (denominator, numerator)
        times = [_time(first), _time(second)]
        pairs.append(tuple(times) if turn % 2 == 0 else tuple(reversed(times)))
    ratios = sorted(a / b for a, b in pairs)
    low, middle, high = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
    return {
        "ratio": round(middle, 4),
        "quartiles": [round(low, 4), round(high, 4)],
        "numerator_s": round(statistics.median(a for a, _ in pairs), 4),
        "denominator_s": round(statistics.median(b for _, b in pairs), 4),
        "pairs": rounds,
    }


def _time(function: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin
