"""Renderer of a grid as data: JSON values, and a pandas table with one line per run.

All numbers are unrounded and in display units (percent for shares). pandas is slow to import and
is imported only by ``frame``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from harness.errors import shown
from harness.report.division import Division
from harness.report.separation import Ties
from harness.report.values import (
    Cell,
    Comparison,
    Costing,
    Entry,
    Grid,
    GridColumn,
    Group,
)
from harness.stats import intervals
from harness.stats.intervals import Interval

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
"""Version of the JSON layout, increased when the layout changes."""


def to_json(grid: Grid) -> dict[str, Any]:
    """Return the table as JSON values, unrounded and in display units."""
    context = dataclasses.asdict(grid.context)
    return {
        "format": FORMAT,
        "name": context.pop("name"),
        "title": grid.title,
        "source": grid.source,
        "caption": " ".join(grid.caption),
        "units": "metric times factor" + ("" if grid.own else ", as the paper prints it"),
        "context": {**context, "versions": dict(grid.context.versions)},
        "columns": [_column(column) for column in grid.columns],
        **({"subtables": [_subtable(group) for group in grid.groups]} if grid.separate else {}),
        "rows": [
            {
                "name": row.row.name,
                "label": row.row.label,
                "group": row.row.group,
                "backbone": row.row.backbone,
                **({"modules": list(row.row.modules)} if grid.modules else {}),
                "cells": {c.name: _cell(row.cells[c.name], c) for c in grid.columns},
            }
            for row in grid.rows
        ],
        **{
            row.name: {c.name: row.values.get(c.name) for c in grid.columns}
            for row in grid.computed
        },
        **({"comparisons": [_compared(c) for c in grid.comparisons]} if grid.comparisons else {}),
        "ties": [_ties(ties) for ties in grid.ties],
        "footnotes": [dataclasses.asdict(note) for note in grid.footnotes],
        "notes": [dataclasses.asdict(note) for note in grid.notes],
    }


def _subtable(group: Group) -> dict[str, Any]:
    names = [row.row.name for row in group.rows]
    return {"title": group.title, "heading": group.heading, "rows": names}


def _compared(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON values, in display units."""
    return {
        "row": comparison.row.row.name,
        "reference": comparison.reference.row.name,
        "column": comparison.column.name,
        "seeds": list(comparison.seeds),
        "difference": comparison.difference,
        "interval": _interval(comparison.interval),
    }


def _ties(ties: Ties) -> dict[str, Any]:
    """Return which rows of a column can be told apart as JSON values, in display units."""
    values = dataclasses.asdict(ties)
    del values["heading"]
    return {
        **values,
        "of": "methods" if ties.of_methods else "trained models",
        "best": ties.best,
        "second": ties.second,
        "separable_pairs": sum(pair.better is not None for pair in ties.pairs),
        "ratio": ties.ratio,
    }


def _column(column: GridColumn) -> dict[str, Any]:
    context, metric = column.context, column.metric
    return {
        "name": column.name,
        "title": context.title,
        "dataset": context.dataset,
        "asked_for": context.column.dataset,
        "phantom": context.phantom,
        "n": context.n,
        "printed_n": context.printed_n,
        "split": context.split,
        "stored_size": context.stored_size,
        "remarks": list(context.remarks),
        "division": None if context.division is None else _division(context.division),
        "data": context.data,
        "metric": metric.name,
        "better": metric.better,
        "digits": metric.digits,
        "factor": metric.factor,
    }


def _division(division: Division) -> dict[str, Any]:
    """Return how a data set was divided as JSON values; counts are of whole parts."""
    values = dataclasses.asdict(division)
    return {**values, "overlaps": list(values["overlaps"])}


def _cell(cell: Cell, column: GridColumn) -> dict[str, Any]:
    return {
        "state": cell.state,
        "printed": cell.printed,
        "value": cell.value,
        "sd": cell.sd,
        "interval": _interval(cell.interval),
        "difference": cell.difference,
        "rank": cell.rank,
        "ranks": None if cell.ranks is None else list(cell.ranks),
        "marks": list(cell.marks),
        "remarks": list(cell.remarks),
        "seeds": [_entry(entry, column) for entry in cell.entries],
        **({} if cell.costing is None else {"cost": to_cost(cell.costing)}),
    }


def to_cost(costing: Costing) -> dict[str, Any]:
    """Return a cost as JSON values, in natural units."""
    return {
        "value": costing.value,
        "change": costing.change,
        "noisy": list(costing.noisy),
        **costing.detail,
    }


def _entry(entry: Entry, column: GridColumn) -> dict[str, Any]:
    values = dataclasses.asdict(entry)
    for name in ("row", "column", *(() if entry.lacking else ("lacking",))):
        values.pop(name)
    for name in ("value", "last", "best"):
        values[name] = _scaled(values[name], column)
    return {**values, "interval_of_images": _interval(_of_images(entry, column))}


def _scaled(value: float | None, column: GridColumn) -> float | None:
    return None if value is None else column.metric.factor * value


def _of_images(entry: Entry, column: GridColumn) -> Interval | None:
    """Return Wilson's 95 % interval of one model's accuracy, over the sampling of images."""
    if column.metric.name != "accuracy" or entry.value is None or not entry.n:
        return None
    interval = intervals.wilson(round(entry.value * entry.n), entry.n)
    factor = column.metric.factor
    return Interval(factor * interval.low, factor * interval.high)


def _interval(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def frame(grid: Grid) -> pd.DataFrame:
    """Return one line per run: row, column, seed, values and provenance.

    Rows that are not run or computed have one line per column, without a seed. Characters of texts
    that a terminal would obey are escaped.
    """
    import pandas as pd

    lines = [
        {**_cell_names(row.row.name, row.row.label, column), **line}
        for row in grid.rows
        for column in grid.columns
        for line in _lines(row.cells[column.name], column)
    ]
    lines += [
        {
            **_cell_names(row.name, row.label, column),
            "status": "computed",
            "value": row.values[column.name],
        }
        for row in grid.computed
        for column in grid.columns
        if column.name in row.values
    ]
    lines = [
        {name: shown(v) if isinstance(v, str) else v for name, v in line.items()} for line in lines
    ]
    table = pd.DataFrame(lines, columns=[*_cell_names("", "", None), *FIELDS])
    return table.astype({"seed": "Int64", "n": "Int64", **dict.fromkeys(NUMBERS, "Float64")})


FIELDS = (
    "seed",
    "status",
    "printed",
    "value",
    "last",
    "best",
    "n",
    "collapsed",
    "stale",
    "key",
    "commit",
    "error",
)
"""Columns of a frame after those that identify the cell."""

NUMBERS = ("printed", "value", "last", "best")
"""Columns of a frame that hold metrics."""


def _cell_names(name: str, label: str, column: GridColumn | None) -> dict[str, Any]:
    """Return the values that identify a cell; their keys are the frame's first columns."""
    return {
        "row": name,
        "label": label,
        "column": column.name if column else "",
        "dataset": column.context.dataset if column else "",
        "metric": column.metric.name if column else "",
        "data": column.context.data if column else "",
    }


def _lines(cell: Cell, column: GridColumn) -> list[dict[str, Any]]:
    if not cell.entries:
        return [{"status": cell.state, "printed": cell.printed, "value": cell.value}]
    lines = []
    for entry in cell.entries:
        values = {**_entry(entry, column), "printed": cell.printed}
        lines.append({name: values[name] for name in FIELDS})
    return lines
