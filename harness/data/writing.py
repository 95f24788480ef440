"""Write the arrays of a data store image by image, in memory that does not grow with the store."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.data import formats, twins
from harness.data.blocks import header
from harness.data.contents import IMAGES, MASKS
from harness.data.decode import Decoded
from harness.data.twins import TwinRules
from harness.errors import UserError
from harness.spec.dataset import Dataset, Item, Listing, PartName

IN_FLIGHT = 512 * 2**20
"""Bytes that the images being decoded at one time may take."""

BYTES_PER_PIXEL = 12
"""Bytes per pixel of an image while it is decoded: the file, its channels and their copies."""

Decoder = Callable[[Item], Decoded]
"""Decodes an item; raises ``ValueError`` if it cannot."""

Advance = Callable[[int, int], None]
"""Called with the number of decoded images and their total."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Input of the writing of one data store.

    Attributes:
        dataset: the data set.
        items: its images, sorted by name.
        decoder: decodes an item.
        size: side of the stored images in pixels.
        workers: decoding threads (PIL releases Python's lock), by default one per core.
        advance: called after each decoded image.
        archives: what was read, by name, with its checksum.
        remarks: sentences of the reader, which the store keeps.
        given: part by name of a user's split; None without one.
        rules: when two images are near-twins.
    """

    dataset: Dataset
    items: Listing
    decoder: Decoder
    size: int
    workers: int | None = None
    advance: Advance = lambda done, total: None
    archives: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    given: Mapping[str, PartName | None] | None = None
    rules: TwinRules = twins.RULES


@dataclass(frozen=True, kw_only=True)
class Written:
    """What is known of the written images, by row.

    Attributes:
        sizes: (n, 2) int64, original height and width in pixels.
        pixels: hash of each image's original pixels.
        sketches: (n, ``twins.SKETCH``) uint8, by which near-twins are found.
        shapes: of the arrays that were written, by file name.
    """

    sizes: np.ndarray
    pixels: list[str]
    sketches: np.ndarray
    shapes: Mapping[str, tuple[int, ...]]


class Rows:
    """A new ``.npy`` file of uint8 rows that are written at their places, in any order.

    The rows go through the file, not through a memory map: pages of a map that have been written
    count as the process's memory until they are on the disk.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        """Create the file with all of its disk space.

        Raises:
            OSError: the disk has less space.
        """
        self._shape = shape[1:]
        self._stride = int(np.prod(self._shape))
        path.write_bytes(header(shape))
        self._begin = len(header(shape))
        self._handle = os.open(path, os.O_RDWR)
        try:
            # A full disk is met here, not after hours of decoding.
            os.posix_fallocate(self._handle, 0, self._begin + shape[0] * self._stride)
        except OSError:
            os.close(self._handle)
            raise

    def write(self, row: int, values: np.ndarray) -> None:
        """Write one row; several threads may write different rows."""
        if values.shape != self._shape or values.dtype != np.uint8:
            raise ValueError(f"a row of {values.dtype} {values.shape}, not uint8 {self._shape}")
        content = np.ascontiguousarray(values).data.cast("B")
        begin = self._begin + row * self._stride
        while content:
            written = os.pwrite(self._handle, content, begin)
            content, begin = content[written:], begin + written

    def close(self) -> None:
        """Write the file to the disk and close it."""
        try:
            os.fsync(self._handle)
        finally:
            os.close(self._handle)


def decode_all(work: Work, folder: Path) -> Written:
    """Decode all items into ``images.npy`` and ``masks.npy``; return what else is known of them.

    Raises:
        UserError: items cannot be decoded; the message names the first and counts all.
        OSError: the files cannot be written.
    """
    count, size = len(work.items), work.size
    shapes: dict[str, tuple[int, ...]] = {IMAGES: (count, size, size, work.dataset.channels)}
    if any(item.masks for item in work.items):
        shapes[MASKS] = (count, size, size)
    with contextlib.ExitStack() as opened:
        rows = {}
        for name, shape in shapes.items():
            rows[name] = Rows(folder / name, shape)
            opened.callback(rows[name].close)
        return _decode_into(work, rows[IMAGES], rows.get(MASKS), shapes)


def write_array(path: Path, values: np.ndarray) -> None:
    """Write a whole array (n, ...) of uint8 as ``.npy``.

    Raises:
        OSError: the file cannot be written.
    """
    rows = Rows(path, values.shape)
    try:
        for row, value in enumerate(values):
            rows.write(row, value)
    finally:
        rows.close()


@dataclass(frozen=True, kw_only=True)
class _Target:
    """Where decoded items go: the files of arrays, and what is kept in memory by row."""

    images: Rows
    masks: Rows | None
    written: Written

    def decode(self, work: Work, row: int) -> str | None:
        """Decode and write one item; return why it cannot be decoded, None if it was."""
        try:
            decoded = work.decoder(work.items[row])
        except ValueError as error:
            return str(error)
        self.images.write(row, decoded.image)
        if self.masks is not None and decoded.mask is not None:
            self.masks.write(row, decoded.mask)
        self.written.sizes[row], self.written.pixels[row] = decoded.size, decoded.pixels
        self.written.sketches[row] = decoded.sketch
        return None


def _decode_into(
    work: Work, images: Rows, masks: Rows | None, shapes: Mapping[str, tuple[int, ...]]
) -> Written:
    count = len(work.items)
    written = Written(
        sizes=np.zeros((count, 2), np.int64),
        pixels=[""] * count,
        sketches=np.zeros((count, twins.SKETCH), np.uint8),
        shapes=shapes,
    )
    target = _Target(images=images, masks=masks, written=written)
    broken: list[str] = []
    workers = work.workers or os.cpu_count() or 1
    pending: deque[Future[str | None]] = deque()
    done, largest = 0, 0
    with ThreadPoolExecutor(workers) as pool:
        try:
            for row in range(count + 1):
                # After the last item all that is pending is waited for.
                limit = 1 if row == count else _at_once(largest, workers)
                while len(pending) >= limit:
                    problem = pending.popleft().result()
                    if problem is not None:
                        broken.append(problem)
                    largest = max(largest, int(written.sizes[done].prod()))
                    done += 1
                    work.advance(done, count)
                if row < count:
                    pending.append(pool.submit(target.decode, work, row))
        except BaseException:
            # The rest is not decoded in vain before the error or the interruption is told.
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if broken:
        raise UserError(
            f"{work.dataset.title}: {len(broken)} files cannot be used:"
            f" {formats.grouped(broken)}; nothing was written."
        )
    return written


def _at_once(largest: int, workers: int) -> int:
    """Return how many images may be decoded at one time.

    Args:
        largest: pixels of the largest image so far; 0 before the first.
        workers: number of threads.
    """
    if largest == 0:
        return 1
    # Twice the threads, so that none waits for the image that is the next in order.
    return max(1, min(2 * workers, IN_FLIGHT // (largest * BYTES_PER_PIXEL)))
