"""Forms of the run store, and how a definition of one form reads in the next.

A migration is data: what is renamed and what is added. It can be applied, to find the key that a
record has in the next form, and undone, because random streams do not move with keys (see
``harness.streams``). ``harness.store.migrate`` brings a whole run store over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.canonical import canonical

FIRST = 2
"""The form of version 0.2's stores; those of 0.1 have no marker and are form 1."""


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One step from a form to the next.

    Attributes:
        types: new stable names of types by their old ones.
        fields: of each type, under its new name, the new names of fields by their old ones.
        added: of each type, under its new name, fields that all definitions have from now on, with
            the value that says what the type did before. A field with an "as before" value needs
            no migration.
    """

    types: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    added: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def apply(self, value: Any) -> Any:
        """Return a definition, or a part of one, as the next form writes it."""
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
        """Return a definition as the form before wrote it; ``apply`` gives it back if it could."""
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
            # By text: 1, 1.0 and True are equal to Python and are not the same setting.
            if name not in added or canonical(added[name]) != canonical(item)
        }
        types = {new: old for old, new in self.types.items()}
        return {**named, "type": types.get(kind, kind)}

    def can_undo(self, value: Any) -> bool:
        """Whether the form before could write this, so that undoing it loses nothing."""
        return canonical(self.apply(self.undo(value))) == canonical(value)


MIGRATIONS: tuple[Migration, ...] = ()
"""From form ``FIRST`` to the present one; entries are appended and never change."""


def form() -> int:
    """Return the form of the stores that this version writes."""
    return FIRST + len(MIGRATIONS)


def since(old: int) -> tuple[Migration, ...]:
    """Return the migrations from an older form to the present one, in order."""
    return MIGRATIONS[old - FIRST :]


def present(value: Any, old: int) -> Any:
    """Return a definition of form ``old`` as the present form writes it."""
    for migration in since(old):
        value = migration.apply(value)
    return value
