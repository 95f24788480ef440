"""Put a finished data store in its place, and remove what killed preparations have left.

A store is made in a hidden folder beside its place and renamed. The maker holds the kernel's lock
on that folder, which ends with its process, however that ends; so a folder whose lock can be taken
belongs to nobody.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from harness import files
from harness.data import contents
from harness.errors import UserError, listed, shown

MADE = ".making"
"""Ending of the hidden folder of a store that is being made."""

OLD = ".replaced"
"""Ending of the hidden folder of a store that a new one has replaced."""


OURS = re.compile(r"\.verified\.json|\..+\.partial|.+\.damaged(\.\d+)?|\.DS_Store")
"""Names in the folder of a store besides those of its files."""


class Leftover(NamedTuple):
    """A folder that a killed preparation has left, which the next one removes.

    Attributes:
        path: of the folder.
        size: bytes of the files in it.
    """

    path: Path
    size: int


@contextmanager
def scratch(root: Path, name: str) -> Iterator[Path]:
    """Provide a hidden folder for a new store; it is removed if it still exists afterwards.

    Raises:
        UserError: what is in the store's place is no store, so that it may not be replaced.
    """
    root.mkdir(parents=True, exist_ok=True)
    check_replaceable(root / name)
    with files.held(root):
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

    Raises:
        UserError: what is in its place is no store.
    """
    folder.chmod(0o755)
    files.sync_folder(folder)
    with files.held(target.parent):
        _recover(target.parent, target.name)
        check_replaceable(target)
        if not target.exists():
            folder.rename(target)
            return
        if keep and (target / contents.MANIFEST).exists():
            return
        old = target.parent / f".{target.name}{OLD}"
        if os.path.lexists(old):
            _remove(old)
        # A process that is killed between the two renames leaves the old store where
        # ``recover`` finds it.
        target.rename(old)
        folder.rename(target)
        try:
            files.sync_folder(target.parent)
        except OSError:
            return  # the old store may only go when the new one's name is on the disk
        _remove(old)


def check_replaceable(target: Path) -> None:
    """Check that the place of a store is free, or holds nothing but a store, whole or damaged.

    Raises:
        UserError: it holds something else, such as the images that are to be prepared.
    """
    advice = "move it away, or choose another folder of prepared data (--data)."
    if not target.is_dir():
        if os.path.lexists(target):
            kind = "a link to nothing" if target.is_symlink() else "a file"
            raise UserError(
                f"{shown(target)} is {kind} where the prepared data set would be; {advice}"
            )
        return
    strangers = sorted(
        shown(path.name)
        for path in target.iterdir()
        if path.name not in contents.NAMES and not OURS.fullmatch(path.name)
    )
    if strangers:
        raise UserError(
            f"{shown(target)} is where the prepared data set would be, but holds other files"
            f" ({listed(strangers)}); {advice}"
        )


def _remove(old: Path) -> None:
    """Remove a replaced store, under a name from which it is never put back half removed.

    What cannot be removed now is removed by the next preparation.
    """
    with suppress(OSError):
        gone = Path(tempfile.mkdtemp(dir=old.parent, prefix=f"{old.name}.", suffix=MADE))
        old.rename(gone / "store")
        shutil.rmtree(gone, ignore_errors=True)


def recover(root: Path, name: str) -> None:
    """Put a store back whose replacement was killed halfway; do nothing otherwise."""
    if (root / f".{name}{OLD}").is_dir() and not (root / name).exists():
        with suppress(OSError), files.held(root):
            _recover(root, name)


def _recover(root: Path, name: str) -> None:
    old = root / f".{name}{OLD}"
    if old.is_dir() and not (root / name).exists():
        old.rename(root / name)


def leftovers(root: Path) -> list[Leftover]:
    """Return what killed preparations have left in a folder of stores; nothing is changed."""
    found = []
    for folder in sorted((*root.glob(f".*{MADE}"), *root.glob(f".*{OLD}"))):
        if folder.name.endswith(OLD):
            left = folder.is_dir() and _place_of(folder).exists()
        else:
            lock = _take(folder)
            left = lock is not None
            if lock is not None:
                os.close(lock)
        if left:
            found.append(Leftover(folder, _size(folder)))
    return found


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # removed meanwhile
            total += path.lstat().st_size
    return total


def _place_of(old: Path) -> Path:
    """Return the place of a store that was renamed to ``old``."""
    return old.with_name(old.name.removeprefix(".").removesuffix(OLD))


def _sweep(root: Path) -> None:
    """Remove the folders of killed preparations, whose locks nobody holds."""
    for folder in root.glob(f".*{MADE}"):
        lock = _take(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
    for folder in root.glob(f".*{OLD}"):
        # Its replacement is in place; only the removal was killed.
        if _place_of(folder).exists():
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
