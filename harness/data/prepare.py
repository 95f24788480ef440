"""Decode an official archive into a store: in parallel, checked, all or nothing."""

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
from harness.errors import UserError
from harness.spec.dataset import Dataset, Item, Listing

NAMED = 20
"""Repeated names in one error; the rest is counted."""

LEAST_SIZE = 16

Decoder = Callable[[Item], Decoded]
Advance = Callable[[int, int], None]
"""Called with the images done and the images in all."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A store to be written.

    Attributes:
        dataset: what it holds.
        items: its images, sorted by name.
        decoder: turns an item into pixels.
        size: side of the stored images in pixels.
        workers: decoding threads (PIL works outside Python's lock), by default one a core.
        advance: told of progress.
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
        dataset: what the archive must hold.
        source: the official archive, zipped or unpacked.
        root: folder of the stores.
        size: side of the stored images in pixels.
        workers: decoding threads (PIL works outside Python's lock), by default one a core.
        advance: told of progress.

    Raises:
        UserError: the archive is unsafe, broken, incomplete or has other counts; every broken
            file is named, and nothing is written.
    """
    if size < LEAST_SIZE:
        raise UserError(f"--size is {size}; allowed: at least {LEAST_SIZE}.")
    with open_source(source) as opened:
        items = tuple(sorted(dataset.listing(opened), key=lambda item: item.name))
        check(dataset, items)
        work = Work(
            dataset=dataset,
            items=items,
            decoder=lambda item: decode(opened, item, size, dataset.channels),
            size=size,
            workers=workers,
            advance=advance,
        )
        return write_store(work, root)


def check(dataset: Dataset, items: Listing) -> None:
    """Check names and counts against the official ones.

    Raises:
        UserError: a name occurs twice, or a class has another count.
    """
    names = Counter(item.name for item in items)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise UserError(f"{dataset.title}: names that occur twice: {_listed(twice)}.")
    found = Counter(item.label for item in items)
    expected = dict(enumerate(dataset.counts))
    if dict(found) != expected:
        rows = "".join(
            f"\n  {dataset.classes[label]}: expected {count}, found {found.get(label, 0)}"
            for label, count in expected.items()
        )
        raise UserError(
            f"{dataset.title}: {len(items)} images instead of {sum(dataset.counts)};"
            f" is this the official archive ({dataset.source})?{rows}"
        )


def write_store(work: Work, root: Path, *, keep: bool = False) -> Manifest:
    """Decode all items and put the store in place at once.

    With ``keep``, a store that another process has put there meanwhile stays: others read it.

    Raises:
        UserError: files are broken (all named), or the disk is full or cannot be written.
    """
    name = work.dataset.name
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _scratch(root, name) as folder:
            sizes, pixels = _decode_all(work, folder)
            manifest = _describe(work, folder, sizes, pixels)
            if not (keep and _stays(folder, root / name)):
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
    folder = Path(tempfile.mkdtemp(dir=root, prefix=f".{name}."))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stays(folder: Path, target: Path) -> bool:
    """Put a store where there is none; return whether a whole one is there now."""
    folder.chmod(0o755)
    with suppress(OSError):  # not empty
        folder.rename(target)
    return (target / "manifest.json").exists()


def _replace(folder: Path, target: Path) -> None:
    folder.chmod(0o755)
    if target.exists():
        old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
        target.rename(old / "store")
        folder.rename(target)
        shutil.rmtree(old)
    else:
        folder.rename(target)


def _decode_all(work: Work, folder: Path) -> tuple[np.ndarray, list[str]]:
    dataset, items, size = work.dataset, work.items, work.size
    images = _array(folder / "images.npy", (len(items), size, size, dataset.channels))
    has_masks = any(item.masks for item in items)
    masks = _array(folder / "masks.npy", (len(items), size, size)) if has_masks else None
    sizes = np.zeros((len(items), 2), np.int64)
    pixels: list[str] = [""] * len(items)
    broken: list[str] = []

    def one(row: int) -> str | None:
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
        for done, problem in enumerate(pool.map(one, range(len(items))), 1):
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
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    # Reserve the space now: a full disk is an error here, but a crash of the process in a map.
    with path.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return array


def _describe(work: Work, folder: Path, sizes: np.ndarray, pixels: list[str]) -> Manifest:
    dataset, items = work.dataset, work.items
    splits = {
        "paper": paper_split(dataset.name, items, dataset.sizes),
        "clean": clean_split(dataset.name, items, pixels),
    }
    grouped = any(item.group is not None for item in items)
    index = {
        "names": [item.name for item in items],
        "labels": [item.label for item in items],
        "sizes": sizes.tolist(),
        "groups": [item.group or item.name for item in items] if grouped else None,
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
        parts={s: {p: len(rows) for p, rows in parts.items()} for s, parts in splits.items()},
        files=hashes,
    )
    content = {name: getattr(manifest, name) for name in Manifest.__dataclass_fields__}
    files.write_json(folder / "manifest.json", {"format": prepared.FORMAT, **content})
    return manifest


def _listed(names: list[str]) -> str:
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


@contextmanager
def bar(title: str) -> Iterator[Advance]:
    """Show progress: a bar on a terminal, a line every few seconds in a log."""
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
