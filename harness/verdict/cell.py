"""The cells of a table with the evidence on them, and the margins that a table needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.spec.claim import HALF_A_POINT, Margin, Ordering, one_image
from harness.spec.quantity import Quantity
from harness.spec.table import Column, Row, Table
from harness.verdict.values import Evidence


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A row in a column, with the evidence on its published number.

    Attributes:
        row: of the table.
        column: of the table.
        metric: what the column shows.
        values: ours by seed, in the units of the table.
        evidence: on the published number; None where the paper prints none.
        counted: a cost that is computed; None for other columns.
        step: distance of neighbouring values that ours can have, see ``harness.stats.grid``.
        stale: number of runs that were made by other sources than the present ones.
        own_size: of a cost that is counted at the profile's size: why that is not the paper's.
        margin: of the column.
        collapsed: number of our runs that predict one class alone.
        absent: why there is no finished run; "" if there is.
        lacking: why a finished run has no number that can be checked; "" if none lacks one.
    """

    row: Row
    column: Column
    metric: Quantity
    values: Mapping[int, float]
    evidence: Evidence | None
    counted: float | None = None
    step: float = 0.0
    stale: int = 0
    own_size: tuple[str, ...] = ()
    margin: Margin = HALF_A_POINT
    collapsed: int = 0
    absent: str = ""
    lacking: str = ""

    @property
    def name(self) -> str:
        """Row and column, by which a verdict is found."""
        return f"{self.row.name} / {self.column.name}"


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """All cells of a table with what is common to them: whatever a verdict is made from.

    Attributes:
        table: its rows, columns, subject and claims.
        cells: by names of row and column.
        scale: what is not the paper's, by name of the column; judged effects are marked with it.
    """

    table: Table
    cells: Mapping[tuple[str, str], Cell]
    scale: Mapping[str, tuple[str, ...]]


def margins(table: Table) -> dict[str, Margin]:
    """Return the margin of each column that needs one: the table's, else a default.

    Published numbers need one, and claims that a row is not worse than another.
    """
    claimed = {
        part.column
        for claim in table.claims
        for part in claim.decided_by
        if isinstance(part, Ordering) and part.holds == "not worse"
    }
    names = {
        column.name: column
        for column in table.columns
        if column.cost is None
        and (
            column.name in claimed or any(row.printed_in(column) is not None for row in table.rows)
        )
    }
    return {
        name: table.margins.get(name) or _default(table, column) for name, column in names.items()
    }


def stated_images(table: Table, column: Column) -> int | None:
    """Return the number of images that all published numbers of a column state; None if not."""
    printed = [number for row in table.rows if (number := row.printed_in(column)) is not None]
    stated = {number.images for number in printed}
    return stated.pop() if len(stated) == 1 else None


def _default(table: Table, column: Column) -> Margin:
    from harness.data import registry as data_registry

    shipped = data_registry.shipped().get(column.dataset)
    images = stated_images(table, column)
    if images is None and shipped is not None:
        images = shipped.sizes.get("eval")
    return one_image(images) if images and column.metric == "accuracy" else HALF_A_POINT
