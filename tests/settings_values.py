"""Every type of settings, its numeric fields, and values at and beyond their bounds."""

from __future__ import annotations

import dataclasses
import importlib
import math
import pkgutil
import typing
from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

import harness.augment
import harness.methods.baselines
import harness.methods.msmae
import harness.spec
from harness import ranges
from harness.execute.execution import ExecutionOptions
from harness.execute.launch import LaunchOptions
from harness.plan.options import Options

ROOMS = (
    harness.spec,
    harness.augment,
    harness.methods.msmae,
    harness.methods.baselines,
)

OPTIONS = (Options, ExecutionOptions, LaunchOptions)
"""Options of a command, in rooms whose other types are results."""

NOT_SETTINGS = {
    "Dataset": "a description, which has checks of its own",
    "Split": "a result of dividing a data set",
    "Item": "an image of a data set",
    "Masks": "random masks of a batch",
    "Run": "names and settings that have checked themselves",
    "Space": "dimensions that have checked themselves",
}
"""Frozen dataclasses with numbers that nobody sets."""


def leaves(kind: Any, metas: tuple[Meta, ...] = ()) -> Iterator[tuple[type, tuple[Meta, ...]]]:
    """Yield the numeric types in a type, each with the ranges around it."""
    if typing.get_origin(kind) is Annotated:
        inner, *given = typing.get_args(kind)
        yield from leaves(inner, (*metas, *(m for m in given if isinstance(m, Meta))))
    elif kind in (int, float):
        yield kind, metas
    elif typing.get_origin(kind) is not typing.Literal:
        for argument in typing.get_args(kind):
            yield from leaves(argument)


def settings_types() -> list[type]:
    """Return all frozen dataclasses of settings that have a numeric field."""
    found = {}
    for room in ROOMS:
        for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            for kind in vars(importlib.import_module(module.name)).values():
                if isinstance(kind, type) and dataclasses.is_dataclass(kind):
                    found[f"{kind.__module__}.{kind.__qualname__}"] = kind
    settings = [k for k in found.values() if k.__name__ not in NOT_SETTINGS and _is_settings(k)]
    return [*settings, *OPTIONS]


def _is_settings(kind: type) -> bool:
    hints = typing.get_type_hints(kind) if kind.__name__ != "Metric" else {}
    tensors = any("Tensor" in str(hint) for hint in hints.values())
    own = kind.__module__.startswith(tuple(room.__name__ for room in ROOMS))
    return own and not tensors and bool(list(numeric(kind)))


def numeric(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the name and the type, with ranges, of each numeric field."""
    types = ranges.field_types(kind)
    for field in dataclasses.fields(kind):
        if any(leaves(types.get(field.name, Any))):
            yield field.name, types[field.name]


def bounds(number: type, metas: tuple[Meta, ...]) -> tuple[float, float, bool, bool]:
    """Return the bounds of a number, and whether each belongs to its range."""
    low, high, with_low, with_high = -math.inf, math.inf, False, False
    for meta in metas:
        if meta.ge is not None or meta.gt is not None:
            low, with_low = (meta.gt, False) if meta.ge is None else (meta.ge, True)
        if meta.le is not None or meta.lt is not None:
            high, with_high = (meta.lt, False) if meta.le is None else (meta.le, True)
    return low, high, with_low, with_high


def beyond(number: type, metas: tuple[Meta, ...]) -> list[Any]:
    """Return values that a number must not have."""
    low, high, with_low, with_high = bounds(number, metas)
    if number is int:
        outside: list[Any] = [int(low) - with_low, int(high) + with_high, 1.5]
    else:
        outside = [
            math.nextafter(low, -math.inf) if with_low else low,
            math.nextafter(high, math.inf) if with_high else high,
        ]
    return [*outside, math.nan, math.inf, -math.inf, 1e308, -1e308, 10**400, True, "1", b"1", [1]]


def put(kind: Any, value: Any, old: Any) -> Any:
    """Return a value of a field with one number replaced: in a list the first."""
    if isinstance(old, tuple) and old:
        return (value, *old[1:])
    if isinstance(old, dict) and old:
        return dict.fromkeys(old, value)
    return (value,) if typing.get_origin(_bare(kind)) is tuple else value


def _bare(kind: Any) -> Any:
    """Return a type without its ranges and without None."""
    if typing.get_origin(kind) is Annotated:
        return _bare(typing.get_args(kind)[0])
    others = [a for a in typing.get_args(kind) if a is not type(None)]
    is_union = type(None) in typing.get_args(kind)
    return _bare(others[0]) if is_union else kind
