"""Rows that score no better than a constant answer, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.report.computed import ANSWERS, answers
from harness.report.values import Cell, Context, GridColumn
from harness.spec.table import Row

CLOSE = 1e-9
"""Difference up to which two numbers, of the same counts of images, are equal."""

UNEXPLAINED = "no measured reason is named"


def reasons(
    rows: Sequence[Row], cells: Mapping[str, Cell], column: GridColumn, context: Context
) -> dict[str, str]:
    """Return a footnote for each finished row of a column that no constant answer is worse than.

    Args:
        rows: the table's rows, whose explanations are named where they hold.
        cells: the column's cells by row name.
        column: the column; one without constant answers has no such rows.
        context: how the table was made.
    """
    best = _best(column)
    if best is None:
        return {}
    name, answer = best
    found = {}
    for row in rows:
        value = cells[row.name].value
        if value is not None and not _beats(value, answer, column):
            label = ANSWERS[name][0].removesuffix(" (computed)")
            why = _explained(row, column, context)
            found[row.name] = f"no better than a constant answer ({label}): {why}"
    return found


def _best(column: GridColumn) -> tuple[str, float] | None:
    """Return the best constant answer in a column by name, with its value as shown."""
    factor = column.metric.factor
    defined = [(n, factor * v) for n, v in answers(column.context).items() if v is not None]
    sign = 1 if column.metric.better == "higher" else -1
    return max(defined, key=lambda pair: sign * pair[1], default=None)


def _beats(value: float, answer: float, column: GridColumn) -> bool:
    better = value - answer if column.metric.better == "higher" else answer - value
    return better > CLOSE * column.metric.factor


def _explained(row: Row, column: GridColumn, context: Context) -> str:
    """Return the row's explanations that hold here; a probe is of pre-training alone."""
    shown = column.context.column
    if shown.probe is not None or context.overrides:
        return UNEXPLAINED
    told = [
        e.text
        for e in row.explanations
        if e.covers(context.profile, shown.dataset, generated=column.context.phantom)
    ]
    return "; ".join(told) or UNEXPLAINED
