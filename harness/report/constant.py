"""Rows that score no better than a constant answer, or not clearly so, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.report.computed import ANSWERS, answers
from harness.report.values import Cell, Context, GridColumn
from harness.spec.table import Row
from harness.stats import intervals

CLOSE = 1e-9
"""Difference up to which two numbers, of the same counts of images, are equal."""

UNEXPLAINED = "no measured reason is named"


def reasons(
    rows: Sequence[Row], cells: Mapping[str, Cell], column: GridColumn, context: Context
) -> dict[str, str]:
    """Return a footnote for each finished row of a column that no constant answer is clearly below.

    Of an accuracy, that is a row whose interval over the images holds the constant answer, too.

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
        if value is None or (how := _compared(value, answer, column)) is None:
            continue
        label = ANSWERS[name][0].removesuffix(" (computed)")
        found[row.name] = f"{how} a constant answer ({label}): {_explained(row, column, context)}"
    return found


def _best(column: GridColumn) -> tuple[str, float] | None:
    """Return the best constant answer in a column by name, with its value as shown."""
    factor = column.metric.factor
    defined = [(n, factor * v) for n, v in answers(column.context).items() if v is not None]
    sign = 1 if column.metric.better == "higher" else -1
    return max(defined, key=lambda pair: sign * pair[1], default=None)


def _compared(value: float, answer: float, column: GridColumn) -> str | None:
    """Return how a row compares with a constant answer, None if it is clearly better."""
    better = value - answer if column.metric.better == "higher" else answer - value
    if better <= CLOSE * column.metric.factor:
        return "no better than"
    n = column.context.n
    if column.metric.name != "accuracy" or not n:
        return None
    # All seeds are evaluated on the same images: more seeds do not make this interval narrower.
    interval = intervals.wilson(round(value / column.metric.factor * n), n)
    low = column.metric.factor * interval.low
    return "not clearly better (Wilson's 95 % over images) than" if low <= answer else None


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
