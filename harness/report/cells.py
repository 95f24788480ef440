"""Cells of a table: mean and interval over the seeds of a row and column, and remarks."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

from harness.report.numbers import bracket, fixed, signed
from harness.report.table_style import Spread
from harness.report.values import (
    NOTHING,
    Cell,
    ColumnContext,
    Context,
    Costing,
    Entry,
    GridColumn,
    State,
)
from harness.spec.printed import Printed
from harness.spec.quantity import Quantity
from harness.spec.recipe import Phase
from harness.spec.table import Row
from harness.stats import intervals
from harness.stats.intervals import Interval

LONGEST_ERROR = 200
"""Characters of an error in a footnote; the JSON file contains the whole error."""

LOCATION = re.compile(r" \([^()]+:[0-9]+\)$")
"""File and line of a user's code at the end of an error."""

EARLIER = re.compile(rf"({'|'.join(get_args(Phase))}) failed: ")
"""Beginning of an error that is of a stage before."""

STALE = "†"
COLLAPSED = "collapsed"
FAILED = "failed"
MISSING = "missing"
UNDEFINED = "undefined"
NOT_MEASURED = "not measured"
NOT_RUN = "not run"
NOISY = "noisy"


def make(
    row: Row,
    column: ColumnContext,
    metric: Quantity,
    runs: Sequence[Entry],
    context: Context,
    *,
    spread: Spread = "ci",
) -> Cell:
    """Return a cell without rank and footnote marks.

    Args:
        row: the table's row.
        column: the data behind the column.
        metric: the column's metric.
        runs: the entries of this row and column, at most one per seed.
        context: how the table was made.
        spread: what stands behind the mean.
    """
    printed, paper = _published(row.printed_in(column.column), metric)
    if row.stages is None:
        return Cell(state="not run", printed=printed, paper=paper, remarks=(NOT_RUN,))
    if not column.column.applies(row):
        return Cell(state="not applicable", printed=printed, paper=paper, remarks=(NOTHING,))
    entries = tuple(sorted(runs, key=lambda e: context.seeds.index(e.seed)))
    values = [metric.factor * e.value for e in entries if e.value is not None and _is_done(e)]
    state = _state(entries, len(values), len(context.seeds))
    if not values:
        return Cell(
            state=state, printed=printed, paper=paper, remarks=(str(state),), entries=entries
        )
    # Over seeds: mean, sample standard deviation, Student's 95 % interval of the mean.
    value = intervals.mean(values)
    sd = intervals.sd(values) if len(values) > 1 else None
    # No difference for a phantom column: the paper's number was measured on other images.
    difference = None if printed is None or column.phantom else value - printed
    interval = intervals.t_interval(values) if len(values) > 1 else None
    number = fixed(value, metric.digits)
    if sd is not None and interval is not None:
        number += f" ± {fixed(sd, metric.digits)}" if spread != "none" else ""
        number += f" {bracket(interval, metric.digits)}" if spread == "ci" else ""
    return Cell(
        state=state,
        printed=printed,
        value=value,
        sd=sd,
        interval=interval,
        difference=difference,
        paper=paper,
        number=number,
        change=NOTHING if difference is None else signed(difference, metric.digits),
        remarks=_remarks(entries, len(values), len(context.seeds)),
        marks=(STALE,) if any(e.stale for e in entries if _is_done(e)) else (),
        entries=entries,
    )


def cost_cell(row: Row, column: GridColumn, costing: Costing | None) -> Cell:
    """Return a cell of a cost column; ``costing`` is None if the cost is not known."""
    metric = column.metric
    printed, paper = _published(row.printed_in(column.context.column), metric)
    if row.stages is None:
        return Cell(state="not run", printed=printed, paper=paper, remarks=(NOT_RUN,))
    if costing is None:
        return Cell(state="missing", printed=printed, paper=paper, remarks=(MISSING,))
    value = metric.factor * costing.value
    comparable = printed is not None and "difference" in column.parts
    difference = value - printed if printed is not None and comparable else None
    change = "" if costing.change is None else signed(100 * costing.change, 1)
    interval = costing.interval
    return Cell(
        state="complete",
        printed=printed,
        value=value,
        interval=interval and Interval(metric.factor * interval.low, metric.factor * interval.high),
        difference=difference,
        paper=paper,
        number=fixed(value, metric.digits),
        change=NOTHING if difference is None else signed(difference, metric.digits),
        remarks=(
            *([f"{change} %"] if change.strip("0.") else []),
            *([NOISY] if costing.noisy else []),
        ),
        costing=costing,
    )


def _published(number: Printed | None, metric: Quantity) -> tuple[float | None, str]:
    """Return the paper's number and its text: as printed, or to the metric's decimals."""
    if number is None:
        return None, NOTHING
    return number.value, number.text if number.exact_decimals else fixed(
        number.value, metric.digits
    )


def _is_done(entry: Entry) -> bool:
    return entry.status == "done"


def _state(entries: Sequence[Entry], done: int, seeds: int) -> State:
    """Return a cell's state; ``done`` is the number of entries that have a value."""
    if done:
        return "complete" if done == seeds else "partial"
    if any(_is_done(e) for e in entries):
        unknown = all(e.lacking for e in entries if _is_done(e))
        return "not measured" if unknown else "undefined"
    return "failed" if any(e.status == "failed" for e in entries) else "missing"


def _remarks(entries: Sequence[Entry], done: int, seeds: int) -> tuple[str, ...]:
    """Return the words after a cell's number: finished seeds, collapsed runs."""
    remarks = [] if done == seeds else [f"{done} of {seeds} seeds"]
    collapsed = sum(e.collapsed for e in entries if e.value is not None and _is_done(e))
    if collapsed:
        remarks.append(COLLAPSED if collapsed == done else f"{COLLAPSED} {collapsed} of {done}")
    return tuple(remarks)


def footnote(
    cells: Mapping[str, Cell], marks: Mapping[str, str], constant: Mapping[str, str]
) -> dict[str, Cell]:
    """Add to each cell, by row name, its footnotes' marks.

    Args:
        cells: the cells of a column.
        marks: the mark of each ``reason`` and of each text in ``constant``.
        constant: by row name, what is said of a row that scores no better than a constant answer.
    """
    marked = {}
    for name, cell in cells.items():
        reasons = {text for e in cell.entries if (text := reason(e)) is not None}
        reasons |= {constant[name]} if name in constant else set()
        added = tuple(mark for text, mark in marks.items() if text in reasons)
        marked[name] = replace(cell, marks=cell.marks + added)
    return marked


def reason(entry: Entry) -> str | None:
    """Return the footnote that says why a run has no number; None if it has one."""
    if entry.status == "failed":
        line = " ".join((entry.error or "failed without a message").split())
        # Of a later stage the cause is told already: "pretrain failed: ValueError: ...".
        head = "" if EARLIER.match(line) else "failed: "
        return f"{head}{_shortened(line) if line else 'no message'}"
    return entry.lacking and f"{NOT_MEASURED}: {entry.lacking}"


def _shortened(line: str) -> str:
    """Shorten an error to ``LONGEST_ERROR`` characters; the file and line at its end stay."""
    if len(line) <= LONGEST_ERROR:
        return line
    found = LOCATION.search(line)
    place = found.group() if found else ""
    room = LONGEST_ERROR - len(place)
    text = textwrap.shorten(line[: len(line) - len(place)], room, placeholder=" …")
    if len(text) < room // 2:  # one long word
        text = f"{line[: room - 2]} …"
    return text + place
