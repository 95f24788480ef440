"""A step's random draws: made one step ahead, and moved to the device by one copy.

Draws are made on the CPU, in the order of the steps, by one thread at a time: they are the same
numbers whether they are made ahead or not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

ALIGNED = 64
"""Bytes to whose multiples tensors are aligned in a buffer."""


def helps(device: torch.device) -> bool:
    """Whether draws are made ahead for a device, and packed: where steps run beside the CPU."""
    return device.type == "cuda"


def each(draw: Callable[[int], T], steps: int, *, ahead: bool) -> Iterator[T]:
    """Yield the draws of all steps in order.

    Args:
        draw: makes those of a step.
        steps: their number.
        ahead: whether a thread makes the next step's while the caller uses the present one's.
            What it raises is raised here, with its traceback.
    """
    if not ahead:
        yield from map(draw, range(steps))
        return
    with ThreadPoolExecutor(1, thread_name_prefix="draws") as thread:
        coming = thread.submit(draw, 0)
        for step in range(steps):
            present = coming.result()
            if step + 1 < steps:
                coming = thread.submit(draw, step + 1)
            yield present


@dataclasses.dataclass(frozen=True)
class Packed:
    """CPU tensors of a tree, together in one buffer.

    Attributes:
        tree: the tree; every tensor is a part of the buffer.
        buffer: (bytes,) uint8.
    """

    tree: Any
    buffer: Tensor

    def on(self, device: torch.device) -> Any:
        """Return the tree with its tensors on a device, moved by one asynchronous copy.

        Parts whose class does not set ``moves`` keep their tensors on the CPU: code that uses them
        decides by their values, and copies what it needs from the buffer, which does not wait.
        """
        moved = self.buffer.to(device, non_blocking=True)

        def place(part: Tensor) -> Tensor:
            begin = part.storage_offset() * part.element_size()
            size = part.numel() * part.element_size()
            placed: Tensor = moved[begin : begin + size].view(part.dtype).view(part.shape)
            return placed

        return _mapped(self.tree, place, lambda part: getattr(part, "moves", False))


def packed(tree: T, device: torch.device) -> T | Packed:
    """Return a tree ready to be moved to a device, or as it is where nothing has to be moved."""
    return pack(tree, pinned=device.type == "cuda") if helps(device) else tree


def pack(tree: Any, *, pinned: bool) -> Packed:
    """Copy all tensors of a tree into one buffer.

    Args:
        tree: of tensors on the CPU, tuples, lists, mappings and data classes; other values are
            kept.
        pinned: whether the buffer is memory that a device reads without help of the CPU.
    """
    sizes: list[int] = []

    def measure(part: Tensor) -> Tensor:
        sizes.append(-(-part.numel() * part.element_size() // ALIGNED) * ALIGNED)
        return part

    _mapped(tree, measure, lambda _: True)
    # torch keeps freed pinned memory until copies from it have ended, and then gives it out again.
    buffer = torch.empty(sum(sizes), dtype=torch.uint8, pin_memory=pinned)
    room = zip(buffer.split(sizes), sizes, strict=True) if sizes else iter(())

    def store(part: Tensor) -> Tensor:
        space, _ = next(room)
        size = part.numel() * part.element_size()
        stored: Tensor = space[:size].view(part.dtype).view(part.shape).copy_(part)
        return stored

    return Packed(_mapped(tree, store, lambda _: True), buffer)


def _mapped(tree: Any, function: Callable[[Tensor], Tensor], enters: Callable[[Any], bool]) -> Any:
    """Return a tree with a function applied to its tensors, in the data classes to be entered."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, (tuple, list)):
        return type(tree)(_mapped(part, function, enters) for part in tree)
    if isinstance(tree, Mapping):
        return {name: _mapped(part, function, enters) for name, part in tree.items()}
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type) and enters(tree):
        names = [field.name for field in dataclasses.fields(tree)]
        changed = {n: _mapped(getattr(tree, n), function, enters) for n in names}
        return dataclasses.replace(tree, **changed)
    return tree
