"""Values that were read from files, kept in memory while their files are unchanged.

A command asks for the same records and predictions many times. A value is used again only while
its file has the same inode, size and times, so that a process that lives long sees every change.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Generic, TypeVar

from harness import files

T = TypeVar("T")

SETTLED = 3.0
"""Seconds after a file's last change from which on its times tell a further change: those of some
file systems have whole seconds."""

Signature = tuple[int, int, int, int, int]
"""Device, inode, size and the times of the last changes of a file's content and status, in ns."""


class Unchanged(Generic[T]):
    """Values by path, with the signature of the file that each was read from."""

    def __init__(self, most: int) -> None:
        """Keep nothing yet.

        Args:
            most: bytes of all values together; what comes when they are full is not kept, so that
                one pass after the other over more files still finds the first ones.
        """
        self._most, self._bytes = most, 0
        self._kept: dict[str, tuple[Signature, T, int]] = {}

    def get(self, path: Path | str) -> T | None:
        """Return the value of a file that is unchanged; None where it must be read."""
        name = os.fspath(path)
        if (known := self._kept.get(name)) is None:
            return None
        try:
            if _signature(os.stat(name)) == known[0]:  # noqa: PTH116 (asked for often)
                return known[1]
        except OSError:
            pass  # reading says what is wrong
        self._drop(name)
        return None

    def put(self, path: Path | str, signature: Signature | None, value: T, size: int) -> None:
        """Keep a value of about ``size`` bytes; not of a file that has just been changed."""
        name = os.fspath(path)
        self._drop(name)
        if signature is None or self._bytes + size > self._most:
            return
        self._kept[name] = (signature, value, size)
        self._bytes += size

    def _drop(self, name: str) -> None:
        if (known := self._kept.pop(name, None)) is not None:
            self._bytes -= known[2]


def read(path: Path) -> tuple[bytes, Signature | None]:
    """Return a file's content and its signature; None in its place if the file was just changed.

    For errors see ``files.open_regular``.
    """
    with files.open_regular(path) as stream:
        try:
            before = os.fstat(stream.fileno())
            content = stream.read()
        except OSError as error:
            raise files.cannot_read(path, error) from error
    changed = max(before.st_mtime, before.st_ctime)
    is_settled = changed + SETTLED < time.time() and len(content) == before.st_size
    return content, _signature(before) if is_settled else None


def signature(path: Path) -> Signature | None:
    """Return the signature of a file; None where it is gone, or its times would hide a change.

    Times with fractions of a second tell every later change, whole seconds only an older file's.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    changed = max(found.st_mtime, found.st_ctime)
    if found.st_ctime_ns % 10**9 == 0 and changed + SETTLED >= time.time():
        return None
    return _signature(found)


def _signature(found: os.stat_result) -> Signature:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


_ASIDE: Unchanged[tuple[str, ...]] = Unchanged(2**20)
"""Names of the damaged files that were set aside, by folder."""


def has_aside(path: Path) -> bool:
    """Whether a damaged file of this path was set aside."""
    try:
        names = asides(path.parent)
    except OSError:
        return True  # whoever looks closer says what is wrong
    return any(name.startswith(path.name + files.DAMAGED) for name in names)


def asides(folder: Path | str) -> tuple[str, ...]:
    """Return the names of the damaged files that were set aside in a folder; none without it.

    The folder is listed once for all files.

    Raises:
        OSError: it cannot be listed.
    """
    names = _ASIDE.get(folder)
    if names is None:
        try:
            before = os.stat(folder)  # noqa: PTH116 (given as text where it is asked for often)
            names = tuple(name for name in os.listdir(folder) if files.DAMAGED in name)  # noqa: PTH208
        except FileNotFoundError:
            return ()
        settled = max(before.st_mtime, before.st_ctime) + SETTLED < time.time()
        _ASIDE.put(folder, _signature(before) if settled else None, names, 100 * len(names))
    return names
