"""Read official archives, zipped or unpacked, file by file without extracting them.

Paths that lead outside, links and decompression bombs are refused before anything is decoded.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from harness.errors import UserError
from harness.spec.dataset import Source

MEMBER_LIMIT = 256 * 2**20
"""Largest allowed file in bytes, uncompressed; the largest official image has 20 MiB."""

RATIO_LIMIT = 200
"""Largest allowed compression ratio of members over 1 MiB; deflate's own limit is 1032."""


class Folder(Source):
    """An unpacked archive: a folder."""

    def close(self) -> None:
        """Do nothing: no file is open between reads."""

    def names(self) -> list[str]:
        """Return the relative paths of all regular files below the folder.

        Raises:
            UserError: a link leads out of the folder.
        """
        root = self.path.resolve()
        names = []
        for path in sorted(self.path.rglob("*")):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise UserError(f"{path} is a link that leads out of {self.path}; remove it.")
            if path.is_file() and "__MACOSX" not in path.parts:
                names.append(path.relative_to(self.path).as_posix())
        return names

    def read(self, name: str) -> bytes:
        """Return the contents of a file.

        Raises:
            ValueError: it is larger than ``MEMBER_LIMIT``.
        """
        path = self.path / name
        if path.stat().st_size > MEMBER_LIMIT:
            raise ValueError(f"larger than {MEMBER_LIMIT >> 20} MiB")
        return path.read_bytes()


class Zip(Source):
    """A zip file whose whole directory is checked before a member is read."""

    def __init__(self, path: Path) -> None:
        """Open the file and check the names and sizes of all members.

        Raises:
            UserError: it is not a zip file, is encrypted, or has unsafe members.
        """
        super().__init__(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(
                f"{path} is not a zip file that can be read ({error}); download it again."
            ) from error
        self._members = {
            member.filename: member
            for member in self._zip.infolist()
            if not member.is_dir() and not member.filename.startswith("__MACOSX/")
        }
        unsafe = [
            f"{name!r} ({reason})"
            for name, member in self._members.items()
            if (reason := _unsafe(member))
        ]
        if unsafe:
            listed = ", ".join(unsafe[:5]) + (" ..." if len(unsafe) > 5 else "")
            raise UserError(f"{path} has members that are not safe to read: {listed}.")

    def names(self) -> list[str]:
        """Return the names of all files."""
        return sorted(self._members)

    def read(self, name: str) -> bytes:
        """Return the contents of a file.

        Raises:
            ValueError: it is damaged, or larger than ``MEMBER_LIMIT``.
        """
        try:
            with self._zip.open(self._members[name]) as stream:
                content = stream.read(MEMBER_LIMIT + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise ValueError(str(error)) from error
        if len(content) > MEMBER_LIMIT:
            raise ValueError(f"inflates to more than {MEMBER_LIMIT >> 20} MiB")
        return content

    def close(self) -> None:
        """Close the file."""
        self._zip.close()


def _unsafe(member: zipfile.ZipInfo) -> str | None:
    """Return why a member is not safe to read, None if it is."""
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ":" in name.parts[0]:
        return "absolute"
    if ".." in name.parts:
        return "leads out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link"
    if member.flag_bits & 1:
        return "encrypted"
    if member.file_size > MEMBER_LIMIT:
        return f"inflates to {member.file_size >> 20} MiB, more than {MEMBER_LIMIT >> 20}"
    stored = max(member.compress_size, 1)
    if member.file_size > 2**20 and member.file_size / stored > RATIO_LIMIT:
        return f"inflates {member.file_size // stored} times: a decompression bomb"
    return None


def open_source(path: Path) -> Source:
    """Open an archive or a folder.

    Raises:
        UserError: the path does not exist, or the archive is not safe to read.
    """
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise UserError(f"There is nothing at {path}; give the official archive or its folder.")
    return Zip(path)
