"""Put a finished data store in its place, and remove what killed preparations have left.

A store is made in a hidden folder beside its place and renamed. The maker holds the kernel's lock
on that folder, which ends with its process, however that ends; so a folder whose lock can be taken
belongs to nobody.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MADE = ".making"
"""Ending of the hidden folder of a store that is being made."""

OLD = ".replaced"
"""Ending of the hidden folder of a store that a new one has replaced."""


@contextmanager
def scratch(root: Path, name: str) -> Iterator[Path]:
    """Provide a hidden folder for a new store; it is removed if it still exists afterwards."""
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root):
        _recover(root, name)
        _sweep(root)
        folder = Path(tempfile.mkdtemp(dir=root, prefix=f".{name}.", suffix=MADE))
        lock = _take(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def place(folder: Path, target: Path, *, keep: bool = False) -> None:
    """Rename a finished folder to its place; an older store there is removed afterwards.

    Args:
        folder: of the new store.
        target: its place.
        keep: leave a store that another process has put there meanwhile, as it may be in use.
    """
    folder.chmod(0o755)
    with _locked(target.parent):
        _recover(target.parent, target.name)
        if not target.exists():
            folder.rename(target)
            return
        if keep and (target / "manifest.json").exists():
            return
        old = target.parent / f".{target.name}{OLD}"
        if old.exists():
            _remove(old)
        # A process that is killed between the two renames leaves the old store where
        # ``recover`` finds it.
        target.rename(old)
        folder.rename(target)
        _remove(old)


def _remove(old: Path) -> None:
    """Remove a replaced store, under a name from which it is never put back half removed."""
    gone = Path(tempfile.mkdtemp(dir=old.parent, prefix=f"{old.name}.", suffix=MADE))
    old.rename(gone / "store")
    shutil.rmtree(gone, ignore_errors=True)


def recover(root: Path, name: str) -> None:
    """Put a store back whose replacement was killed halfway; do nothing otherwise."""
    if (root / f".{name}{OLD}").is_dir() and not (root / name).exists():
        with suppress(OSError), _locked(root):
            _recover(root, name)


def _recover(root: Path, name: str) -> None:
    old = root / f".{name}{OLD}"
    if old.is_dir() and not (root / name).exists():
        old.rename(root / name)


def _sweep(root: Path) -> None:
    """Remove the folders of killed preparations, whose locks nobody holds."""
    for folder in root.glob(f".*{MADE}"):
        lock = _take(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
    for folder in root.glob(f".*{OLD}"):
        # Its replacement is in place; only the removal was killed.
        if (root / folder.name.removeprefix(".").removesuffix(OLD)).exists():
            _remove(folder)


def _take(folder: Path) -> int | None:
    """Take the kernel's lock on a folder; return its handle, None if another process has it.

    File systems without locks (some network folders) give none either: nothing is removed there.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold the folder of all stores for the moment of a rename."""
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # File systems without locks leave the renames unguarded.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
