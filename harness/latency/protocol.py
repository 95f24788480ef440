"""Warm up passes until stable, then time them interleaved: A, B, A, B, ..."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

Timer = Callable[[Callable[[], object]], float]
"""Runs a function once and returns its duration in seconds, including the device's work."""

BLOCK = 5
"""Number of passes in a block of the warm-up; medians of consecutive blocks are compared."""

STABLE = 0.02
"""Largest relative difference of the medians of consecutive blocks that counts as stable."""

MOST_BLOCKS = 12
"""Number of blocks after which the warm-up ends even if it is not stable."""


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """Result of a warm-up.

    Attributes:
        passes: number of passes run.
        stable: whether the medians of the last two blocks agreed.
    """

    passes: int
    stable: bool


def timer(device: torch.device) -> Timer:
    """Return a timer for the device: events on CUDA, the performance counter elsewhere."""
    return _events if device.type == "cuda" else counter()


def counter(clock: Callable[[], float] = time.perf_counter) -> Timer:
    """Return a timer that reads a clock before and after the function."""

    def timed(function: Callable[[], object]) -> float:
        begin = clock()
        function()
        return clock() - begin

    return timed


def _events(function: Callable[[], object]) -> float:
    """Time a function on CUDA by events."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    function()
    end.record()
    torch.cuda.synchronize()
    return float(begin.elapsed_time(end)) / 1000


def warm_up(function: Callable[[], object], timed: Timer) -> WarmUp:
    """Run blocks of passes until two consecutive medians agree, at most ``MOST_BLOCKS`` of them."""
    previous: float | None = None
    for block in range(1, MOST_BLOCKS + 1):
        median = statistics.median(timed(function) for _ in range(BLOCK))
        if previous is not None and abs(median - previous) <= STABLE * previous:
            return WarmUp(passes=block * BLOCK, stable=True)
        previous = median
    return WarmUp(passes=MOST_BLOCKS * BLOCK, stable=False)


def interleave(
    functions: Sequence[Callable[[], object]], rounds: int, timed: Timer
) -> list[list[float]]:
    """Time every function once per round, in order; return seconds by function, then by round."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, seconds in zip(functions, times, strict=True):
            seconds.append(timed(function))
    return times
