"""Summaries of several tasks: interquartile mean and probability of improvement.

Source: R. Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice,
NeurIPS 2021. Runs are resampled within each task; the tasks are those that are given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.stats.intervals import Interval
from harness.stats.resample import BLOCK, percentile

ROUNDS = 50_000


@dataclass(frozen=True)
class Estimate:
    """A number with its bootstrap interval.

    Attributes:
        value: of the runs that are given.
        interval: over new runs of the same tasks.
    """

    value: float
    interval: Interval


def iqm(
    scores: np.ndarray, rng: np.random.Generator, *, rounds: int = ROUNDS, level: float = 0.95
) -> Estimate:
    """Return the mean of the middle half of all scores.

    Args:
        scores: (runs, tasks), for instance seeds and data sets; at least two runs.
        rng: the generator.
        rounds: number of resamples.
        level: coverage, in 0..1.

    Raises:
        ValueError: scores are not (runs, tasks) with two runs, or one is not finite.
    """
    scores = _checked(scores)
    runs, tasks = scores.shape
    drawn = [_middle(scores[rows, np.arange(tasks)]) for rows in _rows(scores, rng, rounds)]
    interval = percentile(np.concatenate(drawn), level=level, size=runs, df=tasks * (runs - 1))
    return Estimate(float(_middle(scores[None])[0]), interval)


def probability_of_improvement(
    a: np.ndarray,
    b: np.ndarray,
    rng: np.random.Generator,
    *,
    rounds: int = ROUNDS,
    level: float = 0.95,
) -> Estimate:
    """Return the probability that a run of a beats one of b, averaged over tasks.

    Equal scores count half.

    Args:
        a: (runs, tasks) scores of which more is better; at least two runs.
        b: likewise, of the same tasks; the runs may be others and of another number.
        rng: the generator.
        rounds: number of resamples.
        level: coverage, in 0..1.

    Raises:
        ValueError: scores are not (runs, tasks) with two runs, or the tasks differ in number.
    """
    a, b = _checked(a), _checked(b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"The scores are of {a.shape[1]} and of {b.shape[1]} tasks.")
    wins = (np.sign(a[:, None] - b[None]) + 1.0) / 2.0  # (runs of a, runs of b, tasks)
    tasks = np.arange(a.shape[1])
    drawn = [
        wins[rows[:, :, None], others[:, None], tasks].mean(axis=(1, 2, 3))
        for rows, others in _pairs(a, b, rng, rounds)
    ]
    fewer = min(len(a), len(b))
    freedom = len(tasks) * (fewer - 1)
    interval = percentile(np.concatenate(drawn), level=level, size=fewer, df=freedom)
    return Estimate(float(wins.mean()), interval)


def _checked(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or len(scores) < 2 or not scores.shape[1]:
        raise ValueError(f"Scores of shape {scores.shape} are not (runs, tasks) with two runs.")
    if not np.isfinite(scores).all():
        raise ValueError("Some scores are not finite; leave these tasks out and say so.")
    return scores


def _rows(scores: np.ndarray, rng: np.random.Generator, rounds: int) -> Iterator[np.ndarray]:
    """Yield which runs are drawn, (rounds of the block, runs, tasks)."""
    if rounds < 1:
        raise ValueError(f"{rounds} resamples cannot be drawn; give at least one.")
    block = max(1, BLOCK // scores.size)
    for begin in range(0, rounds, block):
        number = min(block, rounds - begin)
        yield rng.integers(len(scores), size=(number, *scores.shape), dtype=np.int32)


def _pairs(
    a: np.ndarray, b: np.ndarray, rng: np.random.Generator, rounds: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield which runs of a and which of b are drawn."""
    if rounds < 1:
        raise ValueError(f"{rounds} resamples cannot be drawn; give at least one.")
    block = max(1, BLOCK // (a.size * len(b)))
    for begin in range(0, rounds, block):
        number = min(block, rounds - begin)
        yield (
            rng.integers(len(a), size=(number, *a.shape), dtype=np.int32),
            rng.integers(len(b), size=(number, *b.shape), dtype=np.int32),
        )


def _middle(scores: np.ndarray) -> np.ndarray:
    """Return the interquartile means, (rounds,), of scores (rounds, runs, tasks).

    A quarter of the scores, rounded down, is left out at either end.
    """
    flat = scores.reshape(len(scores), -1)
    out = flat.shape[1] // 4
    if out:
        flat = np.partition(flat, (out, flat.shape[1] - out - 1), axis=1)
        flat = flat[:, out : flat.shape[1] - out]
    means: np.ndarray = flat.mean(axis=1)
    return means
