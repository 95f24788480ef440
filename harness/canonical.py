"""The canonical form of settings: plain JSON values, one text, one SHA-256.

A type is named in it by ``key_name``, which its author declares (``key_name: ClassVar[str]``) and
never changes, or else by the class's own name; never by its module or file. So moving a file,
copying a table or renaming a module changes no key. A field is named as it was first published
(``renamed_from``), so that renaming it changes none either.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import UserError

AS_BEFORE = "as before"
RENAMED_FROM = "renamed from"


def as_before(value: Any) -> dict[str, Any]:
    """Return the metadata of a settings field that was added after its type had been published.

    Where the field has this value, which is how the type behaved before, it is left out of the
    canonical form, so that keys made before the field existed stay as they are.
    """
    return {AS_BEFORE: value}


def renamed_from(name: str) -> dict[str, Any]:
    """Return the metadata of a settings field that was published under another name.

    Keys go on to call it ``name``, the first that it had, so that its records are found. It goes
    together with other metadata: ``field(default=1, metadata={**EPOCHS, **renamed_from("old")})``.
    """
    return {RENAMED_FROM: name}


def field_names(kind: type) -> dict[str, str]:
    """Return what keys call the fields of a settings type, by their present names.

    Raises:
        UserError: they call two of them the same.
    """
    names = {f.name: str(f.metadata.get(RENAMED_FROM, f.name)) for f in dataclasses.fields(kind)}
    if len(set(names.values())) < len(names):
        twice = sorted({name for name in names.values() if list(names.values()).count(name) > 1})
        raise UserError(
            f"Keys would call two fields of {type_name(kind)} {twice[0]!r}; a name that"
            " renamed_from gives cannot be that of another field. Name the new field differently."
        )
    return names


def type_name(kind: type) -> str:
    """Return the stable name of a settings type; a subclass does not inherit its parent's."""
    name: str = vars(kind).get("key_name", kind.__qualname__)
    return name


def types_of(value: object) -> Iterator[type]:
    """Yield the types of settings, at any depth: a method's, its parts', a recipe's."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield type(value)
        for part in dataclasses.fields(value):
            yield from types_of(getattr(value, part.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from types_of(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from types_of(item)


def describe(value: Any, *, complete: bool = False) -> Any:
    """Turn frozen dataclasses, tuples and mappings into JSON values; functions are refused.

    Args:
        value: what to describe.
        complete: fields have their present names, and those with their "as before" value are
            named, too (for readers, not for keys).

    Raises:
        TypeError: a value has no canonical form.
        UserError: two fields of a type have one name.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = field_names(type(value))
        fields = {
            f.name if complete else names[f.name]: describe(
                getattr(value, f.name), complete=complete
            )
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


def short(digest: str) -> str:
    """Shorten a SHA-256 or a commit to 12 digits, keeping what follows the digest ("+changes")."""
    head, plus, rest = digest.partition("+")
    is_digest = len(head) >= 40 and set(head) <= set("0123456789abcdef")
    return (head[:12] if is_digest else head) + plus + rest
