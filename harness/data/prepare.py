"""Decode an official archive into a data store, in parallel; written only if all is valid."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import files
from harness.data import prepared
from harness.data.archive import open_source
from harness.data.decode import Decoded, decode
from harness.data.prepared import Manifest
from harness.data.split import clean_split, paper_split
from harness.errors import UserError, listed
from harness.spec.dataset import Dataset, Item, Listing

LEAST_SIZE = 16
"""Smallest allowed side of stored images in pixels."""

Decoder = Callable[[Item], Decoded]
"""Decodes an item; raises ``ValueError`` if it cannot."""

Advance = Callable[[int, int], None]
"""Called with the number of decoded images and their total."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Input of the writing of one data store.

    Attributes:
        dataset: the data set.
        items: its images, sorted by name.
        decoder: decodes an item.
        size: side of the stored images in pixels.
        workers: decoding threads (PIL releases Python's lock), by default one per core.
        advance: called after each decoded image.
    """

    dataset: Dataset
    items: Listing
    decoder: Decoder
    size: int
    workers: int | None = None
    advance: Advance = lambda done, total: None


def prepare(
    dataset: Dataset,
    source: Path,
    *,
    root: Path,
    size: int = 256,
    workers: int | None = None,
    advance: Advance = lambda done, total: None,
) -> Manifest:
    """Decode an archive or folder into ROOT/NAME and return its manifest.

    Args:
        dataset: the data set that the archive must contain.
        source: the official archive, zipped or unpacked.
        root: folder of the data stores.
        size: side of the stored images in pixels.
        workers: decoding threads (PIL releases Python's lock), by default one per core.
        advance: called after each decoded image.

    Raises:
        UserError: the archive is unsafe, broken or incomplete, or its classes have other counts;
            the message names every broken file, and nothing is written.
    """
    if size < LEAST_SIZE:
        raise UserError(f"--size is {size}; allowed: at least {LEAST_SIZE}.")
    with open_source(source) as archive:
        items = tuple(sorted(dataset.listing(archive), key=lambda item: item.name))
        check(dataset, items)
        work = Work(
            dataset=dataset,
            items=items,
            decoder=lambda item: decode(archive, item, size, dataset.channels),
            size=size,
            workers=workers,
            advance=advance,
        )
        return write_store(work, root)


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
        differences = "".join(
            f"\n  {dataset.classes[label]}: expected {count}, found {counts.get(label, 0)}"
            for label, count in expected.items()
        )
        raise UserError(
            f"{dataset.title}: {len(items)} images instead of {sum(dataset.counts)};"
            f" is this the official archive ({dataset.source})?{differences}"
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
        root.mkdir(parents=True, exist_ok=True)
        with _scratch(root, name) as folder:
            sizes, pixels = _decode_all(work, folder)
            manifest = _describe(work, folder, sizes, pixels)
            if not (keep and _place_unless_present(folder, root / name)):
                _replace(folder, root / name)
    except OSError as error:
        raise UserError(
            f"Cannot write the store of {name!r} under {root}:"
            f" {error.strerror or error}. Free space or choose another --root."
        ) from error
    prepared.write_stamp(root / name, manifest)
    return manifest


@contextmanager
def _scratch(root: Path, name: str) -> Iterator[Path]:
    """Provide a temporary folder beside the store; it is removed if it still exists afterwards."""
    folder = Path(tempfile.mkdtemp(dir=root, prefix=f".{name}."))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place_unless_present(folder: Path, target: Path) -> bool:
    """Rename a folder to the target unless that exists; return whether the target is complete."""
    folder.chmod(0o755)
    with suppress(OSError):  # the target is not empty
        folder.rename(target)
    return (target / "manifest.json").exists()


def _replace(folder: Path, target: Path) -> None:
    """Rename a folder to the target; an older target is moved away first, then removed."""
    folder.chmod(0o755)
    if target.exists():
        old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
        target.rename(old / "store")
        folder.rename(target)
        shutil.rmtree(old)
    else:
        folder.rename(target)


def _decode_all(work: Work, folder: Path) -> tuple[np.ndarray, list[str]]:
    """Decode all items into memory-mapped arrays; return sizes (n, 2) and pixel hashes.

    Raises:
        UserError: items cannot be decoded; the message names all.
    """
    dataset, items, size = work.dataset, work.items, work.size
    images = _array(folder / "images.npy", (len(items), size, size, dataset.channels))
    has_masks = any(item.masks for item in items)
    masks = _array(folder / "masks.npy", (len(items), size, size)) if has_masks else None
    sizes = np.zeros((len(items), 2), np.int64)
    pixels: list[str] = [""] * len(items)
    broken: list[str] = []

    def decode_row(row: int) -> str | None:
        try:
            decoded = work.decoder(items[row])
        except ValueError as error:
            return str(error)
        images[row] = decoded.image
        if masks is not None and decoded.mask is not None:
            masks[row] = decoded.mask
        sizes[row], pixels[row] = decoded.size, decoded.pixels
        return None

    with ThreadPoolExecutor(work.workers or os.cpu_count()) as pool:
        for done, problem in enumerate(pool.map(decode_row, range(len(items))), 1):
            if problem is not None:
                broken.append(problem)
            work.advance(done, len(items))
    if broken:
        raise UserError(
            f"{dataset.title}: {len(broken)} files cannot be used: {', '.join(broken)}."
            " Get them again; nothing was written."
        )
    images.flush()
    if masks is not None:
        masks.flush()
    return sizes, pixels


def _array(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    """Create a memory-mapped uint8 array file with its disk space reserved."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    # On a full disk this raises an error, whereas writing to the map would kill the process.
    with path.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return array


def _describe(work: Work, folder: Path, sizes: np.ndarray, pixels: list[str]) -> Manifest:
    """Write index.json and manifest.json; return the manifest."""
    dataset, items = work.dataset, work.items
    splits = {
        "paper": paper_split(dataset.name, items, dataset.sizes),
        "clean": clean_split(dataset.name, items, pixels),
    }
    has_groups = any(item.group is not None for item in items)
    index = {
        "names": [item.name for item in items],
        "labels": [item.label for item in items],
        "sizes": sizes.tolist(),
        "groups": [item.group or item.name for item in items] if has_groups else None,
        "pixels": pixels,
        "splits": splits,
    }
    files.write_json(folder / "index.json", index)
    hashes = {
        path.name: files.sha256(path)
        for path in sorted(folder.iterdir())
        if path.suffix in (".npy", ".json")
    }
    manifest = Manifest(
        dataset=dataset.name,
        size=work.size,
        fingerprint=prepared.fingerprint(hashes),
        parts={
            split: {part: len(rows) for part, rows in parts.items()}
            for split, parts in splits.items()
        },
        files=hashes,
    )
    content = {name: getattr(manifest, name) for name in Manifest.__dataclass_fields__}
    files.write_json(folder / "manifest.json", {"format": prepared.FORMAT, **content})
    return manifest


@contextmanager
def bar(title: str) -> Iterator[Advance]:
    """Show progress: a bar on a terminal, otherwise a line every ten seconds."""
    import sys

    if not sys.stderr.isatty():
        began = last = time.monotonic()

        def log(done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if done == total or now - last > 10:
                last = now
                print(f"{title}: {done}/{total}, {now - began:.0f} s", file=sys.stderr, flush=True)

        yield log
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bars:
        task = bars.add_task(title)
        yield lambda done, total: bars.update(task, completed=done, total=total)
