"""Count every multiplication of a forward or backward pass, operator by operator.

The pass runs on the meta device: shapes alone, no time and no memory. An operator is counted by
the formula below, or known to multiply nothing that a convention counts (``free.py``), or refused
by name: a smaller number without a word is the error of the counters that people use.
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


class UncountedError(UserError):
    """An operator ran that has no formula and is not known to be free."""


@dataclass(frozen=True, kw_only=True)
class Norm:
    """Elements that normalisation layers of one sort took in.

    Attributes:
        affine: whether scaled and shifted afterwards.
        running: whether BatchNorm used its running statistics, which inference folds away.
    """

    affine: bool
    running: bool


@dataclass(kw_only=True)
class Tally:
    """What one pass did.

    Attributes:
        macs: multiply-accumulates by kind: "linear" and "convolution" have a parameter as one
            operand, "products" none (attention, similarities, gradients of weights).
        norms: elements by sort of normalisation layer.
    """

    macs: Counter[Kind] = field(default_factory=Counter)
    norms: Counter[Norm] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Multiply-accumulates of all kinds, without normalisation."""
        return sum(self.macs.values())


def _mm(a: Tensor, b: Tensor, *_: Any) -> int:
    return a.numel() * b.shape[-1]


def _mv(a: Tensor, _: Tensor) -> int:
    return a.numel()


def _linear(x: Tensor, weight: Tensor, *_: Any) -> int:
    return x.numel() * weight.shape[0]


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any) -> int:
    """Count both products of attention; query (..., L, D), key (..., S, D), value (..., S, V)."""
    each = query.shape[-2] * key.shape[-2] * (query.shape[-1] + value.shape[-1])
    return math.prod(query.shape[:-2]) * each


def _second(formula: Callable[..., int]) -> Callable[..., int]:
    """Adapt a formula to operators whose first argument is added to the product."""
    return lambda _, a, b, *rest, **__: formula(a, b)


PRODUCTS: dict[str, tuple[Callable[..., int], tuple[int, ...]]] = {
    "mm": (_mm, (0, 1)),
    "bmm": (_mm, (0, 1)),
    "addmm": (_second(_mm), (1, 2)),
    "baddbmm": (_second(_mm), (1, 2)),
    "addmv": (_second(_mv), (1, 2)),
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
"""Formula of each product and the positions of its two operands."""

LAYER_NORMS: dict[str, int] = {
    "native_layer_norm": 2,
    "native_group_norm": 1,
}
"""Normalisation of single images, and where its scale stands among the arguments."""

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
"""BatchNorm, and whether it uses running statistics; None asks its sixth or fourth argument."""


class CountingMode(TorchDispatchMode):
    """Count what runs inside it into ``tally``.

    Args:
        parameters: what makes a product "linear" or a "convolution" if it is an operand.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        """Remember the parameters' storages: a view or transpose of one still is it."""
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
        """Run an operator and count it, its parts, or refuse it."""
        given = dict(kwargs or {})
        name = aten_name(func)
        if name in PRODUCTS:
            formula, operands = PRODUCTS[name]
            kind: Kind = "linear" if any(self._owned(args[i]) for i in operands) else "products"
            self.tally.macs[kind] += formula(*args)
            return func(*args, **given)
        if name in ("convolution", "_convolution"):
            made = func(*args, **given)
            self.tally.macs["convolution"] += _convolution(args, made)
            return made
        if name == "convolution_backward":
            self.tally.macs["convolution"] += _convolution_backward(args)
            return func(*args, **given)
        if name in LAYER_NORMS or name in BATCH_NORMS:
            self.tally.norms[_norm(name, func, args)] += args[0].numel()
            return func(*args, **given)
        if is_free(func):
            return _to_host(func, args, given)
        with self:  # its parts are counted
            parts = func.decompose(*args, **given)
        if parts is not NotImplemented:
            return parts
        raise UncountedError(
            f"The operator {func} has no formula: what it multiplies would be missing from the"
            " cost. Add it to PRODUCTS in harness/cost/count.py, or to FREE in"
            " harness/cost/free.py if it multiplies nothing."
        )

    def _owned(self, tensor: Tensor) -> bool:
        return _storage(tensor) in self._storages


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _to_host(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a free operator; a copy from the meta device to the CPU, which has no values, is zeros.

    Only what is set up before a pass (boxes of crops) travels that way.
    """
    device = torch.device(kwargs.get("device") or "meta")
    if aten_name(func) == "_to_copy" and device.type == "cpu" and args[0].is_meta:
        dtype = kwargs.get("dtype") or args[0].dtype
        return torch.zeros(args[0].shape, dtype=dtype, device=device)
    return func(*args, **kwargs)


def _convolution(args: tuple[Any, ...], made: Tensor) -> int:
    images, weight, transposed = args[0], args[1], args[6]
    # Every element of the output (of the input, if transposed) meets one filter.
    elements = images if transposed else made
    return int(elements.numel() * math.prod(weight.shape[1:]))


def _convolution_backward(args: tuple[Any, ...]) -> int:
    gradient, images, weight, transposed, mask = args[0], args[1], args[2], args[7], args[10]
    elements = images if transposed else gradient
    forward = elements.numel() * math.prod(weight.shape[1:])
    # The gradients of the input and of the weight are each as much as the way forward.
    return int(forward * (bool(mask[0]) + bool(mask[1])))


def _norm(name: str, func: Any, args: tuple[Any, ...]) -> Norm:
    if name in LAYER_NORMS:
        return Norm(affine=args[LAYER_NORMS[name]] is not None, running=False)
    running = BATCH_NORMS[name]
    if running is None:
        names = [argument.name for argument in func._schema.arguments]
        running = not args[names.index("training")]
    return Norm(affine=args[1] is not None, running=running)


def all_of_a_mask() -> Any:
    """Let the meta device take all where a mask of bools picks (lightly's NT-Xent).

    What it picks has no shape without values.
    """
    return config.patch(meta_nonzero_assume_all_nonzero=True)  # type: ignore[attr-defined]


def count(module: nn.Module, forward: Callable[[], Any], *, backward: bool = False) -> Tally:
    """Count a pass.

    Args:
        module: whose parameters are the weights.
        forward: runs the pass; with ``backward`` it returns the scalar to differentiate.
        backward: also count the gradients of all trained parameters.

    Raises:
        UncountedError: an operator has no formula.
    """
    mode = CountingMode(module.parameters())
    with all_of_a_mask(), torch.set_grad_enabled(backward), mode:
        made = forward()
        if backward:
            made.backward()
    return mode.tally
