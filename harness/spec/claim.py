"""What a paper says of its numbers: margins of equivalence, and claims that cells decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from harness import ranges
from harness.errors import UserError
from harness.spec.printed import Printed


@dataclass(frozen=True, kw_only=True)
class Margin:
    """Largest difference to a published number that counts as the same, and why.

    A margin is chosen before the first run. It is stated in the table's file and written to a
    ledger of the run store at the table's first run; a later change is refused.

    Attributes:
        value: in the units of the table (points of percent for shares).
        source: where it comes from ("one image of 522").
    """

    value: Annotated[float, Meta(gt=0, le=1e15)]
    source: str

    def __post_init__(self) -> None:
        ranges.check(self)


def one_image(images: int) -> Margin:
    """Return the margin of one image more or less, in points of percent.

    The least that two models can differ by on a test set of so many images.
    """
    return Margin(value=100 / images, source=f"one image of {images}")


HALF_A_POINT = Margin(value=0.5, source="stated default: half a point")
"""For metrics that are no counts of images, where the paper gives no spread over seeds."""


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """A row is better than another in a column, or not worse.

    Attributes:
        row: name of the row that the claim is about.
        than: name of the other row.
        column: name of the column.
        holds: "better": significantly better; "not worse": worse by the column's margin at most.
        by: the published size of the difference, positive where the row is better; None if the
            sentence states none. It is judged like the size of a gain.

    Raises:
        UserError: a size is given for "not worse", which states none, or contradicts "better".
    """

    row: str
    than: str
    column: str
    holds: Literal["better", "not worse"] = "better"
    by: Printed | None = None

    def __post_init__(self) -> None:
        if self.by is not None and (self.holds != "better" or self.by.value <= 0):
            raise UserError(
                f"The size {self.by.text} of {self.row} {self.holds} than {self.than} has no"
                ' meaning; give a number above 0, with holds="better".'
            )


@dataclass(frozen=True, kw_only=True)
class Change:
    """A row's number differs from another's by a published percentage.

    Attributes:
        row: name of the row that the claim is about.
        than: name of the row that is 100 %.
        column: name of the column, of a cost.
        percent: the change as published, negative for a saving.
    """

    row: str
    than: str
    column: str
    percent: Printed


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of the paper, and the cells that decide whether it holds.

    Attributes:
        name: short stable name.
        text: the sentence.
        source: where the paper says so ("abstract", "section 4.2").
        decided_by: what must hold; empty for a claim that no cell of the table decides.
        instead: what would decide a claim that no cell of the table decides.
        holds: how much of ``decided_by`` must hold: "all", "any" (one), or a number of parts. As
            the sentence says: "several" of nine comparisons is not all of them.

    Raises:
        UserError: ``holds`` is no number of parts that there are.
    """

    name: str
    text: str
    source: str
    decided_by: tuple[Ordering | Change, ...] = ()
    instead: str = ""
    holds: Literal["all", "any"] | ranges.AnyCount = "all"
    counts: Literal["parts", "columns"] = "parts"

    def __post_init__(self) -> None:
        ranges.check(self)
        given, number = self.holds, self._number
        whole = isinstance(given, int) and not isinstance(given, bool)
        if self.counts not in ("parts", "columns") or not (
            given in ("all", "any") or (whole and 1 <= int(given) <= number)
        ):
            raise UserError(
                f"The claim {ranges.said(self.name)} counts {ranges.said(self.counts)} and holds"
                f' for {ranges.said(given)}; allowed: counts "parts" or "columns", holds "all",'
                f' "any" or a whole number from 1 to {number}.'
            )

    @property
    def _number(self) -> int:
        if self.counts == "columns":
            return len({part.column for part in self.decided_by})
        return len(self.decided_by)

    @property
    def least(self) -> int:
        """Number of parts, or of columns, that must hold."""
        if isinstance(self.holds, int):
            return self.holds
        return self._number if self.holds == "all" else min(1, self._number)
