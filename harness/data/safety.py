"""What is refused or left out before a file of an archive is read, and where it is unpacked.

Names that lead outside and decompression bombs are refused. What must be unpacked (an archive
inside an archive, a compressed tar) goes to a file without a name, which the system removes with
the process, however that ends.
"""

from __future__ import annotations

import lzma
import re
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from harness.data.formats import in_short
from harness.errors import UserError, listed

MEMBER_LIMIT = 256 * 2**20
"""Largest allowed file in bytes, uncompressed; the largest official image has 20 MiB."""

UNPACKED_LIMIT = 16 * 2**30
"""Largest allowed sum of unpacked archives in bytes; HAM10000's parts have 2.8 GB."""

RATIO_LIMIT = 200
"""Largest allowed compression ratio of members over 1 MiB; deflate's own limit is 1032."""

ARCHIVE_ENDINGS = re.compile(
    r"\.(zip|tar|tgz|tbz2?|txz|gz|bz2|xz|zst|7z|rar|z\d\d|r\d\d)$", re.IGNORECASE
)
"""Endings of files inside others that may be archives; their contents decide."""

LONGEST_NAME = 1024
"""Largest allowed number of characters of a name with its folders."""

DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(OSError, ValueError, ArithmeticError, AttributeError, LookupError, MemoryError),
    *(RuntimeError, TypeError),
)
"""Exceptions that damaged archives raise, depending on the format: also those of numbers that are
taken for a position, a length or a version."""


class Unsafe(UserError):
    """An archive that could do harm: it is refused even if only a part of it would be read."""


def hidden(name: str) -> bool:
    """Return whether a file belongs to an operating system and not to the data."""
    parts = name.lower().split("/")
    folders = ("__macosx", "@eadir", "$recycle.bin")
    return parts[-1] in ("thumbs.db", "desktop.ini") or any(
        part.startswith(".") or part in folders for part in parts
    )


def outside(name: str) -> str | None:
    """Return why a name leads out of the archive, None if it does not."""
    path = name.replace("\\", "/")
    if not cleaned(name):
        return "no name"
    if len(name) > LONGEST_NAME:
        return f"a name of {len(name)} characters"
    if path.startswith("/") or re.match("[A-Za-z]:", path):
        return "absolute"
    return "leads out of the archive" if ".." in path.split("/") else None


def cleaned(name: str) -> str:
    r"""Return a name with "/" between folders, without "." and with unprintable bytes as \x41."""
    path = "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in path
    )


class Scratch:
    """Files without a name that hold what had to be unpacked, within a limit.

    Attributes:
        folder: where they lie, None for the system's folder of temporary files.
    """

    def __init__(self, folder: Path | None) -> None:
        """Set the folder; nothing is written."""
        self.folder = folder
        self._left = UNPACKED_LIMIT

    def copy(self, stream: IO[bytes], shown: str, packed: int) -> BinaryIO:
        """Copy a stream of ``packed`` compressed bytes to a file and return that, at its start.

        Raises:
            Unsafe: it unpacks to more than is left of ``UNPACKED_LIMIT``, or is a bomb.
            UserError: it is damaged, or the disk is full.
        """
        target: Any = None
        written = 0
        try:
            with self._room(shown):
                target = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - returned
            while block := self._block(stream, shown):
                written += len(block)
                if written > self._left:
                    limit = UNPACKED_LIMIT >> 30
                    raise Unsafe(f"{shown} unpacks to more than {limit} GiB; unpack it yourself.")
                if written > 2**20 and written > RATIO_LIMIT * max(packed, 1):
                    raise Unsafe(f"{shown} is a decompression bomb; get the archive again.")
                with self._room(shown):
                    target.write(block)
            with self._room(shown):
                target.seek(0)  # writes what is buffered
        except BaseException:
            if target is not None:
                with suppress(OSError):
                    target.close()
            raise
        self._left -= written
        opened: BinaryIO = target
        return opened

    def _block(self, stream: IO[bytes], shown: str) -> bytes:
        with guarded(shown):
            return stream.read(2**20)

    @contextmanager
    def _room(self, shown: str) -> Iterator[None]:
        """Turn an error of the disk that is written to into a ``UserError``."""
        try:
            yield
        except OSError as error:
            place = self.folder or tempfile.gettempdir()
            raise UserError(
                f"Cannot unpack {shown} under {place}: {error.strerror or error}. Free space, or"
                " unpack it yourself and give the folder."
            ) from error


@contextmanager
def guarded(shown: str) -> Iterator[None]:
    """Turn whatever a library raises for a damaged or hostile archive into a ``UserError``."""
    try:
        yield
    except UserError:
        raise
    except DAMAGE as error:
        reason = in_short(error) or type(error).__name__
        raise UserError(
            f"{shown} is damaged or cut short ({reason}); download it again."
        ) from error


def too_large(name: str, size: int, packed: int) -> str | None:
    """Return why a file of ``size`` bytes that are stored as ``packed`` is refused, None if not."""
    limit = UNPACKED_LIMIT if ARCHIVE_ENDINGS.search(name) else MEMBER_LIMIT
    if size > limit:
        return f"inflates to {size >> 20} MiB, more than {limit >> 20}"
    if size > 2**20 and size / max(packed, 1) > RATIO_LIMIT:
        return f"inflates {size // max(packed, 1)} times: a decompression bomb"
    return None


def refuse_unsafe(shown: str, reasons: Iterable[tuple[str, str | None]]) -> None:
    """Refuse an archive some of whose members, given by name, have a reason not to be read.

    Raises:
        Unsafe: there are any.
    """
    unsafe = [f"{name[:100]!r} ({reason})" for name, reason in reasons if reason]
    if unsafe:
        raise Unsafe(
            f"{shown} has {len(unsafe)} members that are not safe to read: {listed(unsafe)};"
            " get the archive again."
        )
