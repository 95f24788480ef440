"""Splits of a data set: of the paper's sizes, a clean one that keeps groups together, a given one.

None depends on the order of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness import seed
from harness.data import twins
from harness.errors import UserError, listed
from harness.spec.dataset import Dataset, Listing, PartName, Split

CLEAN = {"train": 0.7, "val": 0.1, "test": 0.2}
"""Shares of the clean split's parts."""

TOLERANCE = 0.02
"""Shares of the clean split's parts that differ by more than this from the nominal are told."""

Parts = dict[str, list[int]]
"""Rows by part."""

GIVEN: tuple[PartName, ...] = ("train", "val", "test")
"""Parts of a given split."""


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What the clean split keeps together: connected images of which there are two or more.

    Attributes:
        components: number of these sets of connected images.
        images: number of images in them.
        largest: number of images in the largest.
    """

    components: int
    images: int
    largest: int


NOTHING_JOINED = Joined(components=0, images=0, largest=0)


@dataclass(frozen=True, kw_only=True)
class Divided:
    """The splits of a data set.

    Attributes:
        splits: rows by part and split.
        joined: what the clean split keeps together.
        default: the split that is used where none is asked for.
    """

    splits: dict[Split, Parts]
    joined: Joined
    default: Split


def divide(
    dataset: Dataset,
    items: Listing,
    connected: np.ndarray,
    given: Mapping[str, PartName | None] | None = None,
) -> Divided:
    """Return all splits that a data set has.

    "paper" exists where the data set has the paper's sizes, "given" where a file or the archive's
    own folders say more than these, "clean" where there are three or more components.

    Args:
        dataset: the data set.
        items: its images.
        connected: (n,) number of each image's component, see ``connect``.
        given: part by name, of a user's file; None for an image that is in no part.

    Raises:
        UserError: parts do not have the paper's sizes or are empty, or there is no split at all.
    """
    splits: dict[Split, Parts] = {}
    if dataset.sizes.get("eval") and not any(item.part in ("val", "test") for item in items):
        splits["paper"] = paper_split(dataset.name, items, dataset.sizes)
    if (clean := clean_split(dataset.name, items, connected)) is not None:
        splits["clean"] = clean
    if given is not None:
        splits["given"] = given_split(dataset, items, given)
    elif "paper" not in splits and any(item.part is not None for item in items):
        _refuse_without_part(dataset, items)
        splits["given"] = given_split(dataset, items, {item.name: item.part for item in items})
    if not splits:
        raise UserError(
            f"{dataset.title}: {len(items)} images of fewer than three groups cannot be divided;"
            " name the part of each with --split-file CSV (columns name and part)."
        )
    return Divided(
        splits=splits,
        joined=joined(connected),
        default="given" if given is not None else _default(dataset, items, splits),
    )


def _refuse_without_part(dataset: Dataset, items: Listing) -> None:
    without = [item.name for item in items if item.part is None]
    if without:
        raise UserError(
            f"{dataset.title}: {len(without)} images have no part, while others have:"
            f" {listed(without)}. Give each a part, or leave out the parts of all."
        )


def _default(dataset: Dataset, items: Listing, splits: Mapping[Split, Parts]) -> Split:
    """Return the default split of a data set without a user's file."""
    if dataset.split in splits:
        return dataset.split
    # A group in two parts flatters, so a split that may divide groups has to be asked for.
    grouped = any(item.group is not None for item in items)
    preferred: tuple[Split, ...] = ("clean", "given") if grouped else ("given", "clean")
    return next(split for split in (*preferred, "paper") if split in splits)


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


def given_split(dataset: Dataset, items: Listing, parts: Mapping[str, PartName | None]) -> Parts:
    """Return the rows of "train", "val" and "test" of a user's split.

    "eval" is another name of "test". Without "val" the best epoch is selected on "test".

    Args:
        dataset: the data set.
        items: its images.
        parts: part of each image by name; None for one that is in no part.

    Raises:
        UserError: a part is empty.
    """
    rows: Parts = {part: [] for part in GIVEN}
    for row, item in enumerate(items):
        part = parts[item.name]
        if part is not None:
            rows["test" if part == "eval" else part].append(row)
    empty = [part for part in ("train", "test") if not rows[part]]
    if empty:
        counts = ", ".join(f"{part} {len(found)}" for part, found in rows.items())
        raise UserError(
            f"{dataset.title}: the given split has no image in {' and '.join(empty)} ({counts});"
            " every split needs images to train on and images to report."
        )
    if not rows["val"]:
        rows["val"] = list(rows["test"])
    return rows


def connect(items: Listing, pixels: Sequence[str], near: Iterable[twins.Pairs] = ()) -> np.ndarray:
    """Return which images belong together: (n,) numbers, equal within a connected component.

    Two images are connected if they share a lesion or patient, if their pixels are equal, or if
    they are near-twins.

    Args:
        items: the images.
        pixels: hash of each image's decoded pixels.
        near: pairs of near-twins.
    """
    groups = [item.group for item in items]
    grouped = np.array([i for i, group in enumerate(groups) if group is not None], np.int64)
    first, second = twins.chain(np.array([group for group in groups if group is not None]))
    links = [twins.chain(np.array(pixels)), (grouped[first], grouped[second])]
    found = ((pairs.first, pairs.second) for pairs in near)
    return twins.components(len(items), (link for some in (links, found) for link in some))


def joined(connected: np.ndarray) -> Joined:
    """Return how many images are kept together, from the number of each image's component."""
    sizes = np.unique(connected, return_counts=True)[1]
    several = sizes[sizes > 1]
    return Joined(
        components=len(several), images=int(several.sum()), largest=int(sizes.max(initial=0))
    )


def clean_split(name: str, items: Listing, connected: np.ndarray) -> Parts | None:
    """Return the rows of "train", "val" and "test", with each component in only one of them.

    Within each class, whole components in random order go to "test" where they fit into its share,
    else to "val", else to "train"; so one that is larger than what is left of a share is trained
    on. A part without any image of a class then gets the smallest component of that class from
    the part that has most of them, where that keeps another.

    Args:
        name: of the data set.
        items: its images.
        connected: (n,) number of each image's component, see ``connect``.

    Returns:
        None if there are fewer than three components.
    """
    order = np.argsort(connected, kind="stable")
    ends = np.flatnonzero(np.diff(connected[order])) + 1
    components = [rows.tolist() for rows in np.split(order, ends)]
    if len(components) < len(CLEAN):
        return None
    # A component's class is that of its first image by name (twins can disagree in label).
    by_label: dict[int, list[list[int]]] = {}
    for rows in components:
        first = min(rows, key=lambda i: items[i].name)
        by_label.setdefault(items[first].label, []).append(rows)
    parts: dict[str, list[list[int]]] = {part: [] for part in CLEAN}
    for label, groups in sorted(by_label.items()):
        names = [min(items[i].name for i in rows) for rows in groups]
        shuffled = _shuffled(list(range(len(groups))), names, f"{name}/clean", label)
        filled = _fill([groups[position] for position in shuffled])
        for part in ("test", "val"):
            _top_up(filled, part)
        for part, found in filled.items():
            parts[part] += found
    # Only where no class has enough components: then any class may be without training images.
    for part in ("test", "val"):
        _top_up(parts, part)
    return {part: sorted(row for rows in groups for row in rows) for part, groups in parts.items()}


def _fill(groups: Sequence[list[int]]) -> dict[str, list[list[int]]]:
    """Divide the components of one class by the shares of ``CLEAN``, in the given order."""
    total = sum(len(rows) for rows in groups)
    free = {part: round(total * CLEAN[part]) for part in ("test", "val")}
    filled: dict[str, list[list[int]]] = {part: [] for part in CLEAN}
    for rows in groups:
        part = next((candidate for candidate in free if len(rows) <= free[candidate]), "train")
        if part != "train":
            free[part] -= len(rows)
        filled[part].append(rows)
    return filled


def _top_up(parts: dict[str, list[list[int]]], part: str) -> None:
    """Move the smallest component of the part that has most to an empty one; the last one stays."""
    donor = max(parts, key=lambda other: len(parts[other]))
    if not parts[part] and len(parts[donor]) > 1:
        smallest = min(parts[donor], key=len)
        parts[donor].remove(smallest)
        parts[part].append(smallest)


def balance(parts: Mapping[str, Sequence[int]], labels: np.ndarray, names: Sequence[str]) -> str:
    """Return how the clean split's parts differ from their shares, in words; "" if they do not.

    Args:
        parts: rows by part.
        labels: (n,) of all images.
        names: names of the classes.
    """
    texts = []
    total = sum(len(rows) for rows in parts.values())
    shares = {part: len(rows) / total for part, rows in parts.items()}
    if any(abs(shares[part] - CLEAN[part]) > TOLERANCE for part in CLEAN):
        found = ", ".join(f"{part} {100 * share:.0f} %" for part, share in shares.items())
        wanted = ", ".join(f"{part} {100 * share:.0f} %" for part, share in CLEAN.items())
        texts.append(
            f"{found} instead of {wanted}: images that belong together are not divided, and few"
            " images do not divide evenly"
        )
    for part, rows in parts.items():
        absent = set(range(len(names))) - set(labels[list(rows)].tolist())
        if absent:
            texts.append(f"no {listed([names[label] for label in sorted(absent)])} in {part}")
    return "; ".join(texts)
