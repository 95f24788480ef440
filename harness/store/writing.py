"""States that a thread writes while training goes on: the copy they are written from, the thread.

A copy takes as much host memory as the state: parameters, buffers and the optimiser's moments. From
a GPU it goes into page-locked memory, without the device being waited for.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn


class AbandonedError(Exception):
    """Ends a write that nobody waits for any more; its file does not take its place."""


class Writing:
    """A write by a thread of its own; ``wait`` raises what it failed with."""

    def __init__(self, write: Callable[[Callable[[], None]], object]) -> None:
        """Begin to write.

        Args:
            write: writes; it calls what it is given now and then, which raises ``AbandonedError``
                once the write is abandoned.
        """
        self._write = write
        self._error: BaseException | None = None
        self._abandoned = False
        # No daemon: Python waits for it at its end instead of cutting it off within C++ code.
        self._thread = threading.Thread(target=self._run, name="checkpoint")
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def wait(self) -> None:
        """Wait until the file has taken its place.

        Raises:
            Exception: whatever the write failed with.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Let the thread end soon, without a new file."""
        self._abandoned = True

    def _run(self) -> None:
        try:
            self._write(self._go_on)
        except BaseException as error:  # noqa: BLE001 (raised by ``wait``)
            self._error = error

    def _go_on(self) -> None:
        if self._abandoned:
            raise AbandonedError


def copied(state: Any) -> tuple[Any, Callable[[], None]]:
    """Return a copy of a state on the host, and what waits until it is complete.

    Tensors that share their memory do so in the copy. Training may change the state at once: what
    a GPU is told to do later comes after the copy.
    """
    copies: dict[int, Tensor] = {}
    made = _copied(state, copies)
    devices = {tensor.device for tensor in tensors(state) if tensor.is_cuda}
    events = [_event(device) for device in devices]

    def wait() -> None:
        for event in events:
            event.synchronize()

    return made, wait


def _event(device: torch.device) -> torch.cuda.Event:
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(device))
    return event


def _copied(value: Any, copies: dict[int, Tensor]) -> Any:
    """Copy tensors and their containers; ``copies`` holds the bytes by identity of the storage."""
    if isinstance(value, Tensor):
        return _copied_tensor(value, copies)
    if type(value) in (dict, OrderedDict):
        same = copy.copy(value)  # keeps the versions that torch hangs on a state dict
        for name, item in value.items():
            same[name] = _copied(item, copies)
        return same
    if type(value) in (list, tuple):
        return type(value)(_copied(item, copies) for item in value)
    return copy.deepcopy(value)


def _copied_tensor(tensor: Tensor, copies: dict[int, Tensor]) -> Tensor:
    if type(tensor) is nn.Parameter:
        copied = _copied_tensor(tensor.detach(), copies)
        return nn.Parameter(copied, requires_grad=tensor.requires_grad)
    strided = tensor.layout == torch.strided and not tensor.is_quantized
    if type(tensor) is not Tensor or not strided or tensor.is_conj() or tensor.is_neg():
        return copy.deepcopy(tensor.detach().cpu())
    storage = tensor.untyped_storage()
    identity = int(storage._cdata)
    if identity not in copies:
        there = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
        here = torch.empty(len(there), dtype=torch.uint8, pin_memory=tensor.is_cuda)
        copies[identity] = here.copy_(there, non_blocking=True)
    same = torch.empty(0, dtype=tensor.dtype)
    return same.set_(
        copies[identity].untyped_storage(),
        tensor.storage_offset(),
        tensor.size(),
        tensor.stride(),
    ).requires_grad_(tensor.requires_grad)


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested dictionaries, lists and tuples."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)


def size_of(state: Any) -> int:
    """Return the bytes of a state's tensors; memory that several share counts once."""
    storages = {int(s._cdata): s for s in (t.untyped_storage() for t in tensors(state))}
    return sum(storage.nbytes() for storage in storages.values())
