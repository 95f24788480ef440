"""Near-twins: images of a data set that show almost the same, found by hash and correlation.

Each image is reduced to a sketch when it is decoded, from its original pixels, so that the answer
does not depend on the size of the store. A difference hash finds candidates; the correlation of
small grey versions confirms them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

HASH_SIDE = 16
"""A difference hash has this many rows and columns of bits: 256 in all."""

HASH_BYTES = HASH_SIDE**2 // 8

GREY_SIDE = 32
"""Side in pixels of the grey version whose correlation is taken."""

SKETCH = HASH_BYTES + GREY_SIDE**2
"""Bytes of a sketch: the hash, then the grey version row by row."""

ROWS, COLUMNS = 64, 4096
"""Pairs whose hashes are compared at once: as many as fit a processor's cache."""

CHUNK = 4096
"""Pairs whose correlation is computed at once, 16 KiB each."""

LINKS = 2**20
"""Links that are collected before components are joined."""


@dataclass(frozen=True, kw_only=True)
class TwinRule:
    """A bound: two images are near-twins where their sketches differ by no more.

    Attributes:
        distance: largest number of bits in which their hashes differ, of 256.
        correlation: Pearson's correlation of their grey versions is above it.
    """

    distance: int
    correlation: float


@dataclass(frozen=True, kw_only=True)
class TwinRules:
    """The rules of a data store, part of its fingerprint since its clean split depends on them.

    The looser rule leaves a margin: sketches that are made in another way, say from the stored
    images, find no twin in two parts either (docs/data.md, "Splits").

    Attributes:
        check: by which near-twins are counted.
        join: by which the clean split keeps images together; looser.
    """

    check: TwinRule = TwinRule(distance=8, correlation=0.995)
    join: TwinRule = TwinRule(distance=16, correlation=0.98)


RULES = TwinRules()
"""The rules of new stores."""


@dataclass(frozen=True)
class Pairs:
    """Some pairs of rows, with how much they differ.

    Attributes:
        first: (m,) rows.
        second: (m,) rows, each above that of ``first``.
        distance: (m,) differing bits of the hashes.
        correlation: (m,) of the grey versions.
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    correlation: np.ndarray

    def within(self, rule: TwinRule) -> np.ndarray:
        """Return which pairs are near-twins under a rule, (m,) bool."""
        close: np.ndarray = self.distance <= rule.distance
        return close & (self.correlation > rule.correlation)

    def take(self, chosen: np.ndarray) -> Pairs:
        """Return some of the pairs."""
        values = (self.first, self.second, self.distance, self.correlation)
        return Pairs(*(value[chosen] for value in values))


def sketch(image: Image.Image) -> np.ndarray:
    """Return an image's sketch, (``SKETCH``,) uint8: its difference hash and its grey version.

    The hash is ``imagehash.dhash``: each of 16 x 16 pixels is compared with its left neighbour. The
    grey version is the area average of 32 x 32 fields.
    """
    import imagehash  # and PIL: opening a store needs neither
    from PIL import Image

    grey = image.convert("L")
    bits = imagehash.dhash(grey, hash_size=HASH_SIDE).hash
    small = grey.resize((GREY_SIDE, GREY_SIDE), Image.Resampling.BOX)
    return np.concatenate([np.packbits(bits), np.asarray(small).ravel()])


def search(sketches: np.ndarray, rule: TwinRule) -> Iterator[Pairs]:
    """Yield all pairs of near-twins under a rule, a bounded number at a time.

    Every pair of hashes is compared, so that none is missed: 10 000 images take a second, 70 000
    about half a minute, in memory for some thousand pairs.

    Args:
        sketches: (n, ``SKETCH``) uint8.
        rule: the bound.
    """
    words = np.ascontiguousarray(sketches[:, :HASH_BYTES]).view(np.uint64)
    grey = _Grey(sketches[:, HASH_BYTES:])
    for top in range(0, len(words), ROWS):
        for left in range(top, len(words), COLUMNS):
            distances = _distances(words[top : top + ROWS], words[left : left + COLUMNS])
            close = distances <= rule.distance
            if not close.any():
                continue
            rows, columns = np.nonzero(close)
            later = columns + left > rows + top
            rows, columns = rows[later], columns[later]
            pairs = Pairs(
                first=rows + top,
                second=columns + left,
                distance=distances[rows, columns],
                correlation=grey.correlations(rows + top, columns + left),
            )
            found = pairs.within(rule)
            if found.any():
                yield pairs.take(found)


def _distances(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the differing bits of hashes (a, 4) and (b, 4) uint64, (a, b) uint16."""
    total = np.zeros((len(rows), len(columns)), np.uint16)
    for word in range(rows.shape[1]):
        total += np.bitwise_count(rows[:, word, None] ^ columns[None, :, word])
    return total


class _Grey:
    """Correlations of grey versions, the same on every machine.

    For m pixels it is (m Σab - Σa Σb) / sqrt(variance a · variance b), variance a being
    m Σa² - (Σa)². All sums are whole numbers below 2^53, exact in float64 in any order.
    """

    def __init__(self, grey: np.ndarray) -> None:
        """Set the grey versions, (n, m) uint8."""
        self._grey = grey
        self._sums = np.array([row.sum(dtype=np.int64) for row in grey], np.float64)
        squares = np.array([np.square(row, dtype=np.int64).sum() for row in grey], np.float64)
        self._variances = grey.shape[1] * squares - self._sums**2

    def correlations(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the correlation of each pair of rows, (p,) float64.

        A grey version of one value has none: it counts as 1 with an equal one, as 0 with others.
        """
        products = np.empty(len(first), np.float64)
        for begin in range(0, len(first), CHUNK):
            a, b = (rows[begin : begin + CHUNK] for rows in (first, second))
            products[begin : begin + CHUNK] = np.einsum(
                "pm,pm->p", self._grey[a], self._grey[b], dtype=np.float64
            )
        covariance = self._grey.shape[1] * products - self._sums[first] * self._sums[second]
        scale = np.sqrt(self._variances[first] * self._variances[second])
        flat = scale == 0
        equal = (self._variances[first] == self._variances[second]) & (
            self._sums[first] == self._sums[second]
        )
        result: np.ndarray = np.where(flat, equal, covariance / np.where(flat, 1, scale))
        return result


def components(count: int, links: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return which rows are connected: (count,) numbers, equal for rows of one component.

    Args:
        count: number of rows.
        links: some arrays of first and second rows at a time.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    labels = np.arange(count)
    pending: list[tuple[np.ndarray, np.ndarray]] = []

    def join() -> np.ndarray:
        first, second = (np.concatenate(rows) for rows in zip(*pending, strict=True))
        graph = coo_array(
            (np.ones(len(first), bool), (labels[first], labels[second])), shape=(count, count)
        )
        joined: np.ndarray = connected_components(graph, directed=False)[1][labels]
        return joined

    waiting = 0
    for link in links:
        pending.append(link)
        waiting += len(link[0])
        if waiting > LINKS:
            labels, waiting = join(), 0
            pending.clear()
    return join() if pending else labels


def chain(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return links that connect all rows of one key: each with the next of its key.

    Args:
        keys: (n,) anything that can be sorted.
    """
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    return order[:-1][same], order[1:][same]
