"""Refuses tensors of a file that are no weights: other kinds of numbers, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from harness.errors import UserError

COUNTED = ("num_batches_tracked", "relative_position_index")
"""Endings of the names of an encoder's whole numbers."""


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors without values in the shapes of a file's."""
    plain = {name: value for name, value in tensors.items() if not value.is_nested}
    return {name: torch.empty(value.shape, device="meta") for name, value in plain.items()}


def check(tensors: Mapping[str, Tensor], names: Iterable[str]) -> None:
    """Check the tensors that an encoder takes.

    Raises:
        UserError: one is not dense, has no values, holds other numbers than it should, or some that
            are not finite.
    """
    for name in names:
        if found := _wrong(name, tensors[name]):
            raise UserError(
                f"the file's {name} {found}; expected: dense tensors of finite floating-point"
                " numbers, as model.state_dict() holds them."
            )


def _wrong(name: str, value: Tensor) -> str:
    """Return what is wrong with a tensor, in words; "" where nothing is."""
    kind = str(value.dtype).removeprefix("torch.")
    if value.is_meta:
        return "has a shape alone and no values (device meta)"
    if value.layout != torch.strided or value.is_quantized:
        layout = "quantised" if value.is_quantized else str(value.layout).removeprefix("torch.")
        return f"is not dense ({layout})"
    if name.endswith(COUNTED):
        whole = not (value.is_complex() or value.dtype == torch.bool)
        return "" if whole and not value.is_floating_point() else f"holds {kind} numbers"
    if not value.is_floating_point():
        return f"holds {kind} numbers"
    bad = int((~torch.isfinite(value.float())).sum())
    return f"holds {bad} of {value.numel()} numbers that are not finite" if bad else ""
