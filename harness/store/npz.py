"""Arrays of the .npz files that ``numpy.savez_compressed`` writes, faster than ``numpy.load``.

numpy parses every header as Python source, and zipfile every member twice. Only the layout that
numpy writes is read here; for anything else the caller asks numpy, which says what is wrong.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np

_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_DEFLATED = 8
_UTF8 = 0x800
"""Flag of a member whose name is no ASCII; all others change how a member is read."""

MOST = 2**26
"""Bytes of the arrays of a file that are read here; of more, the time goes elsewhere."""

SHARED = ("names", "labels")
"""Arrays of the images, which hundreds of runs share."""

MOST_SHARED = 64
"""Different arrays of these that are remembered; more are forgotten together."""

_SAME: dict[tuple[str, bytes], np.ndarray] = {}


def arrays(content: bytes) -> dict[str, np.ndarray] | None:
    """Return the arrays of a file, which cannot be written to; None unless numpy wrote it.

    Equal names and labels of images are one array in all files.
    """
    try:
        return {name: _array(name, npy) for name, npy in _members(content)}
    except (_OtherError, struct.error, zlib.error, ValueError, TypeError):
        return None


class _OtherError(Exception):
    """The file has another layout."""


def _members(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every member."""
    magic, *numbers, count, size, start, comment = _END.unpack(content[-_END.size :])
    disk, first_disk, on_disk = numbers
    position = len(content) - _END.size
    if magic != b"PK\5\6" or disk or first_disk or on_disk != count or comment:
        raise _OtherError
    if start + size != position:
        raise _OtherError
    total = 0
    position = start
    names = set()
    for _ in range(count):
        fields = _CENTRAL.unpack_from(content, position)
        magic, _, _, flags, method, _, _, crc, packed, whole, long, extra, note, disk, _, _, at = (
            fields
        )
        position += _CENTRAL.size
        name = content[position : position + long].decode()
        position += long
        total += whole
        if magic != b"PK\1\2" or flags & ~_UTF8 or method != _DEFLATED or extra or note or disk:
            raise _OtherError
        if not name.endswith(".npy") or name in names or total > MOST:
            raise _OtherError
        names.add(name)
        yield name.removesuffix(".npy"), _inflated(content, at, packed, whole, crc, name)
    if position != start + size:
        raise _OtherError


def _inflated(content: bytes, at: int, packed: int, whole: int, crc: int, name: str) -> bytes:
    """Return the content of a member, checked by its size and checksum."""
    magic, _, flags, method, _, _, _, _, _, long, extra = _LOCAL.unpack_from(content, at)
    begin = at + _LOCAL.size
    if magic != b"PK\3\4" or flags & ~_UTF8 or method != _DEFLATED:
        raise _OtherError
    if content[begin : begin + long].decode() != name:
        raise _OtherError
    begin += long + extra
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    text = inflate.decompress(content[begin : begin + packed], whole + 1)
    if len(text) != whole or not inflate.eof or zlib.crc32(text) != crc:
        raise _OtherError
    return text


def _array(name: str, npy: bytes) -> np.ndarray:
    shared = name in SHARED
    if shared and (known := _SAME.get((name, npy))) is not None:
        return known
    if npy[:8] != b"\x93NUMPY\1\0":
        raise _OtherError
    begin = 10 + int.from_bytes(npy[8:10], "little")
    shape, dtype = _header(npy[8:begin])
    array = np.frombuffer(npy, dtype, offset=begin)
    if array.size != _count(shape):
        raise _OtherError
    array = array.reshape(shape)
    if shared:
        if len(_SAME) >= MOST_SHARED:
            _SAME.clear()
        _SAME[name, npy] = array
    return array


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


@functools.lru_cache(maxsize=1024)
def _header(text: bytes) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type of the array after a header, which has its length in front."""
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(text))
    if is_fortran or dtype.hasobject or dtype.itemsize == 0 or 0 in shape:
        raise _OtherError
    return shape, dtype
