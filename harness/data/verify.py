"""Check a data store: every byte of its files, and which images of its splits have twins.

Twins are counted anew: nothing is taken from the manifest; rows, hashes and sketches are read from
the store's files.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.data import contents, overlap, split, twins
from harness.data.blocks import StoredArray
from harness.data.overlap import KINDS, Found, Kind
from harness.data.prepared import Store, open_store, read_manifest, said_by
from harness.errors import Damaged, UserError, listed
from harness.spec.dataset import Dataset

TEXTS: Mapping[Kind, str] = {
    "exact": "{images} {have} a pixel-identical partner in {other}",
    "near": "{images} {have} a near-twin, but no pixel-identical partner, in {other}",
    "grouped": "{images} {have} a {group} that {other} has too ({groups})",
}
"""What the images of each kind have in another part."""

COLUMNS = ("dataset", "first", "second", "distance", "correlation", "near_twin", "identical")
"""Columns of a file of pairs before those of classes, groups and parts."""


def stores(root: Path) -> list[Path]:
    """Return the folders below a folder of stores that hold files of a store, also damaged ones."""
    try:
        found = sorted(path for path in root.iterdir() if not path.name.startswith("."))
        return [p for p in found if any(os.path.lexists(p / name) for name in contents.NAMES)]
    except OSError:
        return []


def damage(folder: Path) -> list[tuple[Path, str]]:
    """Read all files of a prepared data set; return each that is not as prepared, with why.

    Nothing is raised, whatever the files hold, and no image is decoded.
    """
    try:
        manifest = read_manifest(folder.parent, folder.name)
    except Damaged as error:
        return [(Path(error.path), error.what)]
    except (UserError, OSError) as error:  # a version that is not read here, a locked folder
        return [(folder / contents.MANIFEST, str(error))]
    if manifest is None:
        return [(folder / contents.MANIFEST, "is missing")]
    said, wrong = said_by(folder, manifest), []
    names: Sequence[str] = [f"row {row}" for row in range(said.count)]
    try:
        names = contents.read_index(said).names
    except UserError as error:
        wrong.append((folder / contents.INDEX, _what(error)))
    try:
        described = contents.read_blocks(said)
    except UserError as error:
        return [*wrong, (folder / contents.BLOCKS, _what(error))]
    for name, blocks in described.items():
        try:
            found = StoredArray(folder / name, blocks, names).damage()
        except UserError as error:  # Damaged, or it may not be read
            found = [_what(error)]
        wrong += [(folder / name, what) for what in found]
    return wrong


def _what(error: UserError) -> str:
    return error.what if isinstance(error, Damaged) else str(error)


def recount(store: Store) -> tuple[Found, ...]:
    """Return which images of each part have a twin or share a group, from the store's files."""
    near = twins.search(store.sketches(), store.rules.check)
    return overlap.find(store.splits, store.pixels, store.everything().groups, near)


def problems(store: Store, found: Sequence[Found]) -> list[str]:
    """Return what in the manifest or the clean split is not as the store's files say."""
    manifest = store.manifest
    wrong = overlap.differences(manifest.overlaps, [f.overlap for f in found])
    if store.rules != manifest.twins:
        wrong.append(f"it was divided by {store.rules}, the manifest says {manifest.twins}")
    connected = _connected(store)
    if (joined := split.joined(connected)) != manifest.joined:
        wrong.append(f"it holds {joined}, the manifest says {manifest.joined}")
    clean = store.splits.get("clean", {})
    parts = [set(connected[rows].tolist()) for rows in clean.values() if rows]
    divided = len(parts) and sum(map(len, parts)) - len(set.union(*parts))
    if divided:
        wrong.append(f"clean divides {divided} sets of images that belong together")
    return wrong


def _connected(store: Store) -> np.ndarray:
    """Return the number of each image's component: images that the clean split keeps together."""
    groups = store.everything().groups or ()
    links = [twins.chain(np.array(store.pixels)), twins.chain(np.array(groups))]
    near = twins.search(store.sketches(), store.rules.join)
    found = ((pairs.first, pairs.second) for pairs in near)
    return twins.components(len(store.pixels), (link for some in (links, found) for link in some))


def lines(store: Store, found: Sequence[Found], dataset: Dataset) -> list[str]:
    """Return what was found by split and class, with names, one line for each kind."""
    text = [
        f"near-twins: hashes differ in at most {store.rules.check.distance} of 256 bits, grey"
        f" versions correlate above {store.rules.check.correlation:g}; clean joins up to"
        f" {store.rules.join.distance} bits, above {store.rules.join.correlation:g}"
    ]
    for one in found:
        counts = one.overlap
        where = f"{counts.split}: "
        if counts.clear or counts.same == counts.images:
            group = None if store.everything().groups is None else dataset.group_title
            text.append(where + overlap.sentence(counts, group))
        else:
            text += [
                where + _line(store, one, kind, dataset) for kind in KINDS if len(one.rows[kind])
            ]
    return text


def _line(store: Store, found: Found, kind: Kind, dataset: Dataset) -> str:
    images, rows, counts = store.everything(), found.rows[kind], found.overlap
    by_class = np.bincount(images.labels[rows], minlength=len(dataset.classes))
    classes = ", ".join(
        f"{name} {count}" for name, count in zip(dataset.classes, by_class, strict=True)
    )
    text = TEXTS[kind].format(
        images=f"{len(rows)} of {counts.images} {overlap.TITLES[counts.part]} images",
        have="has" if len(rows) == 1 else "have",
        other=overlap.TITLES[counts.other],
        group=dataset.group_title,
        groups=overlap.counted(counts.groups, dataset.group_title),
    )
    return f"{text} ({classes}): {listed([images.names[row] for row in rows])}"


def pairs_of(root: Path, dataset: Dataset) -> list[dict[str, object]]:
    """Return all pairs of a prepared data set, see ``pairs``."""
    return list(pairs(open_store(root, dataset.name), dataset))


def pairs(store: Store, dataset: Dataset) -> Iterator[dict[str, object]]:
    """Yield all pairs of twins under the looser rule, with classes, groups and parts."""
    images, rules = store.everything(), store.rules
    parts = {
        name: {row: part for part, rows in reversed(found.items()) for row in rows}
        for name, found in store.splits.items()
    }
    for block in twins.search(store.sketches(), rules.join):
        near = block.within(rules.check)
        for i, (a, b) in enumerate(zip(block.first.tolist(), block.second.tolist(), strict=True)):
            yield {
                "dataset": dataset.name,
                "first": images.names[a],
                "second": images.names[b],
                "distance": int(block.distance[i]),
                "correlation": round(float(block.correlation[i]), 6),
                "near_twin": int(near[i]),
                "identical": int(store.pixels[a] == store.pixels[b]),
                "first_class": dataset.classes[images.labels[a]],
                "second_class": dataset.classes[images.labels[b]],
                "same_group": int(
                    images.groups is not None and images.groups[a] == images.groups[b]
                ),
                **{
                    f"{name}_{which}": rows.get(row, "")
                    for name, rows in parts.items()
                    for which, row in (("first", a), ("second", b))
                },
            }


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Return pairs of one or several data sets as CSV text, see ``pairs``."""
    columns = list(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)]))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
