"""Rows that nothing was trained for: what answering the same to every image reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from harness.report.numbers import fixed
from harness.report.values import ColumnContext, ComputedRow, GridColumn

MAJORITY = "majority"

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
"""Label and meaning of each by name, in the order of the rows."""


def rows(columns: Sequence[GridColumn]) -> tuple[ComputedRow, ...]:
    """Return a row for each answer that concerns a column."""
    made = (_row(name, columns) for name in ANSWERS)
    return tuple(row for row in made if row.values)


def _row(name: str, columns: Sequence[GridColumn]) -> ComputedRow:
    label, meaning = ANSWERS[name]
    values: dict[str, float | None] = {}
    texts: dict[str, str] = {}
    for column in columns:
        found = _reached(column.context)
        if name not in found:
            continue
        value = found[name]
        values[column.name] = None if value is None else column.metric.factor * value
        if value is not None:
            texts[column.name] = fixed(column.metric.factor * value, column.metric.digits)
    return ComputedRow(name=name, label=label, meaning=meaning, values=values, texts=texts)


def _reached(context: ColumnContext) -> dict[str, float | None]:
    majority = {} if context.majority is None else {MAJORITY: context.majority}
    return {**majority, **context.constants}
