"""Count the multiplications of a forward or backward pass, operator by operator.

The pass runs on the meta device, on shapes alone, without time and memory. Each operator has a
formula below, or is listed as free of counted multiplications (``free.py``); any other operator is
refused by name, so that no count is too small unnoticed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.fx.experimental import _config as config
from torch.utils._python_dispatch import TorchDispatchMode

from harness.cost.free import aten_name, is_free
from harness.errors import UserError

Kind = Literal["linear", "convolution", "products"]
"""Products with a weight, convolutions, and products of two activations."""


class UncountedError(UserError):
    """An operator without a formula that is not listed as free."""


@dataclass(frozen=True, kw_only=True)
class Norm:
    """A kind of normalisation layer, as far as conventions distinguish them.

    Attributes:
        affine: whether it scales and shifts afterwards.
        running: whether it is a BatchNorm that uses its running statistics, as in inference.
    """

    affine: bool
    running: bool


@dataclass(kw_only=True)
class Tally:
    """Counts of one pass.

    Attributes:
        macs: multiply-accumulates by kind: "linear" and "convolution" have a parameter as one
            operand, "products" none (attention, similarities, gradients of weights).
        norms: number of input elements by kind of normalisation layer.
    """

    macs: Counter[Kind] = field(default_factory=Counter)
    norms: Counter[Norm] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Multiply-accumulates of all kinds, without normalisation."""
        return sum(self.macs.values())


def _mm(a: Tensor, b: Tensor, *_: Any) -> int:
    """Count (..., N, K) @ (..., K, M): N K M per matrix."""
    return a.numel() * b.shape[-1]


def _mv(a: Tensor, _: Tensor) -> int:
    """Count (N, K) @ (K,), or the dot product of (K,) with (K,): one per element of ``a``."""
    return a.numel()


def _linear(x: Tensor, weight: Tensor, *_: Any) -> int:
    """Count x (..., K) @ weight (M, K)^T: K M per row."""
    return x.numel() * weight.shape[0]


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any) -> int:
    """Count Q K^T and A V, with Q (..., L, D), K (..., S, D), V (..., S, V): L S (D + V)."""
    per_head = query.shape[-2] * key.shape[-2] * (query.shape[-1] + value.shape[-1])
    return math.prod(query.shape[:-2]) * per_head


def _skip_first(formula: Callable[..., int]) -> Callable[..., int]:
    """Adapt a formula to operators that add their first argument to the product of the next two."""
    return lambda _, a, b, *rest, **__: formula(a, b)


PRODUCTS: dict[str, tuple[Callable[..., int], tuple[int, ...]]] = {
    "mm": (_mm, (0, 1)),
    "bmm": (_mm, (0, 1)),
    "addmm": (_skip_first(_mm), (1, 2)),
    "baddbmm": (_skip_first(_mm), (1, 2)),
    "addmv": (_skip_first(_mv), (1, 2)),
    "mv": (_mv, (0, 1)),
    "dot": (_mv, (0, 1)),
    "vdot": (_mv, (0, 1)),
    "linear": (_linear, (0, 1)),
    "_scaled_dot_product_flash_attention_for_cpu": (_attention, ()),
    "_scaled_dot_product_flash_attention": (_attention, ()),
    "_scaled_dot_product_efficient_attention": (_attention, ()),
    "_scaled_dot_product_cudnn_attention": (_attention, ()),
    "_scaled_dot_product_fused_attention_overrideable": (_attention, ()),
}
"""Formula and positions of the two operands by operator; no positions for attention."""

LAYER_NORMS: dict[str, int] = {
    "native_layer_norm": 2,
    "native_group_norm": 1,
}
"""Position of the scale among the arguments, by operator that normalises single images."""

BATCH_NORMS: dict[str, bool | None] = {
    "native_batch_norm": None,
    "cudnn_batch_norm": None,
    "_native_batch_norm_legit": None,
    "_native_batch_norm_legit_functional": None,
    "_native_batch_norm_legit_no_training": True,
    "batch_norm_with_update": False,
    "_batch_norm_with_update": False,
    "_batch_norm_no_update": True,
}
"""Whether running statistics are used, by BatchNorm operator; None: see argument "training"."""


class CountingMode(TorchDispatchMode):
    """Dispatch mode that counts the operators run inside it into ``tally``.

    Args:
        parameters: the weights; a product with one of them as an operand is "linear".
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        """Record the parameters' storages, by which views and transposes are recognised."""
        super().__init__()
        self.tally = Tally()
        self._weights = list(parameters)
        self._storages = {_storage(p) for p in self._weights}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run and count an operator, or the operators into which it decomposes.

        Raises:
            UncountedError: it has no formula, is not free and cannot be decomposed.
        """
        options = dict(kwargs or {})
        name = aten_name(func)
        if name in PRODUCTS:
            formula, operands = PRODUCTS[name]
            kind: Kind = "linear" if any(self._is_weight(args[i]) for i in operands) else "products"
            self.tally.macs[kind] += formula(*args)
            return func(*args, **options)
        if name in ("convolution", "_convolution"):
            output = func(*args, **options)
            self.tally.macs["convolution"] += _convolution(args, output)
            return output
        if name == "convolution_backward":
            self.tally.macs["convolution"] += _convolution_backward(args)
            return func(*args, **options)
        if name in LAYER_NORMS or name in BATCH_NORMS:
            self.tally.norms[_norm(name, func, args)] += args[0].numel()
            return func(*args, **options)
        if is_free(func):
            return _to_host(func, args, options)
        with self:  # the parts are counted
            parts = func.decompose(*args, **options)
        if parts is not NotImplemented:
            return parts
        raise UncountedError(
            f"The operator {func} has no formula: what it multiplies would be missing from the"
            " cost. Add it to PRODUCTS in harness/cost/count.py, or to FREE in"
            " harness/cost/free.py if it multiplies nothing."
        )

    def _is_weight(self, tensor: Tensor) -> bool:
        return _storage(tensor) in self._storages


def _storage(tensor: Tensor) -> int:
    """Return an identifier of a tensor's storage, which its views share."""
    return int(tensor.untyped_storage()._cdata)


def _to_host(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a free operator; copies from the meta device to the CPU, which lack values, become zeros.

    Such copies occur only in preparation of a pass (boxes of crops).
    """
    device = torch.device(kwargs.get("device") or "meta")
    if aten_name(func) == "_to_copy" and device.type == "cpu" and args[0].is_meta:
        dtype = kwargs.get("dtype") or args[0].dtype
        return torch.zeros(args[0].shape, dtype=dtype, device=device)
    return func(*args, **kwargs)


def _convolution(args: tuple[Any, ...], output: Tensor) -> int:
    """Count a convolution with weights (out, in / groups, kernel ...)."""
    images, weight, transposed = args[0], args[1], args[6]
    # Each element of the output (of the input, if transposed) takes one product with a filter.
    elements = images if transposed else output
    return int(elements.numel() * math.prod(weight.shape[1:]))


def _convolution_backward(args: tuple[Any, ...]) -> int:
    """Count the requested gradients of a convolution, those of its input and weight."""
    gradient, images, weight, transposed, mask = args[0], args[1], args[2], args[7], args[10]
    elements = images if transposed else gradient
    forward = elements.numel() * math.prod(weight.shape[1:])
    # The gradients of the input and of the weight each take as much as the forward pass.
    return int(forward * (bool(mask[0]) + bool(mask[1])))


def _norm(name: str, func: Any, args: tuple[Any, ...]) -> Norm:
    """Return the kind of a normalisation operator's call."""
    if name in LAYER_NORMS:
        return Norm(affine=args[LAYER_NORMS[name]] is not None, running=False)
    running = BATCH_NORMS[name]
    if running is None:
        names = [argument.name for argument in func._schema.arguments]
        running = not args[names.index("training")]
    return Norm(affine=args[1] is not None, running=running)


def assume_masks_true() -> Any:
    """Make boolean indexing on the meta device select all elements (needed by lightly's NT-Xent).

    Without values, the number of selected elements is unknown; this is its upper bound.
    """
    return config.patch(meta_nonzero_assume_all_nonzero=True)  # type: ignore[attr-defined]


def count(module: nn.Module, forward: Callable[[], Any], *, backward: bool = False) -> Tally:
    """Count the operators of a pass.

    Args:
        module: the model, whose parameters are the weights.
        forward: runs the pass; with ``backward`` it returns the scalar to differentiate.
        backward: also count the backward pass to all trained parameters.

    Raises:
        UncountedError: an operator has no formula.
    """
    mode = CountingMode(module.parameters())
    with assume_masks_true(), torch.set_grad_enabled(backward), mode:
        result = forward()
        if backward:
            result.backward()
    return mode.tally
