"""Memory of a training step from shapes: what the backward pass keeps, and the peak.

The step runs on the meta device: each tensor has its size and no memory. Kernels' own workspaces
and the allocator's rounding are not in it; a GPU's real peak stands in a run's provenance.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.cost.count import all_of_a_mask


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of a training step in fp32.

    Attributes:
        parameters: of all parameters and buffers.
        activations: kept from the forward for the backward pass, without parameters.
        peak: most at once in forward and backward, parameters and gradients included, the
            optimiser's state not.
        batch: images in the step.
    """

    parameters: int
    activations: int
    peak: int
    batch: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "parameter_bytes": self.parameters,
            "activation_bytes": self.activations,
            "peak_bytes": self.peak,
            "batch": self.batch,
        }


def of_step(module: nn.Module, forward: Callable[[], Tensor], batch: int) -> Memory:
    """Measure a step on the meta device; ``forward`` returns the loss of ``batch`` images."""
    owned = [*module.parameters(), *module.buffers()]
    module.zero_grad(set_to_none=True)
    kept: dict[int, int] = {}
    mine = {_identity(t) for t in owned}

    def keep(tensor: Tensor) -> Tensor:
        if _identity(tensor) not in mine:
            kept[_identity(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    alive = _Alive(owned)
    with all_of_a_mask(), torch.enable_grad(), alive, _FusedAttention():
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = forward()
        # The graph holds what it kept until here: no identity was used twice.
        activations = sum(kept.values())
        loss.sum().backward()
    module.zero_grad(set_to_none=True)
    return Memory(
        parameters=sum(t.untyped_storage().nbytes() for t in owned),
        activations=activations,
        peak=alive.peak,
        batch=batch,
    )


class _FusedAttention(TorchFunctionMode):
    """Take attention's fused kernel, as devices do: the meta device would write all maps out."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return func(*args, **given)
        given.pop("enable_gqa", None)
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*args, **given)[0]


def _identity(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _Alive(TorchDispatchMode):
    """Follow the storages that live, from those given on."""

    def __init__(self, owned: list[Tensor]) -> None:
        super().__init__()
        self.known: set[int] = set()
        self.now = self.peak = 0
        for tensor in owned:
            self._see(tensor)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **dict(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._see(leaf)
        return made

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        identity, size = int(storage._cdata), storage.nbytes()
        if identity in self.known or not tensor.is_meta:
            return
        self.known.add(identity)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, identity, size)

    def _forget(self, identity: int, size: int) -> None:
        self.known.discard(identity)
        self.now -= size
