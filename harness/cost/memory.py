"""Memory of a training step from shapes: parameters, saved activations and peak.

The step runs on the meta device, where tensors have sizes and no memory. Kernels' workspaces and
the allocator's rounding are not included; a run's provenance records the peak on a real GPU.
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

from harness.cost.count import assume_masks_true


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of a training step in fp32.

    Attributes:
        parameters: bytes of all parameters and buffers.
        activations: bytes saved in the forward for the backward pass, without parameters.
        peak: largest number of bytes alive at once in forward and backward, with parameters and
            gradients, without the optimiser's state.
        batch: number of images in the step.
    """

    parameters: int
    activations: int
    peak: int
    batch: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "parameter_bytes": self.parameters,
            "activation_bytes": self.activations,
            "peak_bytes": self.peak,
            "batch": self.batch,
        }


def of_step(module: nn.Module, forward: Callable[[], Tensor], batch: int) -> Memory:
    """Measure the memory of a training step on the meta device.

    Args:
        module: the model, on the meta device.
        forward: returns the loss of ``batch`` images.
        batch: number of images.
    """
    parameters = [*module.parameters(), *module.buffers()]
    module.zero_grad(set_to_none=True)
    saved: dict[int, int] = {}
    parameter_storages = {_identity(t) for t in parameters}

    def save(tensor: Tensor) -> Tensor:
        if _identity(tensor) not in parameter_storages:
            saved[_identity(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    storages = _LivingStorages(parameters)
    with assume_masks_true(), torch.enable_grad(), storages, _FusedAttention():
        with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
            loss = forward()
        # The graph has held all saved tensors until here, so no identity was reused.
        activations = sum(saved.values())
        loss.sum().backward()
    module.zero_grad(set_to_none=True)
    return Memory(
        parameters=sum(t.untyped_storage().nbytes() for t in parameters),
        activations=activations,
        peak=storages.peak,
        batch=batch,
    )


class _FusedAttention(TorchFunctionMode):
    """Function mode that selects attention's fused kernel, as real devices do.

    The meta device would decompose attention and materialise its (L, L) maps.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return func(*args, **options)
        options.pop("enable_gqa", None)
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*args, **options)[0]


def _identity(tensor: Tensor) -> int:
    """Return an identifier of a tensor's storage, which its views share."""
    return int(tensor.untyped_storage()._cdata)


class _LivingStorages(TorchDispatchMode):
    """Dispatch mode that tracks the bytes of living storages, from initial tensors on.

    Attributes:
        known: identifiers of living storages.
        now: bytes alive.
        peak: largest value of ``now`` so far.
    """

    def __init__(self, tensors: list[Tensor]) -> None:
        super().__init__()
        self.known: set[int] = set()
        self.now = self.peak = 0
        for tensor in tensors:
            self._track(tensor)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **dict(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._track(leaf)
        return result

    def _track(self, tensor: Tensor) -> None:
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
