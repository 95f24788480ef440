"""Ranges of settings, declared in the types of their fields, and the check of a value against them.

A range is ``msgspec.Meta`` in ``Annotated``: ``momentum: Annotated[float, Meta(ge=0, lt=1)]``. It
is part of the type alone, so that keys and random streams do not depend on it. A number is finite
whatever its range, and True is no number.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from msgspec import Meta

from harness.canonical import type_name
from harness.errors import UserError

LARGEST = 2**53
"""Largest whole number that a setting takes: the largest that floating-point arithmetic counts to.
"""

Share = Annotated[float, Meta(ge=0, le=1)]
"""A probability or a share of a whole."""

ShareBelowOne = Annotated[float, Meta(ge=0, lt=1)]
"""A share that leaves something over, or a decay rate that forgets."""

AnyCount = Annotated[int, Meta(ge=1, le=2**20)]
"""A number of things of which there is at least one, such as images per batch."""

Epochs = Annotated[int, Meta(ge=1, le=100_000)]
"""A number of epochs, at least one."""

EpochsOrNone = Annotated[int, Meta(ge=0, le=100_000)]
"""A number of epochs, which may be 0."""

Temperature = Annotated[float, Meta(ge=1e-3, le=1e3)]
"""A divisor of cosine similarities: below 1e-3 the exponential of their quotient overflows."""

Alpha = Annotated[float, Meta(ge=0.01, le=100)]
"""A parameter of a Beta distribution; beyond these bounds its quantiles cannot be computed."""

AspectRatio = Annotated[float, Meta(ge=0.1, le=10)]
"""Width over height, or height over width; beyond these a crop can have no pixel."""

Seed = Annotated[int, Meta(ge=0, lt=2**32)]
"""A seed of random draws; Optuna and numpy take 32 bits."""

MOST_SHOWN = 60
"""Characters of a value that a message shows."""


def check(owner: object) -> None:
    """Check each field of a dataclass object against its type.

    Raises:
        UserError: a value is not of its field's type or outside the range in it.
    """
    kinds = field_types(type(owner))  # type: ignore[arg-type]  # types are hashable
    for field in dataclasses.fields(owner):  # type: ignore[arg-type]
        value = getattr(owner, field.name)
        kind = kinds.get(field.name, Any)
        if not fits(kind, value):
            name = f"{type_name(type(owner))}.{field.name}"
            raise UserError(f"{name} is {said(value)}; allowed: {words(kind)}.")


def check_all(value: object) -> None:
    """Check every dataclass object in a value, at any depth, see ``check``."""
    for part in _dataclasses(value):
        check(part)


def check_pair(owner: object, name: str) -> None:
    """Check that a field with a lower and an upper bound has them in this order.

    Raises:
        UserError: the lower bound is above the upper.
    """
    low, high = getattr(owner, name)
    if low > high:
        raise UserError(
            f"{type_name(type(owner))}.{name} is {said((low, high))}; the first must not be above"
            " the second."
        )


def fits(kind: Any, value: object) -> bool:
    """Whether a value is of a type, and within the ranges in it; types not known here take all."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return fits(arguments[0], value) and all(_within(meta, value) for meta in arguments[1:])
    if origin in (typing.Union, types.UnionType):
        return any(fits(alternative, value) for alternative in arguments)
    if origin is typing.Literal:
        return any(value == c and type(value) is type(c) for c in arguments)
    if origin is tuple:
        return _fits_tuple(arguments, value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(fits(arguments[1], v) for v in value.values())
    if kind in (int, float):
        allowed: tuple[type, ...] = (int,) if kind is int else (int, float)
        return isinstance(value, allowed) and not isinstance(value, bool) and _is_finite(value)
    if kind is None or kind is type(None):
        return value is None
    if isinstance(kind, type) and kind is not Any and not getattr(kind, "_is_protocol", False):
        return isinstance(value, kind)
    return _is_finite(value)


def words(kind: Any) -> str:
    """Return what the values of a type are, in words, with their range."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        bounds = _bounds([meta for meta in arguments[1:] if isinstance(meta, Meta)])
        return f"{_NUMBERS.get(arguments[0], words(arguments[0]))} {bounds}".rstrip()
    if origin in (typing.Union, types.UnionType):
        return " or ".join(words(alternative) for alternative in arguments)
    if origin is typing.Literal:
        return " or ".join(repr(choice) for choice in arguments)
    if origin is tuple and arguments[1:] == (...,):
        return f"a list of which each is {words(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}: {', '.join(words(item) for item in arguments)}"
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return f"an object of the type {kind.__name__}"
    return _WORDS.get(kind, getattr(kind, "__name__", str(kind)))


_NUMBERS: Mapping[Any, str] = types.MappingProxyType({float: "a number", int: "a whole number"})

_WORDS: Mapping[Any, str] = types.MappingProxyType(
    {
        float: "a number",
        int: f"a whole number of at most {LARGEST}",
        bool: "true or false",
        str: "a text",
        type(None): "none",
    }
)
"""What values of a type are, in words."""


def said(value: object) -> str:
    """Return a value for a message, cut where it is long."""
    if isinstance(value, int) and abs(value) > LARGEST:
        # The text of a huge number is refused by Python, and read by nobody.
        digits = int(value.bit_length() * math.log10(2)) + 1
        return f"a whole number of about {digits} digits"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        text = f"[{', '.join(said(item) for item in value[:MOST_SHOWN])}]"
    else:
        text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


@functools.lru_cache(maxsize=512)
def field_types(kind: type) -> Mapping[str, Any]:
    """Return the types of a dataclass's fields by name, except those that cannot be found."""
    found: dict[str, Any] = {}
    for owner in reversed(kind.__mro__):
        names = getattr(sys.modules.get(owner.__module__), "__dict__", {})
        for name, annotation in vars(owner).get("__annotations__", {}).items():
            alone = type(owner.__name__, (), {"__annotations__": {name: annotation}})
            # An annotation may be a text that only a type checker can read. Such a field takes all
            # but numbers that are not finite.
            with contextlib.suppress(NameError, AttributeError, TypeError, SyntaxError):
                found |= typing.get_type_hints(alone, names, include_extras=True)
    return found


def _dataclasses(value: object) -> Iterator[object]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield value
        for field in dataclasses.fields(value):
            yield from _dataclasses(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _dataclasses(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _dataclasses(item)


def _fits_tuple(arguments: tuple[Any, ...], value: object) -> bool:
    if not isinstance(value, tuple | list):
        return False
    if arguments[1:] == (...,):
        return all(fits(arguments[0], item) for item in value)
    return len(value) == len(arguments) and all(map(fits, arguments, value))


def _is_finite(value: object) -> bool:
    """Whether a value, or each of a list's, is no number beyond what a computation can take."""
    if isinstance(value, tuple | list):
        return all(_is_finite(item) for item in value)
    if isinstance(value, int):
        return abs(value) <= LARGEST
    return not isinstance(value, float) or math.isfinite(value)


def _within(meta: object, value: Any) -> bool:
    """Whether a number lies within a range, or a list has an allowed length."""
    if not isinstance(meta, Meta) or value is None:
        return True
    return (
        (meta.ge is None or value >= meta.ge)
        and (meta.gt is None or value > meta.gt)
        and (meta.le is None or value <= meta.le)
        and (meta.lt is None or value < meta.lt)
        and (meta.min_length is None or len(value) >= meta.min_length)
    )


def _bounds(metas: list[Meta]) -> str:
    """Return a range in words: "from 0 to below 1"."""
    parts = []
    for meta in metas:
        if meta.ge is not None:
            parts.append(f"from {meta.ge:.12g}")
        if meta.gt is not None:
            parts.append(f"above {meta.gt:.12g}")
        if meta.le is not None:
            parts.append(f"{'to' if meta.ge is not None else 'and at most'} {meta.le:.12g}")
        if meta.lt is not None:
            parts.append(f"{'to' if meta.ge is not None else 'and'} below {meta.lt:.12g}")
        if meta.min_length is not None:
            parts.append(f"with at least {meta.min_length}")
    return " ".join(parts)
