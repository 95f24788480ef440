"""Pairs of twins in a data store, and those whose labels contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from harness.data import twins
from harness.data.prepared import Store
from harness.data.twins import Pairs

Kind = Literal["identical", "near", "looser"]
"""Identical pixels; a twin under the rule by which twins are counted; under the looser rule."""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, kw_only=True)
class TwinPair:
    """Two images that show almost the same.

    Attributes:
        first, second: names of the images.
        rows: their rows in the store.
        classes: their classes.
        parts: their parts in the split that is audited; "" outside of it.
        distance: differing bits of their hashes, of 256.
        correlation: of their grey versions.
        identical: whether their pixels are.
        near: whether they are near-twins under the rule by which twins are counted; others are
            under the looser rule, by which the clean split keeps images together.
    """

    first: str
    second: str
    rows: tuple[int, int]
    classes: tuple[str, str]
    parts: tuple[str, str]
    distance: int
    correlation: float
    identical: bool
    near: bool

    @property
    def kind(self) -> Kind:
        """How alike they are: the first of ``KINDS`` that holds."""
        return "identical" if self.identical else "near" if self.near else "looser"

    @property
    def conflicting(self) -> bool:
        """Whether one of the labels, at least, is wrong."""
        return self.classes[0] != self.classes[1]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "kind": self.kind}

    @property
    def across(self) -> bool:
        """Whether they lie in two parts."""
        return self.parts[0] != self.parts[1] and all(self.parts)


@dataclass(frozen=True, kw_only=True)
class Torn:
    """A group of images (a lesion, a patient) with more than one label.

    Attributes:
        group: its identifier.
        names: names of its images.
        classes: their classes, in the same order.
    """

    group: str
    names: tuple[str, ...]
    classes: tuple[str, ...]


def search(store: Store) -> list[Pairs]:
    """Return all pairs of a store under the looser of its rules."""
    return list(twins.search(store.sketches(), store.rules.join))


def describe(
    store: Store, found: Sequence[Pairs], classes: Sequence[str], split: str
) -> tuple[TwinPair, ...]:
    """Return pairs with classes and parts, those closest to each other first."""
    images = store.everything()
    part_of = {row: part for part, rows in store.splits[split].items() for row in rows}
    pairs = []
    for block in found:
        near = block.within(store.rules.check)
        for i, (a, b) in enumerate(zip(block.first.tolist(), block.second.tolist(), strict=True)):
            pairs.append(
                TwinPair(
                    first=images.names[a],
                    second=images.names[b],
                    rows=(a, b),
                    classes=(classes[images.labels[a]], classes[images.labels[b]]),
                    parts=(part_of.get(a, ""), part_of.get(b, "")),
                    distance=int(block.distance[i]),
                    correlation=float(block.correlation[i]),
                    identical=store.pixels[a] == store.pixels[b],
                    near=bool(near[i]),
                )
            )
    return tuple(sorted(pairs, key=lambda p: (p.distance, -p.correlation, p.rows)))


def torn(store: Store, classes: Sequence[str]) -> tuple[Torn, ...]:
    """Return the groups whose images have more than one label."""
    images = store.everything()
    if images.groups is None:
        return ()
    members: dict[str, list[int]] = {}
    for row, group in enumerate(images.groups):
        members.setdefault(group, []).append(row)
    return tuple(
        Torn(
            group=group,
            names=tuple(images.names[row] for row in rows),
            classes=tuple(classes[images.labels[row]] for row in rows),
        )
        for group, rows in members.items()
        if len(np.unique(images.labels[rows])) > 1
    )
