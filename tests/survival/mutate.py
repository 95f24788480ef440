"""Random damage of bytes: what disks, networks and attackers do to files."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

Random = np.random.Generator
T = TypeVar("T")

ODD = (b"", b"\0", b"\xff", b"..", b"/", b".", b"\xc3\x28", b"\x1b[31m", b"9" * 400, b"PK\1\2")
"""Bytes that readers tend to take badly."""

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


def pick(random: Random, among: Sequence[T]) -> T:
    """Return one of a sequence."""
    return among[int(random.integers(len(among)))]


def noise(random: Random, least: int, most: int) -> bytes:
    """Return ``least`` to ``most`` - 1 random bytes."""
    return bytes(random.integers(0, 256, int(random.integers(least, most)), dtype=np.uint8))


def damaged(random: Random, content: bytes, *, times: int = 4) -> bytes:
    """Return bytes with one to ``times`` random changes; they may be equal by chance."""
    data = bytearray(content)
    for _ in range(int(random.integers(1, times + 1))):
        _change(random, data)
    return bytes(data)


def _change(random: Random, data: bytearray) -> None:
    if not data:
        data += bytes(random.integers(0, 256, 8, dtype=np.uint8))
        return
    at = _place(random, len(data))
    match int(random.integers(9)):
        case 0:
            data[at] ^= 1 << int(random.integers(8))
        case 1:
            data[at] = int(random.integers(256))
        case 2:
            length = min(int(pick(random, (1, 4, 16, 512))), len(data) - at)
            data[at : at + length] = bytes(length)
        case 3:
            del data[at:]
        case 4:
            del data[at : at + int(random.integers(1, 32))]
        case 5:
            data[at:at] = bytes(
                random.integers(0, 256, int(random.integers(1, 32)), dtype=np.uint8)
            )
        case 6:  # a number in a header
            form = str(pick(random, ("<H", ">H", "<I", ">I", "<Q", ">Q", "B")))
            size = struct.calcsize(form)
            value = int(pick(random, NUMBERS)) % 2 ** (8 * size)
            data[at : at + size] = struct.pack(form, value)
        case 7:
            odd = pick(random, ODD)
            data[at : at + len(odd)] = odd
        case _:  # a piece of itself elsewhere
            begin = int(random.integers(len(data)))
            data[at:at] = data[begin : begin + int(random.integers(1, 64))]


def _place(random: Random, length: int) -> int:
    """Return a position, more often near the ends, where headers and directories are."""
    near = min(length, 64)
    match int(random.integers(4)):
        case 0:
            return int(random.integers(near))
        case 1:
            return length - 1 - int(random.integers(near))
        case _:
            return int(random.integers(length))


def instead(random: Random, path: Path, other: str) -> None:
    """Put a folder, a pipe or a link in the place of a removed file; ``other`` lies beside it."""
    match int(random.integers(5)):
        case 0:
            path.mkdir()
        case 1:
            path.symlink_to("nowhere")
        case 2:
            path.symlink_to(path.name)
        case 3:
            path.symlink_to(other)
        case _:
            os.mkfifo(path)
