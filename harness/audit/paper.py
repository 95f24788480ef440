"""Audit of the paper's numbers: what they can be, by themselves and beside each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from harness.audit import (
    arithmetic,
    chance,
    entries,
    equation,
    inconsistent,
    margins,
    published,
)
from harness.audit.arithmetic import Checked
from harness.audit.chance import Chance, Rate
from harness.audit.entries import Entry
from harness.audit.equation import Flops, Halves
from harness.audit.inconsistent import Finding
from harness.audit.margins import Margin
from harness.verdict import constant
from harness.verdict.constant import Constant

FORMAT = 2
"""Version of the JSON layout."""

DATASETS = ("messidor2", "btmd", "ham10000", "busi")
"""The paper's data sets."""

COLUMNS = (("table1", "messidor2"), ("table1", "btmd"), ("table1", "ham10000"), ("table7", "busi"))
"""Columns whose best number the paper prints in bold as the state of the art."""


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """How many accuracies of a table are no count of images.

    Attributes:
        table: the paper's table.
        cells: its accuracies.
        by_rounding: those that no count gives by rounding half up or half to even.
        by_any: those that no count gives by truncation either.
    """

    table: str
    cells: int
    by_rounding: int
    by_any: int


@dataclass(frozen=True, kw_only=True)
class PaperAudit:
    """The audit of a paper's tables.

    Attributes:
        entries: one per published number.
        roundings: unattainable accuracies by table.
        rates: shares of printable numbers that are counts, by data set.
        chances: accuracies that are counts beside how many would be by chance, by table.
        constants: the constant answers by data set.
        margins: of the best numbers over the second.
        arithmetic: numbers of the text against those of the tables.
        findings: inconsistencies.
        halves: both terms of eq. 3.
        flops: the forward pass under two conventions.
    """

    entries: tuple[Entry, ...]
    roundings: tuple[Rounding, ...]
    rates: tuple[Rate, ...]
    chances: tuple[Chance, ...]
    constants: tuple[Constant, ...]
    margins: tuple[Margin, ...]
    arithmetic: tuple[Checked, ...]
    findings: tuple[Finding, ...]
    halves: tuple[Halves, ...]
    flops: tuple[Flops, ...]

    @property
    def collapsed(self) -> tuple[Entry, ...]:
        """Entries that equal the constant answer."""
        return tuple(e for e in self.entries if e.constant == "equal")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, unrounded; accuracies and margins in points."""
        return {
            "format": FORMAT,
            "published_numbers": len(self.entries),
            "counted": "every number of the rows of Tables 1, 2, 3, 7 and 8; a row's cost once;"
            " numbers that are printed twice count twice",
            "numbers": [entry.to_json() for entry in self.entries],
            "grim": [dataclasses.asdict(r) for r in self.roundings],
            "grim_rates": [dataclasses.asdict(r) for r in self.rates],
            "grim_by_chance": [dataclasses.asdict(c) for c in self.chances],
            "constants": [
                {**dataclasses.asdict(c), "counts": list(c.counts), "expected": c.expected}
                for c in self.constants
            ],
            "margins": [_margin_json(m) for m in self.margins],
            "arithmetic": [dataclasses.asdict(c) for c in self.arithmetic],
            "inconsistencies": [dataclasses.asdict(f) for f in self.findings],
            "equation_3": [dataclasses.asdict(h) for h in self.halves],
            "flops": [dataclasses.asdict(f) for f in self.flops],
        }


def audit(weight: float) -> PaperAudit:
    """Audit the shipped tables' published numbers.

    Args:
        weight: λ of eq. 3.
    """
    numbers = published.collect()
    constants = constant.constants(DATASETS)
    counted = equation.flops(numbers)
    made = entries.entries(numbers, constants, counted)
    return PaperAudit(
        entries=made,
        roundings=_roundings(made),
        rates=chance.rates(made),
        chances=chance.chances(made, inconsistent.DEFAULTS),
        constants=tuple(constants.values()),
        margins=tuple(
            margins.margin([n for n in numbers if (n.table, n.dataset) == column and n.is_share])
            for column in COLUMNS
        ),
        arithmetic=arithmetic.check(numbers),
        findings=inconsistent.findings(numbers),
        halves=equation.halves(DATASETS, weight),
        flops=counted,
    )


def _roundings(made: Sequence[Entry]) -> tuple[Rounding, ...]:
    tables: dict[str, list[Entry]] = {}
    for entry in made:
        if entry.grim is not None:
            tables.setdefault(entry.number.source, []).append(entry)
    return tuple(
        Rounding(
            table=table,
            cells=len(found),
            by_rounding=sum(not e.grim.rounded for e in found if e.grim is not None),
            by_any=sum(not e.ok for e in found),
        )
        for table, found in tables.items()
    )


def _margin_json(m: Margin) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in dataclasses.fields(m):
        value = getattr(m, field.name)
        if isinstance(value, published.Number):
            value = {"row": value.row, "label": value.label, "printed": value.printed.text}
        values[field.name] = list(value) if isinstance(value, tuple) else value
    column = {"table": m.best.table, "source": m.best.source, "dataset": m.best.dataset}
    return {**column, **values}


def repeated(made: Sequence[Entry]) -> tuple[tuple[str, str, int, tuple[str, ...]], ...]:
    """Return accuracies that several rows of one column of one table share.

    Rows of Table 8's small tables that repeat the default are one setting and left out.

    Returns:
        table, data set, count of images and labels.
    """
    groups: dict[tuple[str, str, int], list[str]] = {}
    for entry in made:
        number = entry.number
        if entry.grim is not None and number.table != "table8":
            for count in entry.grim.counts:
                groups.setdefault((number.source, number.dataset, count), []).append(number.label)
    return tuple((*key, tuple(labels)) for key, labels in groups.items() if len(labels) > 1)


def spread(made: Sequence[Entry], dataset: str) -> tuple[int, Fraction]:
    """Return the number of different accuracies of Table 8 on a data set, and their range."""
    values = {
        e.number.printed.exact
        for e in made
        if (e.number.table, e.number.dataset) == ("table8", dataset)
    }
    return len(values), max(values) - min(values)
