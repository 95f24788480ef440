"""Warm up until stable, then time several passes in turn: A, B, A, B, ..."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

Timer = Callable[[Callable[[], object]], float]
"""Runs a function once and returns its seconds, waiting for the device to finish."""

BLOCK = 5
"""Passes whose median is compared with that of the block before, in warming up."""

STABLE = 0.02
"""Largest share by which the medians of two blocks in a row may differ."""

MOST_BLOCKS = 12


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """How a pass was warmed up: passes run, and whether the last two blocks agreed."""

    passes: int
    stable: bool


def timer(device: torch.device) -> Timer:
    """Return the device's timer: events on CUDA, the performance counter on the CPU."""
    return _events if device.type == "cuda" else counter()


def counter(clock: Callable[[], float] = time.perf_counter) -> Timer:
    """Return a timer that reads a clock before and after."""

    def once(function: Callable[[], object]) -> float:
        begin = clock()
        function()
        return clock() - begin

    return once


def _events(function: Callable[[], object]) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    function()
    end.record()
    torch.cuda.synchronize()
    return float(begin.elapsed_time(end)) / 1000


def warm_up(function: Callable[[], object], timed: Timer) -> WarmUp:
    """Run blocks of passes until two in a row take as long, or for ``MOST_BLOCKS``."""
    before: float | None = None
    for block in range(1, MOST_BLOCKS + 1):
        median = statistics.median(timed(function) for _ in range(BLOCK))
        if before is not None and abs(median - before) <= STABLE * before:
            return WarmUp(passes=block * BLOCK, stable=True)
        before = median
    return WarmUp(passes=MOST_BLOCKS * BLOCK, stable=False)


def interleave(
    functions: Sequence[Callable[[], object]], rounds: int, timed: Timer
) -> list[list[float]]:
    """Time every function once a round, in order; return the seconds of each by round."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, taken in zip(functions, times, strict=True):
            taken.append(timed(function))
    return times
