"""The file of a stage's state: one line with the SHA-256 of the rest, then what torch saved."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from harness import files
from harness.errors import Damaged, UserError

FORMAT = 2
"""Version of the layout of a state that is written; 1 had neither the first line nor attempts."""

MAGIC = b"msmae-harness state 2 "
"""Begin of the first line of a state; the fence, the digest in hex and a line feed follow."""

DIGITS = 10
"""Digits of the fence: a number that each owner of a stage raises, see ``Checkpoints.load``."""

BETWEEN = b" sha256 "
"""Between the fence and the digest, which is that of the fence and all that follows the line."""

BEGIN = len(MAGIC) + DIGITS + len(BETWEEN)
"""Bytes of the first line before the digest."""

HEADER = BEGIN + 64 + 1
"""Bytes of the first line."""

UNREADABLE = (
    RuntimeError,
    OSError,
    pickle.UnpicklingError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What torch and zipfile raise for a file with some wrong bytes."""


def write(
    path: Path,
    key: str,
    state: Mapping[str, Any],
    *,
    fence: int = 0,
    before: Callable[[], object] | None = None,
    go_on: Callable[[], object] | None = None,
) -> None:
    """Write a state atomically.

    Args:
        path: of the file.
        key: of the stage.
        state: plain values and tensors by name.
        fence: of the owner that writes.
        before: see ``harness.files.write_atomically``.
        go_on: called before every piece that is written; what it raises ends the write.
    """
    content = {"format": FORMAT, "key": key, **state}

    number = f"{fence:0{DIGITS}}".encode()

    def fill(stream: Any) -> None:
        stream.write(MAGIC + number + BETWEEN + b"0" * 64 + b"\n")
        payload: Any = _Payload(stream, go_on)
        payload.digest.update(number)
        torch.save(content, payload)
        stream.seek(BEGIN)
        stream.write(payload.digest.hexdigest().encode())

    files.write_atomically(path, fill, before=before)


class _Payload(files.Recorder):
    """What torch writes into; it can be told to stop."""

    def __init__(self, stream: Any, go_on: Callable[[], object] | None) -> None:
        super().__init__(stream)
        self._go_on = go_on

    def write(self, content: Any) -> int:
        if self._go_on is not None:
            self._go_on()
        return super().write(content)


def read(path: Path, key: str) -> dict[str, Any]:
    """Return a state.

    Raises:
        Damaged: the file is no state of ``key``, or was changed.
        UserError: the disk failed.
    """
    name = f"The checkpoint {path}"
    try:
        with files.open_regular(path) as stream:
            offset = _checked(stream, name)
            # torch raises each of these for a truncated or foreign file.
            payload = io.BufferedReader(_Rest(stream, offset))
            state = torch.load(payload, map_location="cpu", weights_only=True)
    except Damaged as error:
        raise Damaged(name, error.what) from error
    except UserError:
        raise  # it may not be read: nothing is known of it
    except UNREADABLE as error:
        if failed := files.disk_error(error):
            raise files.cannot_read(path, failed) from error
        raise Damaged(name, "cannot be read (truncated?)") from error
    version = state.get("format") if isinstance(state, dict) else None
    if version != (FORMAT if offset else 1):
        raise Damaged(name, f"has format {version!r}, this version reads {FORMAT}")
    if state.get("key") != key:
        raise Damaged(name, "belongs to another stage")
    return dict(state)


def _checked(stream: io.BufferedReader, name: str) -> int:
    """Return where the content of a state begins, after checking all of it.

    Raises:
        Damaged: the content is not what was written.
    """
    line = stream.read(HEADER)
    stream.seek(0)
    if line.startswith(b"PK"):  # of format 1, whose parts have the checksums of a ZIP archive
        with zipfile.ZipFile(stream) as archive:
            if archive.testzip() is not None:
                raise Damaged(name, "was changed after it was written: a checksum is another")
        stream.seek(0)
        return 0
    if not line.startswith(MAGIC) or len(line) < HEADER:
        raise Damaged(name, "is no checkpoint of this version, or its begin is damaged")
    number = line[len(MAGIC) : len(MAGIC) + DIGITS]
    stream.seek(HEADER)
    found = hashlib.file_digest(stream, lambda: hashlib.sha256(number)).hexdigest()
    if line[len(MAGIC) + DIGITS :] != BETWEEN + found.encode() + b"\n":
        raise Damaged(name, "was changed after it was written: its SHA-256 is another")
    return HEADER


def fence_of(path: Path) -> int | None:
    """Return the fence that a state's first line names; None where the line is no such line.

    A state of format 1 has none, which counts as 0. Whether the number is the one that was written
    is checked when the state is read.
    """
    try:
        with files.open_regular(path) as stream:
            line = stream.read(HEADER)
    except Damaged:
        return None
    number = line[len(MAGIC) : len(MAGIC) + DIGITS]
    if len(line) == HEADER and line.startswith(MAGIC) and number.isdigit():
        return int(number)
    return 0 if line.startswith(b"PK") else None


class _Rest(io.RawIOBase):
    """The rest of a file from an offset on, as a file of its own, which torch needs."""

    def __init__(self, stream: io.BufferedReader, offset: int) -> None:
        self._stream, self._offset = stream, offset
        stream.seek(offset)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return int(self._stream.readinto(buffer))

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            position += self._offset
        return self._stream.seek(position, whence) - self._offset

    def tell(self) -> int:
        return self._stream.tell() - self._offset
