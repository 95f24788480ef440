"""What a paper says of its numbers: margins of equivalence, and claims that cells decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from harness import ranges
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
    """

    row: str
    than: str
    column: str
    holds: Literal["better", "not worse"] = "better"


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
        decided_by: all must hold; empty for a claim that no cell of the table decides.
        instead: what would decide a claim that no cell of the table decides.
    """

    name: str
    text: str
    source: str
    decided_by: tuple[Ordering | Change, ...] = ()
    instead: str = ""
