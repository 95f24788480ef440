"""Refuse two types of settings that have one stable name and are not the same type."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable

from harness.canonical import type_name
from harness.errors import UserError
from harness.sources.digest import definition_digest

_TYPES: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()
"""The type of each stable name that this process has seen last."""


def check_names(kinds: Iterable[type]) -> None:
    """Remember the types by their stable names; two of a name must have equal sources.

    Raises:
        UserError: they have not, so that one key would stand for two experiments.
    """
    for kind in kinds:
        name = type_name(kind)
        known = _TYPES.get(name)
        if known is not None and known is not kind and not _equal(known, kind):
            raise UserError(
                f"Two settings types are named {name!r} and differ: {known.__qualname__} in"
                f" {_file(known)} and {kind.__qualname__} in {_file(kind)}; give one of them"
                f' another stable name, for instance key_name: ClassVar[str] = "mine.{name}".'
            )
        _TYPES[name] = kind


def _equal(one: type, two: type) -> bool:
    if one.__module__ == two.__module__ and one.__qualname__ == two.__qualname__:
        return True  # a file that was edited and loaded again: what counts is its present text
    try:
        return definition_digest(one) == definition_digest(two)
    except ValueError:  # without a source that can be read
        return False


def _file(kind: type) -> str:
    return str(getattr(sys.modules.get(kind.__module__), "__file__", kind.__module__))
