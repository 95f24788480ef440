"""Odd images of a data store: flat, small or long ones, and masks that do not fit their class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.data.prepared import Store
from harness.data.twins import HASH_BYTES
from harness.spec.dataset import Dataset

SMALL = 0.5
"""Share of the median side below which an image is small."""

LONG = 2.5
"""Ratio of the sides above which an image is long."""

COVERED = 0.75
"""Share of an image above which its mask is odd."""

BLOCK = 128
"""Masks that are read at once."""


@dataclass(frozen=True, kw_only=True)
class Odd:
    """Images that share an oddity.

    Attributes:
        what: the oddity.
        names: names of the images.
    """

    what: str
    names: tuple[str, ...]


def find(store: Store, dataset: Dataset) -> tuple[Odd, ...]:
    """Return the odd images of a store by oddity; the reader's remarks are not repeated."""
    names = store.everything().names
    return tuple(
        Odd(what=what, names=tuple(names[row] for row in np.flatnonzero(rows)))
        for what, rows in (*_shapes(store), *_masks(store, dataset))
        if rows.any()
    )


def _shapes(store: Store) -> Iterator[tuple[str, np.ndarray]]:
    images = store.everything()
    short, long = images.sizes.min(1), images.sizes.max(1)
    grey = store.sketches()[:, HASH_BYTES:]
    yield "all of one grey value", grey.min(1) == grey.max(1)
    limit = SMALL * float(np.median(short))
    yield f"the short side below half the median ({limit:.0f} px)", short < limit
    yield f"one side more than {LONG:g} times the other", long > LONG * short
    _, first, counts = np.unique(np.asarray(store.pixels), return_inverse=True, return_counts=True)
    yield "pixels identical with another image's", counts[first] > 1


def _masks(store: Store, dataset: Dataset) -> Iterator[tuple[str, np.ndarray]]:
    """Yield masks that are empty or full against the rest of their class."""
    images = store.everything()
    if images.masks is None:
        return
    shares = np.empty(len(images))
    filled = images.extents().prod(1)
    for begin in range(0, len(images), BLOCK):
        rows = np.arange(begin, min(begin + BLOCK, len(images)))
        shares[rows] = images.masks[rows].reshape(len(rows), -1).sum(1) / filled[rows]
    for label, name in enumerate(dataset.classes):
        members = images.labels == label
        if not members.any():
            continue
        # A class without lesions has empty masks throughout; in others an empty one is odd.
        empty = members & (shares == 0)
        if empty.sum() < members.sum() / 2:
            yield f"an empty mask, in the class {name}", empty
        else:
            yield f"a mask, in the class {name} of empty ones", members & ~empty
    yield f"a mask over more than {COVERED:.0%} of the image", shares > COVERED
