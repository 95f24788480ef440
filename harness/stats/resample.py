"""Bootstrap of means over images, over clusters of images, and over seeds and clusters at once.

Every draw comes from the generator that is given: equal generators give equal bits. Images are
resampled jointly for all leading axes of ``values``, so that differences are paired.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from harness.stats.clusters import numbered, sums
from harness.stats.intervals import Interval, quantile

BLOCK = 1 << 22
"""Drawn numbers that are in memory at a time."""


def counts(units: int, rng: np.random.Generator, rounds: int) -> Iterator[np.ndarray]:
    """Yield how often each unit is drawn, as blocks of (rounds of the block, units) float64.

    Args:
        units: number of units; as many are drawn with replacement in each round.
        rng: the generator.
        rounds: number of resamples in all.

    Raises:
        ValueError: there are no units or no rounds.
    """
    if units < 1 or rounds < 1:
        raise ValueError(f"{rounds} resamples of {units} units cannot be drawn; give one of each.")
    size = max(1, BLOCK // units)
    for begin in range(0, rounds, size):
        number = min(size, rounds - begin)
        drawn = rng.integers(units, size=(number, units), dtype=np.int32).astype(np.int64)
        # Number the cells (round, unit) row by row, so that one bincount fills the block.
        drawn += units * np.arange(number)[:, None]
        block = np.bincount(drawn.reshape(-1), minlength=number * units)
        yield block.reshape(number, units).astype(np.float64)


def bootstrap_means(
    values: np.ndarray,
    rng: np.random.Generator,
    rounds: int,
    *,
    clusters: np.ndarray | None = None,
) -> np.ndarray:
    """Return the means of resampled images.

    Args:
        values: (..., n), for instance one row per model and one column per image.
        rng: the generator.
        rounds: number of resamples.
        clusters: (n,) lesion or patient of each image; whole clusters are drawn. None where every
            image stands alone.

    Returns:
        (rounds, ...) means over the images that were drawn.

    Raises:
        ValueError: shapes do not fit, a value is not finite, or there are no images or rounds.
    """
    totals, sizes = sums(values, clusters)
    flat = totals.reshape(-1, len(sizes))
    # Clusters differ in size, so the number of images drawn varies: a ratio of sums.
    blocks = [(w @ flat.T) / (w @ sizes)[:, None] for w in counts(len(sizes), rng, rounds)]
    return np.concatenate(blocks).reshape(rounds, *totals.shape[:-1])


def rows(
    n: int, rng: np.random.Generator, rounds: int, *, clusters: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Yield the positions of resampled images, for statistics that are no means.

    Args:
        n: number of images.
        rng: the generator.
        rounds: number of resamples.
        clusters: (n,), see ``bootstrap_means``; whole clusters are drawn, so that the number of
            positions varies.

    Raises:
        ValueError: the clusters are not n.
    """
    numbers = numbered(clusters, n)
    order = np.argsort(numbers, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(numbers))[:-1])
    for _ in range(rounds):
        drawn = rng.integers(len(members), size=len(members))
        yield drawn if clusters is None else np.concatenate([members[unit] for unit in drawn])


def two_way_means(
    values: np.ndarray,
    rng: np.random.Generator,
    rounds: int,
    *,
    clusters: np.ndarray | None = None,
) -> np.ndarray:
    """Return the means over resampled seeds and, independently of them, resampled images.

    The spread is that of new seeds and new images together, slightly too large (A. B. Owen, Ann.
    Appl. Stat. 1 (2007) 386-411). With fewer than about ten seeds there are too few different
    resamples for an interval; use ``intervals.t_interval`` over seeds there.

    Args:
        values: (seeds, n).
        rng: the generator.
        rounds: number of resamples.
        clusters: (n,), see ``bootstrap_means``.

    Returns:
        (rounds,) means.

    Raises:
        ValueError: shapes do not fit, a value is not finite, or there are no values or rounds.
    """
    totals, sizes = sums(values, clusters)
    if totals.ndim != 2:
        raise ValueError(f"Values of shape {np.shape(values)} are not seeds times images.")
    of_seeds = np.concatenate(list(counts(len(totals), rng, rounds)))  # (rounds, seeds)
    means, begin = [], 0
    for of_images in counts(len(sizes), rng, rounds):
        part = of_seeds[begin : begin + len(of_images)]
        begin += len(of_images)
        drawn = ((of_images @ totals.T) * part).sum(axis=1)
        means.append(drawn / (len(totals) * (of_images @ sizes)))
    return np.concatenate(means)


def percentile(
    draws: np.ndarray, *, level: float = 0.95, size: int | None = None, df: float | None = None
) -> Interval:
    """Return the percentile interval of bootstrapped numbers.

    A resample of few units varies less than a new sample: its variance is (size - 1) / size of it,
    and its tails are normal. With ``size`` the percentiles are taken further out by both factors
    (T. C. Hesterberg, Am. Stat. 69 (2015) 371-386), so that a mean of ten values is covered as
    promised.

    Args:
        draws: (rounds,).
        level: coverage, in 0..1.
        size: number of units in a resample (images, clusters or seeds); None takes the percentiles
            as they are.
        df: degrees of freedom; ``size`` - 1 if None.

    Raises:
        ValueError: the level is outside 0..1, or size is below two.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"The level {level} is not inside 0..1.")
    tail = (1.0 - level) / 2.0
    if size is not None:
        if size < 2:
            raise ValueError(f"An interval needs two units to resample; there are {size}.")
        from scipy.special import ndtr

        wide = math.sqrt(size / (size - 1)) * quantile(size - 1 if df is None else df, level)
        tail = float(ndtr(-wide))
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return Interval(float(low), float(high))


def aucs(scores: np.ndarray, positive: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve in each resample; ties count half.

    The images are sorted once for all resamples, in which an image that is drawn k times counts k
    times. NaN where no positive or no negative image is drawn.

    Args:
        scores: (n,), larger for positive images.
        positive: (n,) bool.
        counts: (rounds, n) how often each image is drawn.
    """
    order = np.argsort(scores, kind="stable")
    ordered = np.asarray(scores)[order]
    drawn = np.asarray(counts, np.float64)[:, order]
    negative = np.where(np.asarray(positive, bool)[order], 0.0, drawn)
    positives = drawn - negative
    # Equal scores are one group: a positive image is above the negative ones before its group,
    # and above half of those in it.
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    positives = np.add.reduceat(positives, starts, axis=1)
    negative = np.add.reduceat(negative, starts, axis=1)
    below = np.cumsum(negative, axis=1) - 0.5 * negative
    pairs = positives.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        areas: np.ndarray = (positives * below).sum(axis=1) / pairs
    return np.where(pairs > 0, areas, np.nan)
