"""Files that were cut into parts, NAME.zip.001, NAME.zip.002, ..., read as one."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from harness.data.formats import HEAD, identify
from harness.errors import UserError, listed

PART = re.compile(r"(?P<whole>.+\.(zip|tar|tgz|gz|bz2|xz|7z|rar))\.(?P<number>\d{2,3})", re.I)
"""Name of a part; numbers start at 001, or at 00 as `split -d` counts."""


class Parts(NamedTuple):
    """The parts of one file.

    Attributes:
        whole: name of the file that they are parts of.
        names: of the parts, in order.
    """

    whole: str
    names: tuple[str, ...]


def find_parts(names: Sequence[str]) -> list[Parts]:
    """Return all files of which there are parts, by name."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        match = PART.fullmatch(name)
        if match:
            found.setdefault(match["whole"], []).append(name)
    return [Parts(whole, tuple(parts)) for whole, parts in sorted(found.items())]


def join(parts: Parts, streams: Sequence[BinaryIO], shown: str) -> BinaryIO:
    """Return the parts' streams, which it closes, as one stream.

    Args:
        parts: names of the parts.
        streams: one per part.
        shown: path of the whole file in messages.

    Raises:
        UserError: a part is missing or cut short.
    """
    opened = _Joined(streams)
    try:
        _check(parts, opened.lengths, shown)
        if identify(streams[0].read(HEAD)).role != "archive":
            name = parts.names[0]
            raise UserError(
                f"{shown}: {name} does not start an archive that is read here; unpack it"
                f" (7z x {Path(name).name}) and give the folder."
            )
    except BaseException:
        opened.close()
        raise
    return cast(BinaryIO, io.BufferedReader(opened, 2**16))


def _check(parts: Parts, lengths: Sequence[int], shown: str) -> None:
    """Check that numbers follow each other and that all parts but the last are of one length."""
    numbers = [int(name.rpartition(".")[2]) for name in parts.names]
    digits = len(parts.names[0].rpartition(".")[2])
    expected = range(min(numbers[0], 1), numbers[-1] + 1)
    missing = [f"{parts.whole}.{n:0{digits}}" for n in expected if n not in numbers]
    if missing:
        raise UserError(
            f"{shown}: {len(missing)} of its parts are missing: {listed(missing)};"
            " put them beside the others."
        )
    short = [
        f"{name} ({length} bytes)"
        for name, length in zip(parts.names[:-1], lengths[:-1], strict=True)
        if length != max(lengths)
    ]
    if short:
        raise UserError(
            f"{shown}: parts are shorter than the others ({max(lengths)} bytes): {listed(short)};"
            " download these again."
        )


class _Joined(io.RawIOBase):
    """Several streams one after the other."""

    def __init__(self, streams: Sequence[BinaryIO]) -> None:
        self._streams = list(streams)
        self.lengths = [stream.seek(0, os.SEEK_END) for stream in streams]
        self._position = 0
        streams[0].seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: sum(self.lengths)}
        self._position = starts[whence] + offset
        if self._position < 0:
            raise OSError("seek before the start")
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        start = 0
        for stream, length in zip(self._streams, self.lengths, strict=True):
            if self._position < start + length:
                stream.seek(self._position - start)
                block = stream.read(min(len(buffer), start + length - self._position))
                buffer[: len(block)] = block
                self._position += len(block)
                return len(block)
            start += length
        return 0

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
        super().close()


def cut_short(error: UserError, parts: Parts) -> UserError:
    """Return the error of a joined archive with the guess that its last parts are missing."""
    return UserError(f"{error} Is a part after {parts.names[-1]} missing?")
