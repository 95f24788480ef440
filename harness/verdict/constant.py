"""The constant answer: how many evaluated images have the most frequent class.

The paper publishes no lists of its parts, so that the number is known for an official split alone.
Of others it is what a split gives that keeps each class's share, or the range of a random one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.data import registry
from harness.data.sets import btmd
from harness.spec.dataset import Dataset

LEVEL = 0.95
"""Share of random splits whose count lies in the range."""

OFFICIAL = {"btmd": max(btmd.VERSIONS[1]["eval"])}
"""Counts of the most frequent class in official evaluation parts."""


@dataclass(frozen=True, kw_only=True)
class Constant:
    """Images that the constant answer gets right, of the evaluation part of a data set.

    Attributes:
        dataset: name of the data set.
        answer: the most frequent class.
        n: number of evaluated images.
        of_class: images of that class in the whole data set.
        whole: images of the whole data set.
        counts: the count of an official split, else the whole numbers next to the class's share.
        official: whether the count is that of an official split.
        low: lower end of the central 95 % of random splits (``counts`` of an official one).
        high: upper end of it.
    """

    dataset: str
    answer: str
    n: int
    of_class: int
    whole: int
    counts: tuple[int, ...]
    official: bool
    low: int
    high: int

    @property
    def expected(self) -> float:
        """Expected count of a random split."""
        return self.n * self.of_class / self.whole

    def equals(self, counts: tuple[int, ...]) -> bool:
        """Whether a number that stands for one of some counts equals the constant answer."""
        return bool(set(counts) & set(self.counts))

    def may_equal(self, counts: tuple[int, ...]) -> bool:
        """Whether one of some counts is what a random split could give the constant answer."""
        return any(self.low <= count <= self.high for count in counts)


def constant(dataset: Dataset) -> Constant | None:
    """Return the constant answer of the paper's evaluation part; None without such a part."""
    n, whole = dataset.sizes.get("eval"), sum(dataset.counts)
    if n is None:
        return None
    of_class = max(dataset.counts)
    official = OFFICIAL.get(dataset.name)
    counts: tuple[int, ...]
    if official is not None:
        counts, low, high = (official,), official, official
    else:
        share = n * of_class / whole
        counts = tuple(sorted({math.floor(share), math.ceil(share)}))
        low, high = _random_range(n, of_class, whole)
    return Constant(
        dataset=dataset.name,
        answer=dataset.classes[dataset.counts.index(of_class)],
        n=n,
        of_class=of_class,
        whole=whole,
        counts=counts,
        official=official is not None,
        low=low,
        high=high,
    )


def constants(names: tuple[str, ...]) -> dict[str, Constant]:
    """Return the constant answers of data sets by name, where there are any."""
    found = {name: constant(registry.find(name)) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _random_range(n: int, of_class: int, whole: int) -> tuple[int, int]:
    """Return the central range of the images of a class among n drawn without replacement."""
    from scipy.stats import hypergeom

    drawn = hypergeom(whole, of_class, n)
    tail = (1 - LEVEL) / 2
    return int(drawn.ppf(tail)), int(drawn.ppf(1 - tail))
