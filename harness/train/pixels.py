"""Pixels of a part of a data set: on the device, or in the store's file where memory is short."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harness.console import note
from harness.data.prepared import ImageStore

SHARE = {"cpu": 0.7, "cuda": 0.5}
"""Largest share of the free memory that images may take; the rest is for the training step."""

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may use."""

CHUNK = 256
"""Images moved to the device at once."""


class StoredPixels:
    """Pixels that are read from the store's file at each use, with the numbers of those in memory.

    It has the parts of a tensor (N, C, S, S) uint8 that training and evaluation use.
    """

    def __init__(self, store: ImageStore, side: int, device: torch.device) -> None:
        """Set the images, the side S at which they are wanted, and where they are used."""
        self._store, self.side, self.device = store, side, device

    def __len__(self) -> int:
        """Count the images."""
        return len(self._store)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Return the images of rows (B,), (B, C, S, S) uint8, on the device."""
        return self.read(rows.cpu()).to(self.device)

    def read(self, rows: Tensor) -> Tensor:
        """Return the images of rows (B,), both on the CPU, (B, C, S, S) uint8."""
        return _read(self._store.take(rows.numpy()), self.side)

    def split(self, count: int) -> Iterator[Tensor]:
        """Yield all images in order, ``count`` at a time."""
        for rows in torch.arange(len(self)).split(count):
            yield self[rows]


Pixels = Tensor | StoredPixels
"""(N, C, S, S) uint8, C = 1 or 3."""


def load(
    store: ImageStore, side: int, device: torch.device, *, free: float | None = None
) -> Pixels:
    """Load images onto the device; where they take too much of its memory, leave them in the file.

    Args:
        store: the images.
        side: wanted side; smaller stored images keep theirs.
        device: where they are used.
        free: free bytes of the device's memory; None asks for them.
    """
    count, channels = len(store), store.images.shape[3]
    side = min(side, store.images.shape[1])
    needed = count * channels * side**2
    room = SHARE[device.type] * (free_memory(device)[0] if free is None else free)
    if needed > room:
        note(
            f"{count} images of {store.dataset} take {needed / 1e9:.1f} GB, more than"
            f" {SHARE[device.type]:.0%} of the {room / SHARE[device.type] / 1e9:.1f} GB that are"
            f" free in {free_memory(device)[1]}: they are read from the store's file at each step,"
            " which is slower and gives the same numbers."
        )
        return StoredPixels(store, side, device)
    pixels = torch.empty((count, channels, side, side), dtype=torch.uint8, device=device)
    # By chunks: a second copy of all images might not fit beside the first.
    for begin in range(0, count, CHUNK):
        rows = np.arange(begin, min(begin + CHUNK, count))
        pixels[begin : begin + len(rows)] = _read(store.take(rows), side)
    return pixels


def _read(store: ImageStore, side: int) -> Tensor:
    return torch.from_numpy(store.load(side)).permute(0, 3, 1, 2).contiguous()


def free_memory(device: torch.device) -> tuple[float, str]:
    """Return the free bytes of the memory in which a device trains, and that memory's name."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0]), "the GPU's memory"
    import psutil

    available = float(psutil.virtual_memory().available)
    return min(available, _container_free()), "this machine's memory"


def _container_free() -> float:
    """Return the free bytes under the limit of this process's container; infinite without one."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            return float(int((CGROUP / limit).read_text()) - int((CGROUP / used).read_text()))
        except (OSError, ValueError):
            # No such file in this version of Linux's interface, or the text "max": no limit.
            continue
    return float("inf")
