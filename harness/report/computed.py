"""Rows of constant predictions, for instance the majority class, computed without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from harness.report.numbers import fixed
from harness.report.values import ColumnContext, ComputedRow, GridColumn

MAJORITY = "majority"
"""Name of the row of the majority class."""

ANSWERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        MAJORITY: (
            "Majority class (computed)",
            "always answers the most frequent class of the evaluated images",
        ),
        "background": ("All background (computed)", "finds no lesion in any image"),
        "foreground": ("All foreground (computed)", "takes every pixel of every image for lesion"),
    }
)
"""Label and meaning of each constant prediction by name, in the order of the rows."""


def rows(columns: Sequence[GridColumn]) -> tuple[ComputedRow, ...]:
    """Return one row per constant prediction that applies to at least one column."""
    candidates = (_row(name, columns) for name in ANSWERS)
    return tuple(row for row in candidates if row.values)


def _row(name: str, columns: Sequence[GridColumn]) -> ComputedRow:
    label, meaning = ANSWERS[name]
    values: dict[str, float | None] = {}
    texts: dict[str, str] = {}
    for column in columns:
        results = answers(column.context)
        if name not in results:
            continue
        value = results[name]
        values[column.name] = None if value is None else column.metric.factor * value
        if value is not None:
            texts[column.name] = fixed(column.metric.factor * value, column.metric.digits)
    return ComputedRow(name=name, label=label, meaning=meaning, values=values, texts=texts)


def answers(context: ColumnContext) -> dict[str, float | None]:
    """Return a column's metric (natural units) for each constant prediction, by name."""
    majority = {} if context.majority is None else {MAJORITY: context.majority}
    return {**majority, **context.constants}
