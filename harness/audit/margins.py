"""Margins of a column's best number over the second, in images, and what could separate them.

Two counts of right answers do not say on which images two models differ. Of all pairings that the
counts allow, the one in which the worse model gets nothing right that the better one gets wrong has
the smallest p value of McNemar's test. If that one is not significant, no pairing is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from harness.audit.published import Number
from harness.stats.paired import mcnemar
from harness.verdict.grim import grim

ALPHA = 0.05
"""Level below which a p value counts as significant."""


@dataclass(frozen=True, kw_only=True)
class Margin:
    """The best and the second number of a column.

    Attributes:
        best: the best number.
        second: the next of another row.
        n: number of images.
        best_counts: counts that the best number can stand for, see ``counts``.
        second_counts: likewise of the second.
        points: difference of the printed numbers.
        smallest, largest: the margin in images, over the counts.
        p_best: McNemar's exact p value in the pairing that favours a difference most.
        p_worst: likewise in the pairing that favours it least.
        p_unpaired: Fisher's exact p value, as if the models had been tested on different images.
        most_lost: the largest number of images that the second model alone may get right for p to
            be below ``ALPHA``; None if no pairing reaches it.
        errors: the margin over the standard error of the difference between two independent
            shares (the sampling of images alone; the noise of seeds comes on top).
    """

    best: Number
    second: Number
    n: int
    best_counts: tuple[int, ...]
    second_counts: tuple[int, ...]
    points: float
    smallest: int
    largest: int
    p_best: float
    p_worst: float
    p_unpaired: float
    most_lost: int | None
    errors: float


def counts(number: Number) -> tuple[int, ...]:
    """Return the counts that a number can stand for; of an unattainable one the nearest two."""
    assert number.n is not None, "a cost is no share of images"
    fitting = grim(number.printed, number.n).counts
    if fitting:
        return fitting
    exact = number.printed.exact * number.n / 100
    return (math.floor(exact), math.ceil(exact))


def margin(numbers: Sequence[Number]) -> Margin:
    """Return the margin of the best of a column's accuracies.

    Args:
        numbers: the accuracies of one column, of at least two rows.

    Raises:
        ValueError: there are fewer than two.
    """
    if len(numbers) < 2:
        raise ValueError("A margin needs two numbers of a column.")
    best, second = sorted(numbers, key=lambda n: -n.printed.exact)[:2]
    n = best.n or 0
    best_counts, second_counts = counts(best), counts(second)
    pairs = list(product(best_counts, second_counts))
    widest = max(pairs, key=lambda pair: pair[0] - pair[1])
    return Margin(
        best=best,
        second=second,
        n=n,
        best_counts=best_counts,
        second_counts=second_counts,
        points=float(best.printed.exact - second.printed.exact),
        smallest=min(a - b for a, b in pairs),
        largest=widest[0] - widest[1],
        p_best=min(paired_range(a, b, n)[0] for a, b in pairs),
        p_worst=max(paired_range(a, b, n)[1] for a, b in pairs),
        p_unpaired=min(fisher(a, b, n) for a, b in pairs),
        most_lost=most_lost(*widest, n),
        errors=_errors(*widest, n),
    )


def paired_range(a: int, b: int, n: int) -> tuple[float, float]:
    """Return the smallest and largest p of McNemar's test over all pairings of two counts.

    With a >= b right answers of n, the second model alone is right on c images and the first alone
    on c + a - b, for c from 0 to min(b, n - a). More discordant images make p larger.
    """
    a, b = max(a, b), min(a, b)
    return mcnemar(a - b, 0), mcnemar(a - b + min(b, n - a), min(b, n - a))


def most_lost(a: int, b: int, n: int) -> int | None:
    """Return the largest c for which p is below ``ALPHA``, see ``paired_range``; None for none."""
    significant = None
    for c in range(min(b, n - a) + 1):
        if mcnemar(a - b + c, c) >= ALPHA:
            break
        significant = c
    return significant


def fisher(a: int, b: int, n: int) -> float:
    """Return Fisher's exact two-sided p of a and b right answers on two samples of n images."""
    from scipy.stats import fisher_exact

    return float(fisher_exact([[a, n - a], [b, n - b]]).pvalue)


def _errors(a: int, b: int, n: int) -> float:
    variance = sum(k / n * (1 - k / n) / n for k in (a, b))
    return (a - b) / n / math.sqrt(variance) if variance else math.inf
