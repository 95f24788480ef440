"""Arithmetic of the paper's text: differences, shares and sums, against the numbers of its tables.

A difference of two printed numbers is exact. A share (a saving in percent) is rounded, and so are
the two numbers that it is made from: it agrees where its interval and theirs meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

from harness.audit.published import Number, find
from harness.data import registry
from harness.spec.printed import Printed


class Cell(NamedTuple):
    """Where a number stands: table, row, data set, metric."""

    table: str
    row: str
    dataset: str
    metric: str


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A number in the text that follows from numbers of the tables.

    Attributes:
        text: what is said.
        source: where.
        printed: the number in the text.
        kind: "difference" is first less second; "saving" is 100 (1 - second / first).
        first, second: the cells.
        best_rival: whether the second cell has to be the best of its column's other rows.
    """

    text: str
    source: str
    printed: str
    kind: Literal["difference", "saving"]
    first: Cell
    second: Cell
    best_rival: bool = False


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A statement with what the tables give.

    Attributes:
        text, source: of the statement.
        printed: the number in the text.
        computed: the number that the tables give.
        low, high: what it can be, by the rounding of the tables' numbers.
        agrees: whether the printed number, by its own rounding, lies in that range.
        remark: what else is wrong or to be known; "" for nothing.
    """

    text: str
    source: str
    printed: str
    computed: float
    low: float
    high: float
    agrees: bool
    remark: str = ""


def _accuracy(table: str, row: str, dataset: str) -> Cell:
    return Cell(table, row, dataset, "accuracy")


def _over(
    dataset: str, rival: str, points: str, *, arrow: bool, table: str = "table1"
) -> Statement:
    where = {"table1": "Table 1", "table7": "Table 7"}[table]
    return Statement(
        text=f"MSMAE over {'the best rival' if arrow else 'MAE'} on {dataset}",
        source=f"{where}, arrow" if arrow else "Section 1",
        printed=points,
        kind="difference",
        first=_accuracy(table, "msmae", dataset),
        second=_accuracy(table, rival, dataset),
        best_rival=arrow,
    )


def _masks(metric: str, points: str) -> Statement:
    return Statement(
        text=f"MSMAE over the best rival in {'F1' if metric == 'f1' else 'IoU'}",
        source="Table 2, arrow",
        printed=points,
        kind="difference",
        first=Cell("table2", "msmae", "busi", metric),
        second=Cell("table2", "mae", "busi", metric),
        best_rival=True,
    )


def _saving(text: str, metric: str, percent: str) -> Statement:
    return Statement(
        text=text,
        source="Abstract, section 1",
        printed=percent,
        kind="saving",
        first=Cell("table3", "sam-plain", "", metric),
        second=Cell("table3", "sam-sam", "", metric),
    )


STATEMENTS: tuple[Statement, ...] = (
    _over("messidor2", "mae", "2.87", arrow=False),
    _over("btmd", "mae", "15.93", arrow=False),
    _over("ham10000", "mae", "6.96", arrow=False),
    _over("messidor2", "mocov3", "2.11", arrow=True),
    _over("btmd", "amt", "0.22", arrow=True),
    _over("ham10000", "swin", "0.27", arrow=True),
    _masks("f1", "3.57"),
    _masks("iou", "1.58"),
    _over("busi", "vit", "3.43", arrow=True, table="table7"),
    Statement(
        text="MSMAE over MAE on busi",
        source="Appendix C.2",
        printed="4.72",
        kind="difference",
        first=_accuracy("table7", "msmae", "busi"),
        second=_accuracy("table7", "mae", "busi"),
    ),
    _saving("SAM in fine-tuning saves FLOPs (%)", "paper_training_macs", "74.08"),
    _saving("SAM in fine-tuning saves inference time (%)", "training_seconds", "11.2"),
)
"""Numbers of the text that follow from those of the tables."""

SUMS = ("messidor2", "btmd", "ham10000", "busi")
"""Data sets whose parts the paper adds up (Appendix A)."""


def check(numbers: Sequence[Number]) -> tuple[Checked, ...]:
    """Return every statement of the text with what the tables give, then the data sets' sums."""
    return (*(_checked(s, numbers) for s in STATEMENTS), *(_sum(name) for name in SUMS))


def _checked(statement: Statement, numbers: Sequence[Number]) -> Checked:
    first, second = (find(numbers, *cell) for cell in (statement.first, statement.second))
    printed = Printed(statement.printed)
    a, b = first.printed.exact, second.printed.exact
    if statement.kind == "difference":
        low = high = computed = a - b
        agrees = computed == printed.exact
    else:
        computed = _saved(a, b)
        half_a, half_b = (_half_unit(n.printed) for n in (first, second))
        low, high = _saved(a - half_a, b + half_b), _saved(a + half_a, b - half_b)
        half = _half_unit(printed)
        agrees = low <= printed.exact + half and printed.exact - half <= high
    return Checked(
        text=statement.text,
        source=statement.source,
        printed=statement.printed,
        computed=float(computed),
        low=float(low),
        high=float(high),
        agrees=agrees,
        remark=_remark(statement, second, numbers),
    )


def _saved(whole: Fraction, rest: Fraction) -> Fraction:
    return 100 * (1 - rest / whole)


def _half_unit(printed: Printed) -> Fraction:
    return Fraction(1, 2 * 10**printed.digits)


def _remark(statement: Statement, second: Number, numbers: Sequence[Number]) -> str:
    """Return who the best rival is, where the statement means another one."""
    if not statement.best_rival:
        return ""
    cell = statement.second
    column = [
        n
        for n in numbers
        if (n.table, n.dataset, n.metric) == (cell.table, cell.dataset, cell.metric)
        and n.row != statement.first.row
    ]
    best = max(column, key=lambda n: n.printed.exact)
    named = (
        second.label if second is best else f"{second.label}, but the best rival is {best.label}"
    )
    return f"the best rival is {named}" if second is best else named


def _sum(name: str) -> Checked:
    dataset = registry.find(name)
    train, evaluated, whole = dataset.sizes["train"], dataset.sizes["eval"], sum(dataset.counts)
    return Checked(
        text=f"images of {name}: {train} + {evaluated}",
        source="Appendix A",
        printed=str(whole),
        computed=float(train + evaluated),
        low=float(train + evaluated),
        high=float(train + evaluated),
        agrees=train + evaluated == whole,
    )
