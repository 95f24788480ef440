"""Paired tests of two models on the same images."""

from __future__ import annotations

import functools
import math

import numpy as np

from harness.stats import resample
from harness.stats.clusters import sums
from harness.stats.intervals import Interval

ROUNDS = 10_000
"""Random rounds of a test; the smallest p value is 1 / (ROUNDS + 1)."""


def mcnemar(b: int, c: int) -> float:
    """Return the exact two-sided p value of McNemar's test.

    It presumes independent images; where several show one lesion or patient, use ``sign_flip``.
    Source: Q. McNemar, Psychometrika 12 (1947) 153-157.

    Args:
        b: images that the first model alone gets right.
        c: images that the second model alone gets right.

    Raises:
        ValueError: a count is negative.
    """
    from scipy.special import bdtr

    if b < 0 or c < 0:
        raise ValueError(f"The counts {b} and {c} are no numbers of images.")
    if b + c == 0:
        return 1.0
    # Of the images on which they differ, either is right with probability 1/2.
    return min(1.0, 2.0 * float(bdtr(min(b, c), b + c, 0.5)))


def sign_flip(
    differences: np.ndarray,
    clusters: np.ndarray | None,
    rng: np.random.Generator,
    *,
    rounds: int = ROUNDS,
) -> float:
    """Return the two-sided p value of "the sign of each cluster's difference is arbitrary".

    Args:
        differences: (n,) first model less second, one per image.
        clusters: (n,) lesion or patient of each image, whose images change sign together; None
            where every image stands alone.
        rng: the generator.
        rounds: random assignments of signs.

    Returns:
        (as extreme rounds + 1) / (rounds + 1), so that the test is never too liberal (B. Phipson
        and G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39).

    Raises:
        ValueError: shapes do not fit, a value is not finite, or there are no images or rounds.
    """
    if rounds < 1:
        raise ValueError(f"{rounds} rounds cannot be drawn; give at least one.")
    totals, _ = sums(np.ravel(differences), clusters)
    observed = abs(float(totals.sum()))
    sizes, numbers = _alike(np.abs(totals))
    if not len(sizes):
        return 1.0
    # Clusters of one size s, n of them: s (2 B - n) with B ~ Binomial(n, 1/2) is the sum of their
    # random signs, so that few draws replace n.
    reached = 0
    block = max(1, resample.BLOCK // len(sizes))
    for begin in range(0, rounds, block):
        signs = np.multiply(_heads(numbers, min(block, rounds - begin), rng), 2.0, dtype=np.float64)
        signs -= numbers
        drawn = np.abs(signs @ sizes)
        # Sums of floats in another order differ in the last places; those are ties.
        reached += int((drawn >= observed - 1e-9 * (sizes @ numbers)).sum())
    return (reached + 1) / (rounds + 1)


INVERTED = 60
"""Most coins whose heads numpy draws by inverting the distribution: those with a mean up to 30."""

CELLS = 2**12
"""Equal parts of 0..1; a uniform number tells its part exactly, since this is a power of two."""

OPEN = 255
"""Stands for a part of 0..1 in which the number of heads changes."""


def _heads(numbers: np.ndarray, rounds: int, rng: np.random.Generator) -> np.ndarray:
    """Return how many of some numbers of coins show heads, (rounds, len(numbers)).

    They are the draws of ``rng.binomial(numbers, 0.5)``, and leave the generator where it does, in
    a fifth of the time: that inverts the distribution from the start for each of them.
    """
    shape = (rounds, len(numbers))
    most = int(numbers.max())
    if most <= INVERTED:
        before = rng.bit_generator.state
        uniform = rng.random(shape)
        cells = (uniform * CELLS).astype(np.intp)
        cells += np.arange(len(numbers)) * CELLS
        table = np.concatenate([_by_cell(number) for number in numbers.tolist()])
        heads = np.take(table, cells)
        # The few draws beside a step of their distribution are compared with all of its steps.
        at, column = np.nonzero(heads == OPEN)
        ends = np.full((len(numbers), most + 1), 2.0)  # above every uniform number
        for row, number in zip(ends, numbers.tolist(), strict=True):
            row[: number + 1] = _ends(number)
        exact = (uniform[at, column, None] > ends[column]).sum(axis=1)
        heads[at, column] = exact
        if (exact <= numbers[column]).all():
            return heads
        rng.bit_generator.state = before  # one was beyond the last end, and is drawn anew
    return rng.binomial(numbers, 0.5, size=shape)


@functools.cache
def _by_cell(number: int) -> np.ndarray:
    """Return the heads of so many coins by the cell of their uniform number, or ``OPEN``; uint8."""
    ends = np.asarray(_ends(number))
    heads = np.searchsorted(ends, np.arange(CELLS) / CELLS)  # how many ends lie below the cell
    heads[(ends * CELLS).astype(np.intp)] = OPEN
    heads[heads > number] = OPEN  # beyond the last end
    return heads.astype(np.uint8)


@functools.cache
def _ends(number: int) -> tuple[float, ...]:
    """Return, for 0 to ``number`` heads, the largest uniform number that gives no more of them."""
    ends = []
    for heads in range(number + 1):
        least, beyond = 0, 2**53  # uniform numbers are multiples of 2^-53 below 1
        while beyond - least > 1:
            middle = (least + beyond) // 2
            fits = _inverted(middle * 2.0**-53, number) <= heads
            least, beyond = (middle, beyond) if fits else (least, middle)
        ends.append(least * 2.0**-53)
    return tuple(ends)


def _inverted(uniform: float, number: int) -> int:
    """Return Binomial(number, 1/2) at a uniform number, rounded as numpy's inversion does it.

    Source: ``random_binomial_inversion`` of numpy's ``distributions.c``.
    """
    heads, share = 0, math.exp(number * math.log(0.5))
    while uniform > share and heads <= number:
        heads += 1
        uniform -= share
        share = ((number - heads + 1) * 0.5 * share) / (heads * 0.5)
    return heads


def _alike(totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different positive numbers, equal up to rounding, and how many of each."""
    values = np.sort(totals)
    values = values[values > 1e-12 * max(1.0, float(values[-1]))] if len(values) else values
    if not len(values):
        return values, np.zeros(0, np.int64)
    starts = np.flatnonzero(np.diff(values, prepend=-1.0) > 1e-9 * values)
    return values[starts], np.diff(np.append(starts, len(values)))


def from_draws(difference: float, draws: np.ndarray, units: int) -> float:
    """Return the two-sided p value of a difference, given its bootstrap.

    The resamples give the standard error, the difference over it is taken for Student's t. Unlike
    the share of resamples beyond zero, this p value has no floor that depends on their number.

    Args:
        difference: as observed.
        draws: (rounds,) the difference in each resample; NaN where it is undefined.
        units: number of clusters or images that were resampled, at least two.

    Raises:
        ValueError: fewer than two draws are defined, or there are fewer than two units.
    """
    from scipy.special import stdtr

    known = np.asarray(draws, np.float64)
    known = known[np.isfinite(known)]
    if len(known) < 2 or units < 2:
        raise ValueError(f"{len(known)} resamples of {units} units give no standard error.")
    # A resample of m units varies by (m - 1) / m of what a new sample does.
    error = float(known.std(ddof=1)) * (units / (units - 1)) ** 0.5
    if error <= 1e-12 * max(1.0, abs(difference)):
        return 1.0 if abs(difference) <= 1e-12 else 0.0
    return float(2.0 * stdtr(units - 1, -abs(difference) / error))


def mean_difference(
    a: np.ndarray,
    b: np.ndarray,
    rng: np.random.Generator,
    *,
    clusters: np.ndarray | None = None,
    rounds: int = ROUNDS,
    level: float = 0.95,
) -> Interval:
    """Return the bootstrap interval of the mean of a - b over the same images.

    Args:
        a: (n,) one number per image.
        b: (n,) likewise, in the same order.
        rng: the generator.
        clusters: (n,) lesion or patient of each image; None where every image stands alone.
        rounds: number of resamples.
        level: coverage, in 0..1.

    Raises:
        ValueError: shapes do not fit, a value is not finite, or there are fewer than two clusters.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"Values of shapes {a.shape} and {b.shape} are no pairs.")
    drawn = resample.bootstrap_means(a - b, rng, rounds, clusters=clusters)
    units = len(sums(a, clusters)[1])
    return resample.percentile(drawn, level=level, size=units)
