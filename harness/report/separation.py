"""Which rows of a column can be told apart: the values of ``harness.report.ties``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two rows of a column and the tests of their difference.

    Attributes:
        first: name of a row.
        second: name of another row.
        difference: first less second, mean over the seeds, in display units.
        seeds_p: p value of the paired t test over seeds; None with one seed.
        images_p: p value over images; None where predictions are not kept.
        p: the larger of both; None if there is neither.
        adjusted: p after Holm's correction over all pairs.
        better: name of the better row if the two are separable, else None.
    """

    first: str
    second: str
    difference: float
    seeds_p: float | None
    images_p: float | None
    p: float | None
    adjusted: float
    better: str | None


@dataclass(frozen=True, kw_only=True)
class Ties:
    """What tests say about the order of a column's rows, in the whole or in a small table.

    Attributes:
        column: name of the column.
        heading: the column's heading.
        subtable: title of the small table, "" for the whole table.
        rows: names of the ranked rows, in the table's order.
        unranked: reasons of complete rows that are not ranked, by name.
        pairs: all pairs of ranked rows.
        seeds: the seeds of every ranked row.
        images: number of images of the tests over images; None if there were none.
        groups: number of lesions or patients that they come in; None where there are no groups.
        between: standard deviation between the rows' means beyond what their seeds explain.
        within: standard deviation between seeds within a row; None with one seed.
        untested: number of pairs that were not tested over images.
        lacking: rows whose predictions cannot be used, by the reason.
    """

    column: str
    heading: str
    subtable: str
    rows: tuple[str, ...]
    unranked: Mapping[str, str]
    pairs: tuple[Pair, ...]
    seeds: tuple[int, ...]
    images: int | None
    groups: int | None
    between: float | None
    within: float | None
    untested: int
    lacking: Mapping[str, tuple[str, ...]]

    @property
    def of_methods(self) -> bool:
        """Whether the tests say something about methods, not only about the trained models."""
        return len(self.seeds) > 1

    @property
    def ratio(self) -> float | None:
        """``between`` over ``within``; None with one seed, or where the seeds do not vary."""
        return self.between / self.within if self.between is not None and self.within else None

    def place(self, row: str) -> tuple[int, int]:
        """Return the highest and the lowest rank of a ranked row that the tests leave open."""
        above = sum(pair.better not in (None, row) for pair in self.pairs_of(row))
        below = sum(pair.better == row for pair in self.pairs_of(row))
        return 1 + above, len(self.rows) - below

    def pairs_of(self, row: str) -> tuple[Pair, ...]:
        """Return the pairs with a row."""
        return tuple(pair for pair in self.pairs if row in (pair.first, pair.second))

    @property
    def best(self) -> str | None:
        """Name of the row that is better than every other; None if none is, or with one seed."""
        return self._alone_at(1)

    @property
    def second(self) -> str | None:
        """Name of the row that is better than every row but the best; None without a best."""
        return self._alone_at(2) if self.best is not None else None

    def _alone_at(self, rank: int) -> str | None:
        if not self.of_methods or len(self.rows) < 2:
            return None
        return next((row for row in self.rows if self.place(row) == (rank, rank)), None)


def rank_text(low: int, high: int) -> str:
    """Return the ranks that tests leave to a row in words."""
    return f"rank {low}" if low == high else f"rank {low}–{high}"
