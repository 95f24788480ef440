"""Splits of a data set: the paper's sizes, and a clean one that divides no group.

Both depend on names and labels alone, never on the order of files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness import seed
from harness.errors import UserError
from harness.spec.dataset import Listing

CLEAN = {"train": 0.7, "val": 0.1, "test": 0.2}
"""Shares of the clean split."""

Parts = dict[str, list[int]]


def paper_split(name: str, items: Listing, sizes: Mapping[str, int]) -> Parts:
    """Return the rows of "train" and "eval": the archive's own parts, or a stratified draw.

    The paper divides at random and publishes no lists; the draw is seeded by the data set's name
    and keeps each class's share (largest remainder).

    Raises:
        UserError: the archive's parts do not have the paper's sizes.
    """
    if all(item.part is not None for item in items):
        parts = {p: [i for i, item in enumerate(items) if item.part == p] for p in sizes}
    else:
        labels = [item.label for item in items]
        drawn = set(stratified([item.name for item in items], labels, sizes["eval"], name))
        parts = {
            "train": [i for i in range(len(items)) if i not in drawn],
            "eval": sorted(drawn),
        }
    found = {part: len(rows) for part, rows in parts.items()}
    if found != dict(sizes):
        raise UserError(f"Data set {name!r} divides into {found}, the paper into {dict(sizes)}.")
    return parts


def stratified(names: Sequence[str], labels: Sequence[int], count: int, salt: str) -> list[int]:
    """Draw ``count`` rows with each class's share, exactly, independent of the rows' order."""
    classes, totals = np.unique(np.asarray(labels), return_counts=True)
    shares = totals * (count / len(labels))
    quota = np.floor(shares).astype(int)
    for position in np.argsort(quota - shares, kind="stable")[: count - int(quota.sum())]:
        quota[position] += 1
    drawn: list[int] = []
    for label, take in zip(classes, quota, strict=True):
        rows = [i for i in range(len(labels)) if labels[i] == label]
        drawn += _shuffled(rows, names, salt, int(label))[:take]
    return sorted(drawn)


def _shuffled(rows: list[int], names: Sequence[str], salt: str, label: int) -> list[int]:
    ordered = sorted(rows, key=lambda i: names[i])
    random = np.random.default_rng(seed.derive("split", salt, label))
    return [ordered[i] for i in random.permutation(len(ordered))]


def clean_split(name: str, items: Listing, pixels: Sequence[str]) -> Parts:
    """Return the rows of "train", "val" and "test"; no group lies in two of them.

    Images belong together if they share a group (lesion, patient) or their pixels are equal.
    Within each class whole groups are dealt out until a part is full.

    Args:
        name: the data set.
        items: its images.
        pixels: a hash of each image's decoded pixels.
    """
    together = _components(items, pixels)
    by_label: dict[int, list[list[int]]] = {}
    for rows in together:
        first = min(rows, key=lambda i: items[i].name)
        by_label.setdefault(items[first].label, []).append(rows)
    parts: Parts = {part: [] for part in CLEAN}
    for label, groups in sorted(by_label.items()):
        names = [min(items[i].name for i in rows) for rows in groups]
        order = _shuffled(list(range(len(groups))), names, f"{name}/clean", label)
        total = sum(len(rows) for rows in groups)
        room = {part: round(total * CLEAN[part]) for part in ("test", "val")}
        for position in order:
            rows = groups[position]
            part = next((p for p in room if len(rows) <= room[p]), "train")
            if part != "train":
                room[part] -= len(rows)
            parts[part] += rows
    return {part: sorted(rows) for part, rows in parts.items()}


def _components(items: Listing, pixels: Sequence[str]) -> list[list[int]]:
    parent = list(range(len(items)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    seen: dict[tuple[str, str], int] = {}
    for i, item in enumerate(items):
        for key in (("pixels", pixels[i]), ("group", item.group or f"alone {i}")):
            parent[find(i)] = find(seen.setdefault(key, i))
    groups: dict[int, list[int]] = {}
    for i in range(len(items)):
        groups.setdefault(find(i), []).append(i)
    return list(groups.values())
