"""States of a stage that is trained, which name who writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Self

from harness.store.checkpoint import Checkpoints
from harness.store.interrupted import By


class SignedCheckpoints(Checkpoints):
    """States of a stage that say who wrote them; whoever goes on from one is told its epochs."""

    def sign(self, by: By, began: Callable[[int], None]) -> Self:
        """Let states name their writer.

        Args:
            by: this process.
            began: receives, when a state has been looked for, the number of its epochs, else 0.
        """
        self._by, self._began_at = by, began
        return self

    def load(self) -> dict[str, Any] | None:
        """Return the state to resume from; see ``Checkpoints.load``."""
        found = super().load()
        self._began_at(0 if found is None else len(found.get("history", ())))
        return found

    def save(self, state: Mapping[str, Any], *, always: bool = False) -> bool:
        """Write the state with its writer; see ``Checkpoints.save``."""
        return super().save({**state, "by": asdict(self._by)}, always=always)
