"""The momentum copy of an encoder and the queue of its outputs (MoCo)."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

_M = TypeVar("_M", bound=nn.Module)


def frozen_copy(module: _M) -> _M:
    """Return a copy that no optimiser trains."""
    twin = copy.deepcopy(module)
    for parameter in twin.parameters():
        parameter.requires_grad = False
    return twin


@torch.no_grad()
def follow(twin: nn.Module, module: nn.Module, momentum: float) -> None:
    """Move the copy: ``twin = momentum * twin + (1 - momentum) * module``.

    Parameters only, buffers stay its own; one fused operation over all tensors.
    """
    targets: list[Tensor] = list(twin.parameters())
    sources: list[Tensor] = [p.detach() for p in module.parameters()]
    torch._foreach_lerp_(targets, sources, 1.0 - momentum)


class Queue(nn.Module):
    """The last ``size`` keys, (size, D), as negatives; random directions until it is filled.

    lightly's memory bank reads its position from the device in every step and leaves its
    contents out of the state dict, so that a resumed training would differ.
    """

    def __init__(self, size: int, width: int) -> None:
        """Fill it with normalised noise."""
        super().__init__()
        self.keys: Tensor
        self.register_buffer("keys", nn.functional.normalize(torch.randn(size, width), dim=1))

    @torch.no_grad()
    def fill(self, keys: Tensor) -> None:
        """Fill the queue with keys (N, D), evenly spaced or repeated where N is not its size."""
        rows = torch.arange(len(self.keys), device=keys.device) * len(keys) // len(self.keys)
        self.keys.copy_(keys[rows])

    @torch.no_grad()
    def push(self, keys: Tensor, pushed: int) -> None:
        """Replace the oldest keys by new ones (B, D).

        Args:
            keys: normalised, at most as many as the queue holds.
            pushed: how many were pushed before, which says where the oldest are.
        """
        size = len(self.keys)
        begin = pushed % size
        first = min(len(keys), size - begin)
        self.keys[begin : begin + first] = keys[:first].to(self.keys.dtype)
        self.keys[: len(keys) - first] = keys[first:].to(self.keys.dtype)
