"""Decode an official archive into a data store, in parallel; written only if all is valid."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from harness import files
from harness.console import bars, note
from harness.data import (
    blocks,
    contents,
    overlap,
    photographs,
    placing,
    prepared,
    split_file,
    sums,
    twins,
)
from harness.data.archive import Given, open_source
from harness.data.decode import decode
from harness.data.prepared import Manifest
from harness.data.split import connect, divide
from harness.data.twins import TwinRules
from harness.data.writing import Advance, Work, Written, decode_all, write_array
from harness.errors import UserError, listed, shown
from harness.spec.dataset import Dataset, Listing
from harness.spec.profiles import STORED_SIZE

LEAST_SIZE, MOST_SIZE = 16, 4096
"""Smallest and largest allowed side of stored images in pixels."""

LEAST_DIVIDED = 100
"""Number of images from which there has to be a clean split."""


def prepare(  # noqa: PLR0913 (the options of one command)
    dataset: Dataset,
    source: Path | Given,
    *,
    root: Path,
    size: int = STORED_SIZE,
    workers: int | None = None,
    advance: Advance = lambda done, total: None,
    split: Path | None = None,
    rules: TwinRules = twins.RULES,
) -> Manifest:
    """Decode an archive or folder into ROOT/NAME and return its manifest.

    Args:
        dataset: the data set that the archive must contain.
        source: the official archive, packed or unpacked, or several that belong together.
        root: folder of the data stores.
        size: side of the stored images in pixels.
        workers: decoding threads (PIL releases Python's lock), by default one per core.
        advance: called after each decoded image.
        split: a user's split, see ``harness.data.split_file``; it becomes the store's default.
        rules: when two images are near-twins.

    Raises:
        UserError: the archive is unsafe, broken or incomplete, or its classes have other counts;
            the message names every broken file, and nothing is written.
    """
    if not LEAST_SIZE <= size <= MOST_SIZE:
        raise UserError(f"--size is {size}; allowed: {LEAST_SIZE} to {MOST_SIZE}.")
    parts = None if split is None else split_file.read(split)
    with open_source(source, scratch=_existing(root)) as archive:
        with archive.explained():
            items = tuple(sorted(dataset.listing(archive), key=lambda item: item.name))
            check(dataset, items)
        if split is not None and parts is not None:
            parts = split_file.match(split, parts, [item.name for item in items])
        archive.check_masks(dataset.title, items)
        if archive.decoder is None:  # a user's own data may be of any kind
            photographs.check(archive, dataset.title, items)
        sentences, remarks = sums.describe(archive.archives)
        archive.remarks.extend(remarks)
        work = Work(
            dataset=dataset,
            items=items,
            decoder=lambda item: decode(archive, item, size, dataset.channels),
            size=size,
            workers=workers,
            advance=advance,
            archives=sentences,
            remarks=tuple(archive.remarks),
            given=parts,
            rules=rules,
        )
        return write_store(work, root)


def _existing(root: Path) -> Path:
    """Return the folder of the data stores or, where it does not exist yet, the nearest above."""
    return next(folder for folder in (root, *root.absolute().parents) if folder.is_dir())


def check(dataset: Dataset, items: Listing) -> None:
    """Check that names are unique and each class has its official number of images.

    Raises:
        UserError: a name occurs twice, or a class has another number of images.
    """
    names = Counter(item.name for item in items)
    repeated = sorted(name for name, count in names.items() if count > 1)
    if repeated:
        raise UserError(f"{dataset.title}: names that occur twice: {listed(repeated)}.")
    counts = Counter(item.label for item in items)
    expected = dict(enumerate(dataset.counts))
    if dict(counts) != expected:
        differences = ", ".join(
            f"{dataset.classes[label]}: expected {count}, found {counts.get(label, 0)}"
            for label, count in expected.items()
            if count != counts.get(label, 0)
        )
        raise UserError(
            f"{dataset.title}: {len(items)} images instead of {sum(dataset.counts)}"
            f" ({differences}); is this the official archive ({dataset.source})?"
        )


def check_parts(dataset: Dataset, manifest: Manifest) -> None:
    """Check that there is a clean split, unless a user gives the split or there are few images.

    Raises:
        UserError: there is none, because most images are almost equal or of one group.
    """
    total = sum(dataset.counts)
    if "clean" not in manifest.parts and manifest.split != "given" and total >= LEAST_DIVIDED:
        raise UserError(
            f"{dataset.title}: there is no clean split, as its {total} images are of one or two"
            " groups or almost equal to each other. Check the table of groups, or give the official"
            f" archive ({dataset.source})."
        )


def write_store(work: Work, root: Path, *, keep: bool = False) -> Manifest:
    """Decode all items into a temporary folder and rename it to the data store.

    Args:
        work: what to write.
        root: folder of the data stores.
        keep: leave a store that another process has written meanwhile, as it may be in use.

    Raises:
        UserError: files are broken (the message names all), or the disk is full or not writable.
    """
    name = work.dataset.name
    try:
        with placing.scratch(root, name) as folder:
            manifest = _describe(work, folder, decode_all(work, folder))
            check_parts(work.dataset, manifest)
            placing.place(folder, root / name, keep=keep)
    except OSError as error:
        raise UserError(
            f"Cannot write the store of {name!r} under {root}:"
            f" {error.strerror or error}. Free space or choose another --root."
        ) from error
    return manifest


def _describe(work: Work, folder: Path, written: Written) -> Manifest:
    """Divide the images, write twins.npy, index.json and manifest.json; return the manifest."""
    dataset, items, rules = work.dataset, work.items, work.rules
    joining = twins.search(written.sketches, rules.join)
    divided = divide(dataset, items, connect(items, written.pixels, joining), work.given)
    has_groups = any(item.group is not None for item in items)
    groups = [item.group or item.name for item in items] if has_groups else None
    index = {
        "names": [item.name for item in items],
        "labels": [item.label for item in items],
        "sizes": written.sizes.tolist(),
        "groups": groups,
        "pixels": written.pixels,
        "splits": divided.splits,
        "twins": asdict(rules),
    }
    files.write_json(folder / contents.INDEX, index)
    write_array(folder / contents.TWINS, written.sketches)
    hashes = {contents.INDEX: files.sha256(folder / contents.INDEX)}
    described = {}
    for array, shape in (*written.shapes.items(), (contents.TWINS, written.sketches.shape)):
        hashes[array], described[array] = blocks.describe(folder / array, shape)
    hashes = dict(sorted(hashes.items()))
    files.write_bytes(folder / contents.BLOCKS, blocks.as_json(described))
    manifest = Manifest(
        dataset=dataset.name,
        size=work.size,
        fingerprint=prepared.fingerprint(hashes),
        parts={
            split: {part: len(rows) for part, rows in parts.items()}
            for split, parts in divided.splits.items()
        },
        files=hashes,
        archives=work.archives,
        remarks=work.remarks,
        classes=dataset.classes,
        counts=dataset.counts,
        split=divided.default,
        twins=rules,
        joined=divided.joined,
        overlaps=tuple(
            found.overlap
            for found in overlap.find(
                divided.splits, written.pixels, groups, twins.search(written.sketches, rules.check)
            )
        ),
        blocks=files.sha256(folder / contents.BLOCKS),
    )
    prepared.write_manifest(folder, manifest)
    return manifest


@contextmanager
def bar(title: str) -> Iterator[Advance]:
    """Show progress: a bar on a terminal, otherwise a line every ten seconds."""
    import sys

    title = shown(title)
    if not sys.stderr.isatty():
        began = last = time.monotonic()

        def log(done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if done == total or now - last > 10:
                last = now
                note(f"{title}: {done}/{total}, {now - began:.0f} s")

        yield log
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    description = TextColumn("{task.description}", markup=False)
    with bars(description, BarColumn(), TaskProgressColumn(), TimeRemainingColumn()) as shown_bars:
        task = shown_bars.add_task(title)
        yield lambda done, total: shown_bars.update(task, completed=done, total=total)
