"""Momentum encoder (an exponential moving average of weights) and queue of keys (MoCo)."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

_M = TypeVar("_M", bound=nn.Module)


def frozen_copy(module: _M) -> _M:
    """Return a deep copy whose parameters take no gradient."""
    frozen = copy.deepcopy(module)
    for parameter in frozen.parameters():
        parameter.requires_grad = False
    return frozen


@torch.no_grad()
def follow(average: nn.Module, module: nn.Module, momentum: float) -> None:
    """Update a moving average: ``average = momentum * average + (1 - momentum) * module``.

    Only parameters are averaged; buffers such as BatchNorm's running statistics are not touched.
    """
    # lerp(a, b, w) = a + w (b - a), as one fused operation over all tensors.
    targets: list[Tensor] = list(average.parameters())
    sources: list[Tensor] = [p.detach() for p in module.parameters()]
    torch._foreach_lerp_(targets, sources, 1.0 - momentum)


class Queue(nn.Module):
    """Ring buffer of the last ``size`` keys (size, D), the negatives of MoCo's loss.

    Until keys are pushed, it contains random unit vectors. lightly's memory bank is not used: it
    reads its position from the device in every step, and its contents are not in the state dict,
    so that a resumed training would differ.
    """

    def __init__(self, size: int, width: int) -> None:
        """Fill the queue with random unit vectors."""
        super().__init__()
        self.keys: Tensor
        self.register_buffer("keys", nn.functional.normalize(torch.randn(size, width), dim=1))

    @torch.no_grad()
    def fill(self, keys: Tensor) -> None:
        """Replace all keys by keys (N, D), evenly spaced or repeated where N is not the size."""
        rows = torch.arange(len(self.keys), device=keys.device) * len(keys) // len(self.keys)
        self.keys.copy_(keys[rows])

    @torch.no_grad()
    def push(self, keys: Tensor, pushed: int) -> None:
        """Replace the oldest keys of the queue by new ones (B, D).

        Args:
            keys: of unit length, at most ``size`` of them.
            pushed: number of keys pushed before, from which the oldest keys' position follows.
        """
        # Written in two parts where the new keys reach past the end of the ring buffer.
        size = len(self.keys)
        begin = pushed % size
        first = min(len(keys), size - begin)
        self.keys[begin : begin + first] = keys[:first].to(self.keys.dtype)
        self.keys[: len(keys) - first] = keys[first:].to(self.keys.dtype)
