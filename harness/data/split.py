"""Splits of a data set: one of the paper's sizes, and a clean one that keeps groups together.

Neither depends on the order of files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness import seed
from harness.errors import UserError
from harness.spec.dataset import Listing

CLEAN = {"train": 0.7, "val": 0.1, "test": 0.2}
"""Shares of the clean split's parts."""

Parts = dict[str, list[int]]
"""Rows by part."""


def paper_split(name: str, items: Listing, sizes: Mapping[str, int]) -> Parts:
    """Return the rows of "train" and "eval": the archive's own parts, or a stratified draw.

    The paper divides at random and publishes no lists. The draw is seeded by the data set's name
    and keeps each class's share by the largest-remainder method.

    Raises:
        UserError: the archive's parts do not have the paper's sizes.
    """
    if all(item.part is not None for item in items):
        parts = {part: [i for i, item in enumerate(items) if item.part == part] for part in sizes}
    else:
        labels = [item.label for item in items]
        drawn = set(stratified([item.name for item in items], labels, sizes["eval"], name))
        parts = {
            "train": [i for i in range(len(items)) if i not in drawn],
            "eval": sorted(drawn),
        }
    counts = {part: len(rows) for part, rows in parts.items()}
    if counts != dict(sizes):
        raise UserError(f"Data set {name!r} divides into {counts}, the paper into {dict(sizes)}.")
    return parts


def stratified(names: Sequence[str], labels: Sequence[int], count: int, salt: str) -> list[int]:
    """Draw exactly ``count`` rows, each class in proportion, independent of the rows' order.

    Args:
        names: of the items; draws depend on them, not on rows.
        labels: of the items.
        count: number of rows to draw.
        salt: part of the seed.
    """
    classes, totals = np.unique(np.asarray(labels), return_counts=True)
    shares = totals * (count / len(labels))
    # Largest remainder: round down, then give the missing rows to the largest fractions.
    quota = np.floor(shares).astype(int)
    for position in np.argsort(quota - shares, kind="stable")[: count - int(quota.sum())]:
        quota[position] += 1
    drawn: list[int] = []
    for label, number in zip(classes, quota, strict=True):
        rows = [i for i in range(len(labels)) if labels[i] == label]
        drawn += _shuffled(rows, names, salt, int(label))[:number]
    return sorted(drawn)


def _shuffled(rows: list[int], names: Sequence[str], salt: str, label: int) -> list[int]:
    """Return rows in a random order that depends on their names, the salt and the label."""
    ordered = sorted(rows, key=lambda i: names[i])
    random = np.random.default_rng(seed.derive("split", salt, label))
    return [ordered[i] for i in random.permutation(len(ordered))]


def clean_split(name: str, items: Listing, pixels: Sequence[str]) -> Parts:
    """Return the rows of "train", "val" and "test", with each group in only one of them.

    Images belong to one group if they share a lesion or patient or their pixels are equal. Within
    each class, whole groups in random order fill "test", then "val"; the rest is "train".

    Args:
        name: of the data set.
        items: its images.
        pixels: hash of each image's decoded pixels.
    """
    # A group's class is that of its first image by name (duplicates can disagree in label).
    components = _components(items, pixels)
    by_label: dict[int, list[list[int]]] = {}
    for rows in components:
        first = min(rows, key=lambda i: items[i].name)
        by_label.setdefault(items[first].label, []).append(rows)
    parts: Parts = {part: [] for part in CLEAN}
    for label, groups in sorted(by_label.items()):
        names = [min(items[i].name for i in rows) for rows in groups]
        order = _shuffled(list(range(len(groups))), names, f"{name}/clean", label)
        total = sum(len(rows) for rows in groups)
        free = {part: round(total * CLEAN[part]) for part in ("test", "val")}
        for position in order:
            rows = groups[position]
            part = next((candidate for candidate in free if len(rows) <= free[candidate]), "train")
            if part != "train":
                free[part] -= len(rows)
            parts[part] += rows
    return {part: sorted(rows) for part, rows in parts.items()}


def _components(items: Listing, pixels: Sequence[str]) -> list[list[int]]:
    """Return the connected components of rows that share a group or pixels (union-find)."""
    parent = list(range(len(items)))

    def root(i: int) -> int:
        # Path halving: each visited row is linked to its grandparent.
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first_rows: dict[tuple[str, str], int] = {}
    for i, item in enumerate(items):
        for key in (("pixels", pixels[i]), ("group", item.group or f"alone {i}")):
            parent[root(i)] = root(first_rows.setdefault(key, i))
    groups: dict[int, list[int]] = {}
    for i in range(len(items)):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())
