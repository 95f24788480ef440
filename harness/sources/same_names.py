"""Check that no two different types of settings have the same stable name."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable

from harness.canonical import type_name
from harness.errors import UserError
from harness.sources.digest import definition_digest

_TYPES: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()
"""The type last checked in this process, by stable name."""


def check_names(kinds: Iterable[type]) -> None:
    """Check that types with equal stable names, now and in earlier calls, have equal source code.

    Raises:
        UserError: two types differ, so that one key would mean two experiments.
    """
    for kind in kinds:
        name = type_name(kind)
        other = _TYPES.get(name)
        if other is not None and other is not kind and not _is_equal(other, kind):
            raise UserError(
                f"Two settings types are named {name!r} and differ: {other.__qualname__} in"
                f" {_file(other)} and {kind.__qualname__} in {_file(kind)}; give one of them"
                f' another stable name, for instance key_name: ClassVar[str] = "mine.{name}".'
            )
        _TYPES[name] = kind


def _is_equal(first: type, second: type) -> bool:
    if first.__module__ == second.__module__ and first.__qualname__ == second.__qualname__:
        return True  # one file that was edited and loaded again; the new definition replaces it
    try:
        return definition_digest(first) == definition_digest(second)
    except ValueError:  # no source that can be read
        return False


def _file(kind: type) -> str:
    return str(getattr(sys.modules.get(kind.__module__), "__file__", kind.__module__))
