"""Canonical JSON form of settings, and its SHA-256.

A type is written as its ``key_name`` (``key_name: ClassVar[str]``, declared by its author and never
changed) or, without one, as the name of its class; never as its module or file. So moving a file,
copying a table or renaming a module changes no key. A field is written as the name under which it
was first published (``renamed_from``), so that renaming it changes none either. A field that acts
only beside a certain value of another (``acts_where``) is written beside it alone.
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
"""Field metadata name of the value at which a field is left out of the canonical form."""

RENAMED_FROM = "renamed from"
"""Field metadata name of the name under which a field was first published."""

ACTS_WHERE = "acts where"
"""Field metadata name of the other field, and its value, beside which a field acts."""

DEEPEST = 100
"""Values within each other that settings may have; one that contains itself has more."""


def as_before(value: Any) -> dict[str, Any]:
    """Return metadata for a settings field that was added after its type had been published.

    A field with this value is left out of the canonical form, so that keys made before the field
    existed stay valid. With any value it is left out of the names of random streams, so that adding
    it moves no draw, see ``harness.streams``.

    Args:
        value: the value at which the type behaves as it did without the field.
    """
    return {AS_BEFORE: value}


def renamed_from(name: str) -> dict[str, Any]:
    """Return the metadata of a settings field that was published under another name.

    Keys go on to call it ``name``, the first that it had, so that its records are found. It goes
    together with other metadata: ``field(default=1, metadata={**EPOCHS, **renamed_from("old")})``.
    """
    return {RENAMED_FROM: name}


def acts_where(name: str, value: Any) -> dict[str, Any]:
    """Return metadata for a settings field that acts only where another field has a value.

    Elsewhere it is left out of the canonical form, because a key holds only what acts on a stage.

    Args:
        name: the other field of the same type, by its present name.
        value: the value of the other field beside which this one acts.
    """
    return {ACTS_WHERE: (name, value)}


def field_names(kind: type) -> dict[str, str]:
    """Return what keys call the fields of a settings type, by their present names.

    Raises:
        UserError: they call two of them the same, or one of them "type".
    """
    names = {f.name: str(f.metadata.get(RENAMED_FROM, f.name)) for f in dataclasses.fields(kind)}
    if "type" in names.values():
        raise UserError(
            f"{type_name(kind)} has a settings field 'type', which keys need for the name of the"
            " type itself; name the field differently."
        )
    if len(set(names.values())) < len(names):
        twice = sorted({name for name in names.values() if list(names.values()).count(name) > 1})
        raise UserError(
            f"Keys would call two fields of {type_name(kind)} {twice[0]!r}; a name that"
            " renamed_from gives cannot be that of another field. Name the new field differently."
        )
    return names


def type_name(kind: type) -> str:
    """Return the stable name of a settings type; a parent's ``key_name`` is not inherited."""
    name: str = vars(kind).get("key_name", kind.__qualname__)
    return name


def types_of(value: object, depth: int = 0) -> Iterator[type]:
    """Yield the type of every dataclass in a value, at any depth up to ``DEEPEST``."""
    if depth > DEEPEST:
        return  # ``describe`` says so
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield type(value)
        for part in dataclasses.fields(value):
            yield from types_of(getattr(value, part.name), depth + 1)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from types_of(item, depth + 1)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from types_of(item, depth + 1)


def describe(value: Any, *, complete: bool = False, published: bool = False) -> Any:
    """Return settings (dataclasses, tuples, mappings, plain values) as JSON values.

    Args:
        value: the settings.
        complete: use the fields' present names and include all of them (for display, not for keys).
        published: leave out every field that was added after its type had been published
            (``as_before``), whatever its value (for random streams, not for keys).

    Raises:
        TypeError: a value has no canonical form, for instance a function.
        UserError: two fields of a type have one name.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = field_names(type(value))
        fields = {
            f.name if complete else names[f.name]: describe(
                getattr(value, f.name), complete=complete, published=published
            )
            for f in dataclasses.fields(value)
            if complete or _is_written(f, value, published=published)
        }
        return {"type": type_name(type(value)), **fields}
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError(f"{value!r} cannot define a run: the names in a mapping must be text")
        return {
            name: describe(item, complete=complete, published=published)
            for name, item in value.items()
        }
    if isinstance(value, tuple | list):
        return [describe(v, complete=complete, published=published) for v in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise TypeError(f"{value!r} cannot define a run: {type(value).__name__} has no canonical form")


def _is_written(field: dataclasses.Field[Any], owner: Any, *, published: bool) -> bool:
    """Whether the canonical form of a settings object has one of its fields."""
    if ACTS_WHERE in field.metadata:
        other, beside = field.metadata[ACTS_WHERE]
        if not _is_same(getattr(owner, other), beside):
            return False
    if AS_BEFORE not in field.metadata:
        return True
    return not published and not _is_same(getattr(owner, field.name), field.metadata[AS_BEFORE])


def _is_same(one: Any, other: Any) -> bool:
    # Compared as text: 1, 1.0 and True are equal in Python but different settings.
    return canonical(one) == canonical(other)


def canonical(value: Any) -> str:
    """Return the canonical JSON text: sorted keys, no white space.

    Raises:
        TypeError: as by ``describe``, or a value contains itself.
        ValueError: a whole number has too many digits for Python to write it.
    """
    try:
        described = describe(value)
    except RecursionError as error:
        raise TypeError("a value contains itself, or too many others within each other") from error
    return json.dumps(described, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return the SHA-256 (hex) of the canonical JSON text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def short(digest: str) -> str:
    """Return the first 12 digits of a SHA-256 or commit, and any suffix such as "+changes"."""
    digits, plus, suffix = digest.partition("+")
    is_digest = len(digits) >= 40 and set(digits) <= set("0123456789abcdef")
    return (digits[:12] if is_digest else digits) + plus + suffix
