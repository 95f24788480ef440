"""How many images of a part have a twin in another part of the same split, or share a group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any, Literal

import numpy as np

from harness.data.twins import Pairs

Kind = Literal["exact", "near", "grouped"]
"""How an image is related to another part, see ``Overlap``."""

KINDS: tuple[Kind, ...] = ("exact", "near", "grouped")


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Images of a part that are related to images of another part of the same split.

    Attributes:
        split: name of the split.
        part: whose images are counted.
        other: the part that is searched, mostly the training part.
        images: number of images of ``part``.
        same: those that belong to both parts; they count in none of the following numbers.
        exact: those with a pixel-identical image in ``other``.
        near: those with a near-twin in ``other``, but no pixel-identical image.
        grouped: those of a group (a lesion, a patient) of which ``other`` has an image.
        groups: number of such groups.
    """

    split: str
    part: str
    other: str
    images: int
    same: int
    exact: int
    near: int
    grouped: int
    groups: int

    @property
    def clear(self) -> bool:
        """Whether no image has a twin or shares a group, or is itself in the other part."""
        return not (self.same or self.exact or self.near or self.grouped)


@dataclass(frozen=True)
class Found:
    """An overlap with the rows that it counts.

    Attributes:
        overlap: the counts.
        rows: rows of the images by kind.
    """

    overlap: Overlap
    rows: Mapping[Kind, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """A part and another of the same split, with the rows of each as (n,) bool."""

    split: str
    part: str
    other: str
    inside: np.ndarray
    within_other: np.ndarray


def find(
    splits: Mapping[Any, Mapping[str, Sequence[int]]],
    pixels: Sequence[str],
    groups: Sequence[str] | None,
    near: Iterable[Pairs],
) -> tuple[Found, ...]:
    """Return the overlaps of every two parts of every split, each part with those before it.

    Args:
        splits: rows by part and split.
        pixels: hash of each image's pixels.
        groups: identifier of each image's group; None without groups.
        near: the pairs of near-twins.
    """
    pairs = list(_pairs(splits, len(pixels)))
    twins = [np.zeros(len(pixels), bool) for _ in pairs]
    for block in near:
        for first, second in ((block.first, block.second), (block.second, block.first)):
            for pair, twin in zip(pairs, twins, strict=True):
                twin[first[pair.within_other[second]]] = True
    identity = _numbers(pixels)
    group = None if groups is None else _numbers(groups)
    return tuple(
        _found(pair, twin, identity, group) for pair, twin in zip(pairs, twins, strict=True)
    )


def _pairs(splits: Mapping[Any, Mapping[str, Sequence[int]]], count: int) -> Iterator[_Pair]:
    for split, parts in splits.items():
        members = {part: np.zeros(count, bool) for part in parts}
        for part, rows in parts.items():
            members[part][np.asarray(rows, np.int64)] = True
        for other, part in combinations(parts, 2):
            yield _Pair(
                split=split,
                part=part,
                other=other,
                inside=members[part],
                within_other=members[other],
            )


def _found(pair: _Pair, twin: np.ndarray, identity: np.ndarray, group: np.ndarray | None) -> Found:
    candidates = pair.inside & ~pair.within_other
    exact = candidates & _shared(identity, pair.within_other)
    near = candidates & twin & ~exact
    grouped = np.zeros_like(exact)
    if group is not None:
        grouped = candidates & _shared(group, pair.within_other)
    rows: dict[Kind, np.ndarray] = {
        "exact": np.flatnonzero(exact),
        "near": np.flatnonzero(near),
        "grouped": np.flatnonzero(grouped),
    }
    overlap = Overlap(
        split=pair.split,
        part=pair.part,
        other=pair.other,
        images=int(pair.inside.sum()),
        same=int((pair.inside & pair.within_other).sum()),
        **{kind: len(found) for kind, found in rows.items()},
        groups=0 if group is None else len(np.unique(group[grouped])),
    )
    return Found(overlap, rows)


def _numbers(keys: Sequence[str]) -> np.ndarray:
    """Return a whole number for each key, equal for equal keys."""
    numbers: np.ndarray = np.unique(np.asarray(keys), return_inverse=True)[1]
    return numbers


def _shared(numbers: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return which rows have the number of a member, (n,) bool."""
    present = np.zeros(int(numbers.max(initial=-1)) + 1, bool)
    present[numbers[members]] = True
    shared: np.ndarray = present[numbers]
    return shared


TITLES = {"train": "training", "eval": "evaluation", "val": "validation", "test": "test"}
"""Parts in words."""


def sentence(overlap: Overlap, group: str | None) -> str:
    """Return an overlap in one clause: "of 1311 evaluation images 216 have ...".

    Args:
        overlap: the counts.
        group: what a group is called, in the singular ("lesion"); None if no groups are known.
    """
    part, other = TITLES[overlap.part], TITLES[overlap.other]
    if overlap.same == overlap.images:
        return f"the {part} images are the {other} images themselves"
    found = []
    if overlap.exact:
        found.append(f"{_have(overlap.exact)} a pixel-identical partner in {other}")
    if overlap.near:
        more = " more" if overlap.exact else ""
        found.append(f"{_have(overlap.near, more)} a near-twin in {other}")
    if overlap.grouped and group is not None:
        found.append(
            f"{overlap.grouped} share{'s' if overlap.grouped == 1 else ''} a {group} with {other}"
            f" ({counted(overlap.groups, group)})"
        )
    if not found:
        shares = "" if group is None else f" or shares a {group} with it"
        return f"no {part} image has a twin in {other}{shares}"
    return f"of {overlap.images} {part} images {', '.join(found)}"


def _have(number: int, more: str = "") -> str:
    return f"{number}{more} {'has' if number == 1 else 'have'}"


def counted(number: int, title: str) -> str:
    """Return a number with a title in the singular or plural: "1 lesion", "2 lesions"."""
    return f"{number} {title}{'' if number == 1 else 's'}"


def differences(stored: Sequence[Overlap], found: Sequence[Overlap]) -> list[str]:
    """Return a text for each count of a manifest that is not what its store holds."""
    wrong = []
    told = {(o.split, o.part, o.other): o for o in stored}
    seen = {(o.split, o.part, o.other): o for o in found}
    for key in sorted({*told, *seen}):
        where = f"{key[0]}, {key[1]} in {key[2]}"
        if key not in told or key not in seen:
            wrong.append(f"{where}: {'not in the manifest' if key in seen else 'no such parts'}")
            continue
        wrong += [
            f"{where}: {f.name} is {getattr(seen[key], f.name)}, the manifest says"
            f" {getattr(told[key], f.name)}"
            for f in fields(Overlap)
            if getattr(seen[key], f.name) != getattr(told[key], f.name)
        ]
    return wrong
