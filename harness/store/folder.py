"""Writes the files of a folder at once: all of them or none, and over no other content."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import files
from harness.errors import UserError, listed


def write(folder: Path, contents: Mapping[str, bytes], *, force: bool = False) -> None:
    """Write files into a folder, which appears with all of them where it did not exist.

    Args:
        folder: of the files.
        contents: by name.
        force: overwrite files of these names; other files are left as they are.

    Raises:
        UserError: the folder has other content, or the disk cannot be written.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"{folder} is no folder; choose another one with --to.")
    try:
        existing = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        if not existing:
            _write_new(folder, contents)
            return
        differing = [name for name in existing if not _is(folder / name, contents.get(name))]
        if differing and not force:
            raise UserError(
                f"{folder} has other content ({listed(differing)}); choose another folder with"
                " --to, or overwrite files of the same names with --force."
            )
        for name, content in contents.items():
            files.write_atomically(folder / name, functools.partial(_put, content))
    except OSError as error:
        raise files.cannot_write(folder, error) from error


def _put(content: bytes, stream: Any) -> None:
    stream.write(content)


def _is(path: Path, content: bytes | None) -> bool:
    return content is not None and path.is_file() and path.read_bytes() == content


def _write_new(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write into a temporary folder, and rename it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name, content in contents.items():
            with (temporary / name).open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        temporary.chmod(0o777 & ~_umask())  # as a folder that mkdir makes
        temporary.rename(folder)  # over an empty folder, too
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
