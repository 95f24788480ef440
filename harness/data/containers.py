"""Folders, zip and tar archives, read file by file without extracting them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import threading
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, BinaryIO

from harness.data import safety
from harness.data.formats import BZIP2, GZIP, HEAD, TAR, XZ, ZIP, Format, identify, in_short
from harness.data.safety import DAMAGE, Scratch, Unsafe, cleaned, guarded, hidden, outside
from harness.errors import UserError, listed
from harness.errors import shown as printable

_METHODS = {
    zipfile.ZIP_STORED: "",
    zipfile.ZIP_DEFLATED: "",
    zipfile.ZIP_BZIP2: "",
    zipfile.ZIP_LZMA: "",
    9: "Deflate64",
    93: "Zstandard",
    95: "xz",
    98: "PPMd",
    99: "AES encryption",
}
"""Methods of compression in zip archives by number; those with a name are not read here."""


class Container(ABC):
    """The files of one folder or archive.

    Attributes:
        shown: its path in messages.
        names: names of its files, sorted, without those that ``hidden`` tells.
    """

    def __init__(self, shown: str) -> None:
        """Set the path; subclasses list the files."""
        self.shown = printable(shown)
        self.names: list[str] = []

    @abstractmethod
    def read(self, name: str, count: int = -1) -> bytes:
        """Return up to ``count`` first bytes of a file, all of it where that is negative.

        Raises:
            ValueError: it is damaged.
        """

    @abstractmethod
    def open(self, name: str, scratch: Scratch) -> BinaryIO:
        """Return a file opened at its start, which can be read in any order.

        Raises:
            UserError: it is damaged, a bomb, or the disk is full.
        """

    @abstractmethod
    def size(self, name: str) -> int:
        """Return the length of a file in bytes."""

    def checksum(self, name: str) -> int | None:
        """Return a file's CRC-32 where the archive states it."""
        return None

    def close(self) -> None:  # noqa: B027 - a folder has nothing to close
        """Close the archive."""


class Folder(Container):
    """A folder with all folders below it."""

    def __init__(self, path: Path) -> None:
        """List the regular files.

        Raises:
            UserError: a link leads out of the folder, or a folder cannot be read.
        """
        super().__init__(str(path))
        root = path.resolve()
        self._paths: dict[str, Path] = {}
        for folder, below, files in os.walk(path, onerror=self._fail):
            below.sort()
            for name in (*below, *sorted(files)):
                file = Path(folder, name)
                shown = cleaned(file.relative_to(path).as_posix())
                if hidden(shown):
                    continue
                if file.is_symlink() and not file.resolve().is_relative_to(root):
                    raise Unsafe(
                        f"{shown} is a link that leads out of {path};"
                        " give a copy of the folder without links (cp -rL)."
                    )
                if file.is_file():
                    if shown in self._paths:
                        raise UserError(f"{path}: two files are named {shown}; rename one.")
                    self._paths[shown] = file
        self.names = sorted(self._paths)

    def _fail(self, error: OSError) -> None:
        raise UserError(
            f"{error.filename} cannot be read ({error.strerror}); allow it, or give another folder."
        ) from error

    def read(self, name: str, count: int = -1) -> bytes:
        """Return up to ``count`` first bytes of a file, all of it where that is negative.

        Raises:
            ValueError: it cannot be read.
        """
        try:
            with self._paths[name].open("rb") as stream:
                return stream.read(count)
        except OSError as error:
            raise ValueError(f"cannot be read ({error.strerror})") from error

    def open(self, name: str, scratch: Scratch) -> BinaryIO:
        """Return the opened file."""
        try:
            return self._paths[name].open("rb")
        except OSError as error:
            raise UserError(f"{self._paths[name]} cannot be read ({error.strerror}).") from error

    def size(self, name: str) -> int:
        """Return the length of a file in bytes."""
        return self._paths[name].stat().st_size


class File(Folder):
    """One file, such as a table that was given beside an archive."""

    def __init__(self, path: Path) -> None:
        """Set its name."""
        Container.__init__(self, str(path))
        self._paths = {path.name: path}
        self.names = [path.name]


class Zip(Container):
    """A zip file whose whole directory is checked before a member is read."""

    def __init__(self, stream: BinaryIO, shown: str) -> None:
        """Check the names, sizes and compression of all members.

        Raises:
            Unsafe: members could do harm.
            UserError: it is damaged, encrypted, or packed by a method that is not read here.
        """
        super().__init__(shown)
        self._stream = stream
        try:
            self._zip = zipfile.ZipFile(stream)
        except DAMAGE as error:
            raise UserError(
                f"{shown} is cut short or damaged: the directory at the end of a zip archive is"
                " missing; download it again."
            ) from error
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            if member.filename.endswith(("/", "\\")):
                continue
            name = cleaned(member.filename)
            if hidden(name) and not outside(member.filename):
                continue
            twin = self._members.setdefault(name, member)
            if (twin.CRC, twin.file_size) != (member.CRC, member.file_size):
                raise UserError(f"{shown} has two different files named {name}; get it again.")
        self._check()
        self.names = sorted(self._members)

    def _check(self) -> None:
        members = self._members
        safety.refuse_unsafe(
            self.shown, ((name, _unsafe(member)) for name, member in members.items())
        )
        encrypted = sorted(name for name, member in members.items() if member.flag_bits & 1)
        if encrypted:
            raise UserError(
                f"{self.shown} is encrypted ({len(encrypted)} files: {listed(encrypted)});"
                " unpack it with its password and give the folder."
            )
        packed: dict[int, list[str]] = {}
        for name, member in members.items():
            if _METHODS.get(member.compress_type, "?"):
                packed.setdefault(member.compress_type, []).append(name)
        for method, names in sorted(packed.items()):
            title = _METHODS.get(method, f"method {method}")
            raise UserError(
                f"{self.shown} is packed with {title} ({len(names)} files: {listed(names)}), which"
                " is not read here; unpack it (7z x) and give the folder."
            )

    def read(self, name: str, count: int = -1) -> bytes:
        """Return up to ``count`` first bytes of a file, all of it where that is negative.

        Raises:
            ValueError: it is damaged.
        """
        try:
            with self._zip.open(self._members[name]) as stream:
                return stream.read(count)
        except DAMAGE as error:
            raise _damaged(error) from error

    def open(self, name: str, scratch: Scratch) -> BinaryIO:
        """Unpack a file and return it opened."""
        member = self._members[name]
        shown = f"{self.shown}/{name}"
        with guarded(shown), self._zip.open(member) as stream:
            return scratch.copy(stream, shown, member.compress_size)

    def size(self, name: str) -> int:
        """Return the length of a file in bytes."""
        return self._members[name].file_size

    def checksum(self, name: str) -> int | None:
        """Return the CRC-32 that the directory states."""
        return self._members[name].CRC

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._stream.close()


def _damaged(error: BaseException) -> ValueError:
    """Return the error of a file that an archive does not give."""
    reason = in_short(error) or type(error).__name__
    return ValueError(f"damaged or cut short ({reason}); get it again")


def _unsafe(member: zipfile.ZipInfo) -> str | None:
    """Return why a member is not safe to read, None if it is."""
    reason = outside(member.filename)
    if reason is not None:
        return reason
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link"
    return safety.too_large(member.filename, member.file_size, member.compress_size)


class Tar(Container):
    """An uncompressed tar archive: where each file begins is read once, at the start."""

    def __init__(self, stream: BinaryIO, shown: str, packed: BinaryIO | None = None) -> None:
        """Check the names, sizes and kinds of all members.

        Args:
            stream: the uncompressed archive.
            shown: its path in messages.
            packed: the file that it was unpacked from, which is closed with it.

        Raises:
            Unsafe: members could do harm.
            UserError: it is damaged or cut short.
        """
        super().__init__(shown)
        self._stream, self._lock = stream, threading.Lock()
        self._packed = packed
        self._members: dict[str, tarfile.TarInfo] = {}
        reasons: list[tuple[str, str | None]] = []
        with guarded(shown), tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                name = cleaned(member.name)
                if member.isdir() or (hidden(name) and not outside(member.name)):
                    continue
                reasons.append((name, _unsafe_member(member)))
                self._members[name] = member  # the last of a name counts, as tar unpacks it
            self._check_end(archive)
        safety.refuse_unsafe(shown, reasons)
        self.names = sorted(self._members)

    def _check_end(self, archive: tarfile.TarFile) -> None:
        """Check that zeros follow the last member: tarfile takes any end for the end.

        Raises:
            ReadError: something else follows, or nothing does.
        """
        self._stream.seek(archive.offset)
        block = self._stream.read(tarfile.BLOCKSIZE)
        if len(block) < tarfile.BLOCKSIZE or block.strip(b"\0"):
            raise tarfile.ReadError("its end is missing")

    def read(self, name: str, count: int = -1) -> bytes:
        """Return up to ``count`` first bytes of a file.

        Raises:
            ValueError: it is damaged.
        """
        member = self._members[name]
        length = member.size if count < 0 else min(count, member.size)
        try:
            with self._lock:
                self._stream.seek(member.offset_data)
                content = self._stream.read(length)
        except DAMAGE as error:
            raise _damaged(error) from error
        if len(content) < length:
            raise ValueError("cut short; get it again")
        return content

    def open(self, name: str, scratch: Scratch) -> BinaryIO:
        """Copy a file and return it opened."""
        member = self._members[name]
        with self._lock, guarded(f"{self.shown}/{name}"):
            self._stream.seek(member.offset_data)
            part = _Limited(self._stream, member.size)
            return scratch.copy(part, f"{self.shown}/{name}", member.size)  # type: ignore[arg-type]

    def size(self, name: str) -> int:
        """Return the length of a file in bytes."""
        return self._members[name].size

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        if self._packed is not None:
            self._packed.close()


class _Limited:
    """The next bytes of a stream."""

    def __init__(self, stream: BinaryIO, left: int) -> None:
        self._stream, self._left = stream, left

    def read(self, count: int) -> bytes:
        block = self._stream.read(min(count, self._left))
        self._left -= len(block)
        return block


def _unsafe_member(member: tarfile.TarInfo) -> str | None:
    """Return why a tar archive's member is not safe to read, None if it is."""
    reason = outside(member.name)
    if reason is not None:
        return reason
    if member.issym() or member.islnk():
        return "a link"
    if not (member.isreg() or member.isdir()) or member.issparse():
        return "a device, a pipe or a file with holes"
    return safety.too_large(member.name, member.size, member.size)


def open_container(stream: BinaryIO, shown: str, scratch: Scratch) -> Container:
    """Open an archive by its first bytes; the container owns the stream.

    Raises:
        UserError: it is no archive that is read here; the message says what it is.
    """
    try:
        with guarded(shown):
            found = identify(stream.read(HEAD))
            stream.seek(0)
        if found == ZIP:
            return Zip(stream, shown)
        if found == TAR:
            return Tar(stream, shown)
        if found in (GZIP, BZIP2, XZ):
            return _unpacked(stream, shown, scratch, found)
        raise not_read(shown, found)
    except BaseException:
        stream.close()
        raise


def not_read(shown: str, found: Format) -> UserError:
    """Return the error for a file that is no archive which is read here."""
    advice = found.advice or "give the folder or archive that holds all images"
    return UserError(f"{shown} is {found.name}; {advice}.")


def _unpacked(stream: BinaryIO, shown: str, scratch: Scratch, found: Format) -> Container:
    """Open a compressed tar archive, whose files can only be found when it is unpacked."""
    packed = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    opener: Any = {GZIP: gzip.open, BZIP2: bz2.open, XZ: lzma.open}[found]
    with guarded(shown), opener(stream) as plain:
        unpacked = scratch.copy(plain, shown, packed)
    inside = identify(unpacked.read(HEAD))
    unpacked.seek(0)
    if inside != TAR:
        unpacked.close()
        raise UserError(
            f"{shown} is {found.name} without a tar archive inside; unpack it and give the folder."
        )
    return Tar(unpacked, shown, packed=stream)
