"""Audit of a prepared data set: balance, twins, labels, groups, odd and unseen images, runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.audit import odd, rescored, twinned, unseen
from harness.audit.odd import Odd
from harness.audit.rescored import Rescored, Skipped
from harness.audit.twinned import Torn, TwinPair
from harness.audit.unseen import Unseen
from harness.data import overlap
from harness.data.overlap import KINDS, Overlap
from harness.data.prepared import Manifest, Store, check_classes, open_store
from harness.data.twins import HASH_BYTES, HASH_SIDE, Pairs, TwinRules
from harness.report import pairs as gallery
from harness.spec.dataset import PARTS, Dataset
from harness.spec.recipe import Recipe
from harness.store.record import Records

FORMAT = 2
"""Version of the JSON layout."""

MOST_CONFLICTS, MOST_ACROSS = 12, 6
"""Pairs of a gallery at most: of contradicting labels, and of other twins across parts."""

PICTURE = 160
"""Side in pixels of a gallery's pictures."""


@dataclass(frozen=True, kw_only=True)
class Twinned:
    """Images of a part with a twin in another, or of a group that it shares with it.

    Attributes:
        overlap: the counts.
        by_class: by kind ("exact", "near", "grouped") and class.
    """

    overlap: Overlap
    by_class: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, kw_only=True)
class DataAudit:
    """The audit of a prepared data set.

    Attributes:
        dataset: the data set.
        manifest: of its store.
        split: the split whose parts the pairs are placed in.
        balance: images by class in every part of every split.
        overlaps: what the parts of every split share.
        pairs: pairs under the looser rule, closest first.
        torn: groups with more than one label.
        odd: images by oddity.
        unseen: training images that the released code never sees.
        runs: finished runs with and without twins.
        skipped: finished runs that could not be scored again.
    """

    dataset: Dataset
    manifest: Manifest
    split: str
    balance: Mapping[str, Mapping[str, Mapping[str, int]]]
    overlaps: tuple[Twinned, ...]
    pairs: tuple[TwinPair, ...]
    torn: tuple[Torn, ...]
    odd: tuple[Odd, ...]
    unseen: tuple[Unseen, ...]
    runs: tuple[Rescored, ...]
    skipped: tuple[Skipped, ...]

    @property
    def rules(self) -> TwinRules:
        """When two images are twins."""
        return self.manifest.twins

    @property
    def conflicts(self) -> tuple[TwinPair, ...]:
        """Pairs whose labels contradict each other, closest first."""
        return tuple(pair for pair in self.pairs if pair.conflicting)

    @property
    def near(self) -> tuple[TwinPair, ...]:
        """Pairs under the rule by which twins are counted."""
        return tuple(pair for pair in self.pairs if pair.near or pair.identical)

    def of_kind(self, kind: twinned.Kind) -> tuple[TwinPair, ...]:
        """Return the pairs of a kind, closest first."""
        return tuple(pair for pair in self.pairs if pair.kind == kind)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, with all pairs."""
        manifest = self.manifest
        return {
            "format": FORMAT,
            "dataset": self.dataset.name,
            "fingerprint": manifest.fingerprint,
            "stored_size": manifest.size,
            "images": sum(self.dataset.counts),
            "archives": dict(manifest.archives),
            "remarks": list(manifest.remarks),
            "split": self.split,
            "balance": self.balance,
            "rules": dataclasses.asdict(self.rules),
            "pairs_by_kind": {kind: len(self.of_kind(kind)) for kind in twinned.KINDS},
            "pairs": [pair.to_json() for pair in self.pairs],
            "overlaps": [dataclasses.asdict(o) for o in self.overlaps],
            "label_conflicts": [p.to_json() for p in self.conflicts],
            "groups_with_several_labels": [dataclasses.asdict(t) for t in self.torn],
            "odd": [dataclasses.asdict(o) for o in self.odd],
            "never_seen_by_released_code": [dataclasses.asdict(u) for u in self.unseen],
            "runs": [dataclasses.asdict(r) for r in self.runs],
            "runs_not_scored": [dataclasses.asdict(s) for s in self.skipped],
        }


def audit(
    root: Path, dataset: Dataset, records: Records, released: Mapping[str, Recipe]
) -> DataAudit:
    """Audit a prepared data set and the finished runs on it; nothing is trained.

    Args:
        root: folder of the prepared data.
        dataset: the data set.
        records: of the run store.
        released: recipes of the released code's stages, by name.

    Raises:
        UserError: the data set is not prepared.
        Damaged: a file of the store is not as it was prepared.
    """
    store = open_store(root, dataset.name)
    manifest = store.manifest
    check_classes(manifest, dataset)
    split = "paper" if "paper" in store.splits else manifest.split
    found = twinned.search(store)
    # Of the looser rule's pairs, those by which twins are counted.
    near = [block.take(block.within(store.rules.check)) for block in found]
    trained_on = PARTS[split].trained_on
    runs, skipped = rescored.rescore(records, store, near)
    return DataAudit(
        dataset=dataset,
        manifest=manifest,
        split=split,
        balance=_balance(store, dataset.classes),
        overlaps=_overlaps(store, near, dataset.classes),
        pairs=twinned.describe(store, found, dataset.classes, split),
        torn=twinned.torn(store, dataset.classes),
        odd=odd.find(store, dataset),
        unseen=unseen.unseen(store.part(split, trained_on), released, dataset.classes),
        runs=runs,
        skipped=skipped,
    )


def _balance(store: Store, classes: Sequence[str]) -> dict[str, dict[str, dict[str, int]]]:
    labels = store.everything().labels

    def counts(rows: Sequence[int]) -> dict[str, int]:
        found = np.bincount(labels[np.asarray(rows, np.int64)], minlength=len(classes))
        return dict(zip(classes, found.tolist(), strict=True))

    return {
        str(split): {part: counts(rows) for part, rows in parts.items()}
        for split, parts in store.splits.items()
    }


def _overlaps(store: Store, near: Sequence[Pairs], classes: Sequence[str]) -> tuple[Twinned, ...]:
    images = store.everything()
    result = []
    for found in overlap.find(store.splits, store.pixels, images.groups, near):
        by_class: dict[str, dict[str, int]] = {}
        for kind in KINDS:
            counted = np.bincount(images.labels[found.rows[kind]], minlength=len(classes))
            by_class[kind] = dict(zip(classes, counted.tolist(), strict=True))
        result.append(Twinned(overlap=found.overlap, by_class=by_class))
    return tuple(result)


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The pairs that a gallery shows, and of how many.

    Attributes:
        conflicts: pairs whose labels contradict each other, closest first.
        all_conflicts: how many there are.
        across: other twins across parts: the closest and the farthest, which show how loose the
            rule is.
        all_across: how many there are.
    """

    conflicts: tuple[TwinPair, ...]
    all_conflicts: int
    across: tuple[TwinPair, ...]
    all_across: int

    @property
    def pairs(self) -> tuple[TwinPair, ...]:
        """All pairs, in the order of the lines."""
        return (*self.conflicts, *self.across)

    @property
    def text(self) -> str:
        """How many of how many are shown, in words."""
        return (
            f"label conflicts: {len(self.conflicts)} of {self.all_conflicts} shown; other twins"
            f" across parts: {len(self.across)} of {self.all_across} shown"
        )


def chosen(found: DataAudit) -> Gallery:
    """Return the pairs of the gallery: contradicting labels, then twins across parts."""
    conflicts = found.conflicts[:MOST_CONFLICTS]
    across = [pair for pair in found.near if pair.across and not pair.conflicting]
    half = MOST_ACROSS // 2
    spread = across if len(across) <= MOST_ACROSS else [*across[:half], *across[-half:]]
    return Gallery(
        conflicts=conflicts,
        all_conflicts=len(found.conflicts),
        across=tuple(spread),
        all_across=len(across),
    )


def draw(root: Path, found: DataAudit, path: Path, *, with_images: bool) -> Path | None:
    """Draw the gallery of pairs; None if there are none.

    Args:
        root: folder of the prepared data.
        found: the audit.
        path: the PNG file.
        with_images: draw the images; else their difference hashes, 16 x 16 bits.
    """
    shown = chosen(found)
    pairs = shown.pairs
    if not pairs:
        return None
    store = open_store(root, found.dataset.name)
    first, second = (
        _pictures(store, [pair.rows[side] for pair in pairs], with_images=with_images)
        for side in (0, 1)
    )
    what = "images" if with_images else "difference hashes (bits)"
    return gallery.draw(
        first,
        second,
        [_captions(pair) for pair in pairs],
        path,
        title=f"{found.dataset.title}: pairs of {what} that show almost the same, and their"
        f" difference; parts of the {found.split} split; {shown.text}",
    )


def _pictures(store: Store, rows: Sequence[int], *, with_images: bool) -> np.ndarray:
    if with_images:
        from harness.train.images import pictures_of

        return pictures_of(store.everything().take(np.asarray(rows, np.int64)), PICTURE)
    bits = np.unpackbits(store.sketches()[list(rows), :HASH_BYTES], axis=1)
    return bits.reshape(-1, HASH_SIDE, HASH_SIDE, 1) * np.uint8(255)


def _captions(pair: TwinPair) -> tuple[str, str, str]:
    same = "identical pixels" if pair.identical else f"{pair.distance} of 256 bits"
    conflict = "; LABELS DIFFER" if pair.conflicting else ""
    first, second = (
        f"{name} ({label}, {part or 'unused'})"
        for name, label, part in zip(
            (pair.first, pair.second), pair.classes, pair.parts, strict=True
        )
    )
    return first, second, f"{same}, correlation {pair.correlation:.4f}{conflict}"
