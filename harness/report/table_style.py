"""How tables are shown: the style of LaTeX files, the spread of numbers, the columns."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from harness.errors import unknown

Spread = Literal["none", "sd", "ci"]
"""What stands behind a mean: nothing, the standard deviation, or this and the interval."""

PARTS = ("paper", "ours", "difference")
"""Names of sub-columns: the paper's number, that of the runs, their difference."""


@dataclass(frozen=True, kw_only=True)
class TableStyle:
    """How the texts of tables are shown; JSON and CSV files are complete in any.

    Attributes:
        name: of LaTeX: "full", a float with all notes, or "paper", the bare tabular.
        intervals: what stands behind a mean; None is "sd" in the style "paper", "ci" in "full".
        columns: names of the columns and of the sub-columns (``PARTS``) that are shown; of a kind
            that is not named, all are.
        siunitx: whether numbers of the style "paper" are aligned by siunitx.
    """

    name: Literal["full", "paper"] = "full"
    intervals: Spread | None = None
    columns: tuple[str, ...] = ()
    siunitx: bool = False

    @property
    def spread(self) -> Spread:
        """What stands behind a mean."""
        return self.intervals or ("sd" if self.name == "paper" else "ci")

    @property
    def parts(self) -> tuple[str, ...]:
        """The sub-columns that are shown."""
        return tuple(part for part in PARTS if part in self.columns) or PARTS

    def check(self, columns: Collection[str]) -> None:
        """Check that the columns exist.

        Raises:
            UserError: one does not.
        """
        for name in self.columns:
            if name not in columns and name not in PARTS:
                raise unknown("column", name, [*columns, *PARTS])

    def shows(self, column: str, columns: Collection[str]) -> bool:
        """Whether a column is shown, of those that a table has."""
        named = [name for name in self.columns if name in columns]
        return not named or column in named


FULL = TableStyle()
"""The style of files that no option changes."""
