"""Forms of the run store, and the migrations that convert definitions between them.

A migration lists renamed and added names. It is applied to compute the key of a record in the next
form, and undone to derive a stage's random streams, which keep following the form in which they
began (see ``harness.streams``). ``harness.store.migrate`` converts a whole run store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.canonical import canonical

FIRST = 2
"""Form of the stores of version 0.2; those of 0.1 have no marker and count as form 1."""


@dataclass(frozen=True, kw_only=True)
class Migration:
    """The changes from one form to the next.

    Attributes:
        types: new stable names of types by old names.
        fields: new names of fields by old names, by the new name of their type.
        added: new fields that every definition contains from then on, by the new name of their
            type, with the value that stands for the behaviour before. A field with an "as before"
            value needs no migration.
    """

    types: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    added: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def apply(self, value: Any) -> Any:
        """Return a definition, or a part of one, in the next form."""
        if isinstance(value, list):
            return [self.apply(item) for item in value]
        if not isinstance(value, Mapping):
            return value
        inner = {name: self.apply(item) for name, item in value.items()}
        old = inner.get("type")
        if not isinstance(old, str):
            return inner
        kind = self.types.get(old, old)
        renamed = self.fields.get(kind, {})
        named = {renamed.get(name, name): item for name, item in inner.items()}
        return {**self.added.get(kind, {}), **named, "type": kind}

    def undo(self, value: Any) -> Any:
        """Return a definition in the previous form; ``can_undo`` says whether nothing is lost."""
        if isinstance(value, list):
            return [self.undo(item) for item in value]
        if not isinstance(value, Mapping):
            return value
        inner = {name: self.undo(item) for name, item in value.items()}
        kind = inner.get("type")
        if not isinstance(kind, str):
            return inner
        added = self.added.get(kind, {})
        former = {new: old for old, new in self.fields.get(kind, {}).items()}
        named = {
            former.get(name, name): item
            for name, item in inner.items()
            # Compared as canonical text: in Python 1 == 1.0 == True, but keys distinguish them.
            if name not in added or canonical(added[name]) != canonical(item)
        }
        types = {new: old for old, new in self.types.items()}
        return {**named, "type": types.get(kind, kind)}

    def can_undo(self, value: Any) -> bool:
        """Whether the previous form can express a definition, so that ``undo`` loses nothing."""
        return canonical(self.apply(self.undo(value))) == canonical(value)


MIGRATIONS: tuple[Migration, ...] = ()
"""Migrations from form ``FIRST`` to the current one; new ones are appended, none is changed."""


def form() -> int:
    """Return the form of the stores that this version writes."""
    return FIRST + len(MIGRATIONS)


def since(old: int) -> tuple[Migration, ...]:
    """Return the migrations from an older form to the current one, in order."""
    return MIGRATIONS[old - FIRST :]


def present(value: Any, old: int) -> Any:
    """Return a definition of form ``old`` in the current form."""
    for migration in since(old):
        value = migration.apply(value)
    return value
