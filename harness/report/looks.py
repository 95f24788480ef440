"""One colour, pattern and shape for every row of a table, the same in all its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.report import style
from harness.spec.table import Table

OWN_METHOD = "msmae"
"""Row that looks like a table's subject where the table names none."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a row is drawn.

    Attributes:
        number: its place; the table's subject is 0, all others count from 1.
    """

    number: int

    @property
    def colour(self) -> str:
        """Colour of its lines and points."""
        return style.colour(self.number)

    @property
    def dashes(self) -> Any:
        """Pattern of its lines."""
        return style.dashes(self.number)

    @property
    def marker(self) -> str:
        """Shape of its points."""
        return style.marker(self.number)


def of_table(whole: Table) -> Mapping[str, Look]:
    """Return the looks of a table's rows by name.

    Args:
        whole: with all its rows, so that a row looks the same whichever others are shown.
    """
    subject = whole.subject or OWN_METHOD
    others = [row.name for row in whole.rows if row.name != subject]
    return {subject: Look(number=0), **{n: Look(number=i) for i, n in enumerate(others, 1)}}


def shared(looks: Mapping[str, Look], rows: tuple[str, ...]) -> Look:
    """Return the look of a line that several rows share: the subject's, else that of the first."""
    return min((looks[row] for row in rows), key=lambda look: look.number)


def labels(whole: Table) -> Mapping[str, str]:
    """Return the labels of a table's rows by name; equal ones are followed by the name."""
    every = [row.label for row in whole.rows]
    return {
        row.name: row.label if every.count(row.label) == 1 else f"{row.label} ({row.name})"
        for row in whole.rows
    }
