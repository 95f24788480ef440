"""Arrays of a data store on the disk, whose bytes are compared with checksums as they are read.

A file is divided into blocks of whole rows, about 1 MiB each. The SHA-256 of every block lies in
``blocks.json``, whose own SHA-256 the manifest holds. Bytes are read into memory, not mapped: those
that were hashed are those that are used, and a failing disk is an error instead of a signal that
ends the process.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.lib import format as npy

from harness import files
from harness.errors import Damaged, listed, shown

BLOCK = 2**20
"""Bytes of a block, of which there is at least one row in each."""

HEX = 2 * hashlib.sha256().digest_size
"""Hexadecimal digits of a checksum."""

SPARSE = 4
"""A block that was checked before is read whole where more than 1 of so many rows is wanted."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Checksums of the file of an array (n, ...) of uint8.

    Attributes:
        shape: of the array.
        rows: rows of a block; the last block may have fewer.
        digests: SHA-256 (hex) of all blocks, one behind the other.
    """

    shape: tuple[Annotated[int, msgspec.Meta(ge=0, le=2**40)], ...]
    rows: Annotated[int, msgspec.Meta(ge=1)]
    digests: str

    @property
    def count(self) -> int:
        """Number of blocks."""
        return -(-self.shape[0] // self.rows)

    def of(self, block: int) -> range:
        """Return the rows of a block."""
        return range(block * self.rows, min((block + 1) * self.rows, self.shape[0]))


def header(shape: tuple[int, ...]) -> bytes:
    """Return the first bytes of the ``.npy`` file of an array of uint8."""
    stream = io.BytesIO()
    described = {"descr": "|u1", "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(stream, described)
    return stream.getvalue()


def describe(path: Path, shape: tuple[int, ...]) -> tuple[str, Blocks]:
    """Read a new file once; return the SHA-256 of all of it, and its blocks.

    Raises:
        OSError: it cannot be read.
    """
    stride = int(np.prod(shape[1:]))
    rows = max(1, BLOCK // max(stride, 1))
    digests = []
    with path.open("rb") as stream:
        whole = hashlib.sha256(stream.read(len(header(shape))))
        while block := stream.read(rows * stride):
            whole.update(block)
            digests.append(hashlib.sha256(block).hexdigest())
    return whole.hexdigest(), Blocks(shape=shape, rows=rows, digests="".join(digests))


class Changed(Damaged):
    """A block of a file is not what was written."""


class StoredArray:
    """An array (n, ...) of uint8 in a store's file; a block is checked when it is first read.

    It is indexed as a NumPy array is, and gives NumPy arrays in memory.

    Attributes:
        shape: of the array.
        dtype: uint8.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, blocks: Blocks, names: Sequence[str], advice: str = "") -> None:
        """Open the file and check its length and its first bytes; the rows are read on use.

        Args:
            path: of the file.
            blocks: its checksums.
            names: of the n images, for errors.
            advice: a sentence for errors that says what to do.

        Raises:
            Damaged: the file is missing, or has another length or header.
        """
        self.shape = tuple(blocks.shape)
        self._path, self._blocks, self._names, self._advice = path, blocks, names, advice
        self._stride = int(np.prod(self.shape[1:], dtype=np.int64))
        self._checked = np.zeros(blocks.count, bool)
        # One for all blocks: new memory for each would cost as much as reading it.
        self._buffer = np.empty((min(blocks.rows, len(self)), self._stride), np.uint8)
        self._lock = threading.Lock()
        if len(blocks.digests) != HEX * blocks.count:
            raise self._damaged("has checksums of another number of blocks")
        try:
            self._handle = files.open_handle(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._damaged("is missing") from error
        # The file stays this one even where a new store takes the place of this one meanwhile.
        weakref.finalize(self, os.close, self._handle)
        expected = header(self.shape)
        self._begin = len(expected)
        length = os.fstat(self._handle).st_size
        if length != self._begin + self.shape[0] * self._stride:
            raise self._damaged(
                f"has {length} bytes instead of {self._begin + self.shape[0] * self._stride}"
            )
        first = bytearray(self._begin)
        self._fill(memoryview(first), 0)
        if first != expected:
            raise self._damaged("has changed: its first bytes do not describe the array")

    def __len__(self) -> int:
        """Return the number of rows n."""
        return int(self.shape[0])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return rows, or parts of them, in memory."""
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        if isinstance(first, int | np.integer):
            row: np.ndarray = self.rows(np.asarray([range(len(self))[int(first)]]))[0]
            return row[rest] if rest else row
        if isinstance(key, tuple) or first is None or first is Ellipsis:
            chosen: np.ndarray = np.asarray(self)[key]
            return chosen
        return self.rows(np.arange(len(self))[first])

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        """Return the whole array in memory."""
        if copy is False:
            raise ValueError("the array lies in a file; it cannot be had without a copy")
        return self.rows(np.arange(len(self))).astype(dtype or self.dtype, copy=False)

    def rows(self, wanted: np.ndarray) -> np.ndarray:
        """Return rows (m,) of any order, (m, ...) uint8.

        Raises:
            Damaged: their blocks are not those that were prepared; the message names the images.
        """
        result = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        if not len(wanted):
            return result
        flat = result.reshape(len(wanted), self._stride)
        order = np.argsort(wanted, kind="stable")
        ordered = wanted[order]
        numbers, starts = np.unique(ordered // self._blocks.rows, return_index=True)
        ends = [*starts[1:].tolist(), len(ordered)]
        for block, begin, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
            self._copy(block, ordered[begin:end], order[begin:end], flat)
        return result

    def _copy(self, block: int, rows: np.ndarray, places: np.ndarray, target: np.ndarray) -> None:
        """Copy rows of one block to their places (rows of ``target``)."""
        held = self._blocks.of(block)
        if self._checked[block] and len(rows) * SPARSE < len(held):
            for row, place in zip(rows.tolist(), places.tolist(), strict=True):
                self._fill(target[place].data, self._begin + row * self._stride)
            return
        first = int(places[0])
        alone = len(rows) == len(held) and np.array_equal(
            places, np.arange(first, first + len(rows))
        )
        if alone and np.array_equal(rows, held):
            self._read(block, target[first : first + len(rows)])
            return
        with self._lock:
            content = self._buffer[: len(held)]
            self._read(block, content)
            target[places] = content[rows - held.start]

    def _read(self, block: int, target: np.ndarray) -> None:
        """Read a block into an array (rows, bytes of a row), and check it unless it was."""
        held = self._blocks.of(block)
        view = target.reshape(-1).data
        self._fill(view, self._begin + held.start * self._stride)
        if self._checked[block]:
            return
        expected = self._blocks.digests[block * HEX : (block + 1) * HEX]
        if hashlib.sha256(view).hexdigest() != expected:
            raise Changed(shown(self._path), self.changed_at(held), self._advice)
        self._checked[block] = True

    def changed_at(self, rows: Sequence[int]) -> str:
        """Return the clause that names the images of changed rows."""
        names = [shown(self._names[row]) for row in rows]
        where = f"image {names[0]}" if len(names) == 1 else f"{len(names)} images ({listed(names)})"
        return f"has changed since it was prepared, at {where}"

    def _fill(self, view: memoryview, begin: int) -> None:
        while len(view):
            try:
                count = os.preadv(self._handle, [view], begin)
            except OSError as error:
                raise files.cannot_read(self._path, error) from error
            if not count:
                raise self._damaged("has become shorter while it was read")
            view, begin = view[count:], begin + count

    def damage(self) -> list[str]:
        """Read all blocks once more; return what is wrong with the file."""
        self._checked[:] = False
        content = np.empty((min(self._blocks.rows, len(self)), self._stride), np.uint8)
        changed: list[int] = []
        wrong: list[str] = []
        for block in range(self._blocks.count):
            held = self._blocks.of(block)
            try:
                self._read(block, content[: len(held)])
            except Changed:
                changed += held
            except Damaged as error:
                wrong = [*wrong, error.what] if error.what not in wrong else wrong
        return [*([self.changed_at(changed)] if changed else []), *wrong]

    def _damaged(self, what: str) -> Damaged:
        return Damaged(shown(self._path), what, self._advice)


Rows = np.ndarray | StoredArray
"""Rows of images or masks: in memory, or in a store's file."""


def check(content: bytes, expected: str, path: Path, advice: str) -> None:
    """Check that a file's content has a SHA-256 (hex).

    Raises:
        Damaged: it does not.
    """
    if hashlib.sha256(content).hexdigest() != expected:
        raise Damaged(shown(path), "has changed since it was prepared", advice)


def as_json(described: Mapping[str, Blocks]) -> bytes:
    """Return the content of ``blocks.json``."""
    return msgspec.json.encode(msgspec.to_builtins(described))
