"""The canonical form of settings: plain JSON values, one text, one SHA-256.

A type is named in it by ``key_name``, which its author declares (``key_name: ClassVar[str]``) and
never changes, or else by the class's own name; never by its module or file. So moving a file,
copying a table or renaming a module changes no key.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sys
import weakref
from collections.abc import Mapping
from typing import Any

from harness.errors import UserError

AS_BEFORE = "as before"

_TYPES: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()
"""The types that this process has named so far, to refuse two unequal ones of one name."""


def as_before(value: Any) -> dict[str, Any]:
    """Return the metadata of a settings field that was added after its type had been published.

    Where the field has this value, which is how the type behaved before, it is left out of the
    canonical form, so that keys made before the field existed stay as they are.
    """
    return {AS_BEFORE: value}


def type_name(kind: type) -> str:
    """Return the stable name of a settings type.

    Raises:
        UserError: another type of other sources has the same name.
    """
    # A subclass is a type of its own: it does not inherit its parent's name.
    name: str = vars(kind).get("key_name", kind.__qualname__)
    known = _TYPES.get(name)
    if known is not None and known is not kind:
        _check_equal(name, known, kind)
    _TYPES[name] = kind
    return name


def _check_equal(name: str, one: type, two: type) -> None:
    same_place = one.__module__ == two.__module__ and one.__qualname__ == two.__qualname__
    if same_place or _digest(one) == _digest(two):
        return  # the same class loaded anew, or a copy of it
    raise UserError(
        f"Two settings types are named {name!r} and differ: {one.__qualname__} in {_file(one)} and"
        f" {two.__qualname__} in {_file(two)}; give one of them another stable name, for instance"
        f' key_name: ClassVar[str] = "mine.{two.__qualname__}".'
    )


def _digest(kind: type) -> str:
    from harness.sources import definition_digest

    try:
        return definition_digest(kind)
    except ValueError:  # made without a file: equal to itself only
        return f"{id(kind)}"


def _file(kind: type) -> str:
    return str(getattr(sys.modules.get(kind.__module__), "__file__", kind.__module__))


def describe(value: Any, *, complete: bool = False) -> Any:
    """Turn frozen dataclasses, tuples and mappings into JSON values; functions are refused.

    Args:
        value: what to describe.
        complete: fields with their "as before" value are named, too (for readers, not for keys).

    Raises:
        TypeError: a value has no canonical form.
        UserError: two unequal types have the same name.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            f.name: describe(getattr(value, f.name), complete=complete)
            for f in dataclasses.fields(value)
            if complete or not _is_as_before(f, getattr(value, f.name))
        }
        return {"type": type_name(type(value)), **fields}
    if isinstance(value, Mapping):
        return {str(k): describe(v, complete=complete) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [describe(v, complete=complete) for v in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise TypeError(f"{value!r} cannot define a run: {type(value).__name__} has no canonical form")


def _is_as_before(field: dataclasses.Field[Any], value: Any) -> bool:
    if AS_BEFORE not in field.metadata:
        return False
    # By text: 1, 1.0 and True are equal to Python and are not the same setting.
    return canonical(field.metadata[AS_BEFORE]) == canonical(value)


def canonical(value: Any) -> str:
    """Return the canonical JSON text: sorted keys, no white space."""
    return json.dumps(describe(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return the SHA-256 (hex) of the canonical JSON text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
