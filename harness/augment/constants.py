"""Tensors that never change, built once per device, so that no step uploads them again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

LIMIT = 64
"""Tensors kept per kind; the oldest is dropped. Sizes and devices of one process are few."""


class PerDevice(Protocol):
    """A function that returns one tensor per device and arguments; callers must not change it."""

    def __call__(self, *arguments: Any, device: torch.device) -> Tensor:
        """Return the tensor on a device."""
        ...


_caches: list[Callable[[], None]] = []


def per_device(build: Callable[..., Tensor]) -> PerDevice:
    """Keep what a function returns, per arguments and device; it builds it on ``device``."""

    @functools.lru_cache(maxsize=LIMIT)
    def kept(device: torch.device, *arguments: Any) -> Tensor:
        # A tensor of inference mode could not be used in training later.
        with torch.inference_mode(mode=False), torch.no_grad():
            return build(*arguments, device=device)

    def constant(*arguments: Any, device: torch.device) -> Tensor:
        return kept(device, *arguments)

    _caches.append(kept.cache_clear)
    return constant


def forget() -> None:
    """Drop all kept tensors, for instance where devices are simulated one after another."""
    for clear in _caches:
        clear()


@per_device
def vector(*values: float, device: torch.device) -> Tensor:
    """Return values as (n,) float32."""
    return torch.tensor(values, dtype=torch.float32).to(device, non_blocking=True)


@per_device
def counted(count: int, offset: float = 0.0, *, device: torch.device) -> Tensor:
    """Return 0 ... count - 1 plus an offset, (count,) float32."""
    return torch.arange(count, dtype=torch.float32, device=device) + offset


@per_device
def false(*, device: torch.device) -> Tensor:
    """Return False, (1,) bool."""
    return torch.zeros(1, dtype=torch.bool, device=device)


def whole_boxes(count: int, device: torch.device) -> Tensor:
    """Return the boxes (count, 4) of whole images: top, left, height, width as fractions."""
    return vector(0.0, 0.0, 1.0, 1.0, device=device)[None].expand(count, 4)
