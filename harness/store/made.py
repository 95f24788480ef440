"""What written files are of: the experiment and the part of it, by which files are told apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SEEDS = "seeds"
"""The part that may grow: the same table with more seeds is written over the one with fewer."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a command wrote, or would write.

    Attributes:
        experiment: its name.
        file: what tells users' files of one name apart; "" for a table that ships.
        profile: name of the profile.
        parts: how it differs from the whole table, by what differs ("rows", "columns", ...).
        seeds: those that have finished runs.
    """

    experiment: str
    file: str = ""
    profile: str
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()

    def differs(self, other: Made) -> str:
        """Return in what another one differs, as "columns btmd, not the whole table"; "" if not."""
        if (self.experiment, self.file) != (other.experiment, other.file):
            same = self.experiment == other.experiment
            return f"table {other.experiment!r}" + (" of another file" if same else "")
        if self.profile != other.profile:
            return f"profile {other.profile!r}, not {self.profile!r}"
        for part in dict.fromkeys((*other.parts, *self.parts)):
            ours, theirs = self.parts.get(part, ()), other.parts.get(part, ())
            if part != SEEDS and tuple(ours) != tuple(theirs):
                return f"{part} {_names(theirs)}, not {_names(ours)}"
        return ""


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "those of the whole table"
