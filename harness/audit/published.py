"""The published numbers of the paper's tables, one object each, read from the tables' own files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.data import registry
from harness.plan import catalog
from harness.spec.printed import Printed
from harness.spec.table import Row, Table

TABLES = ("table1", "table2", "table3", "table7", "table8")
"""Experiments whose rows hold the paper's numbers."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number that the paper prints in a table.

    Attributes:
        table: name of the experiment ("table1").
        source: the paper's table ("Table 1").
        row: name of the row.
        label: the row's label, with the heading of its small table if it is in one.
        dataset: name of the data set; "" for a cost, which belongs to none.
        metric: name of the metric or cost.
        printed: the number.
        n: evaluated images in the paper; None for a cost.
    """

    table: str
    source: str
    row: str
    label: str
    dataset: str
    metric: str
    printed: Printed
    n: int | None

    @property
    def place(self) -> str:
        """Where it stands, in words."""
        column = self.dataset if self.metric == "accuracy" else self.metric
        return f"{self.source}, {self.label}, {column}"

    @property
    def is_share(self) -> bool:
        """Whether it is a share of the evaluated images: 100 k / n for a whole k."""
        return self.metric == "accuracy"


def collect(tables: Sequence[str] = TABLES) -> tuple[Number, ...]:
    """Return the published numbers of tables, by table, row and column."""
    return tuple(number for name in tables for number in numbers_of(*catalog.load(name)))


def numbers_of(name: str, table: Table) -> Iterator[Number]:
    """Yield the published numbers of a table; a row's cost is one, whatever its data sets."""
    sizes = {d.name: d.sizes.get("eval") for d in registry.shipped().values()}
    for row in table.rows:
        seen = set()
        for column in table.columns:
            printed = row.printed_in(column)
            key = column.metric if column.cost else column.name
            if printed is None or key in seen:
                continue
            seen.add(key)
            yield Number(
                table=name,
                source=table.source,
                row=row.name,
                label=_label(table, row),
                dataset="" if column.cost else column.dataset,
                metric=column.metric,
                printed=printed,
                n=None if column.cost else sizes.get(column.dataset),
            )


def _label(table: Table, row: Row) -> str:
    heading = table.subtables.get(row.group)
    return row.label if heading is None else f"{heading} {row.label}"


def find(numbers: Sequence[Number], table: str, row: str, dataset: str, metric: str) -> Number:
    """Return one number of a table.

    Raises:
        KeyError: the table has none there.
    """
    for n in numbers:
        if (n.table, n.row, n.dataset, n.metric) == (table, row, dataset, metric):
            return n
    raise KeyError(f"{table} has no number of {row!r} under {dataset} {metric}")
