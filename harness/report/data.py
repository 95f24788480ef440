"""The grid as data: JSON with unrounded values, and a long pandas frame for CSV."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from harness.report.grid import Cell, Grid

if TYPE_CHECKING:
    import pandas


def to_json(grid: Grid) -> str:
    """Return the same table as the other formats show, unrounded, with every run's key."""
    value = {
        "caption": grid.caption,
        "source": grid.table.source,
        "context": dataclasses.asdict(grid.context),
        "columns": [
            {
                "name": c.column.name,
                "title": c.title,
                "metric": c.metric.name,
                "better": c.metric.better,
                "dataset": c.dataset,
                "phantom": c.phantom,
                "n": c.n,
                "majority": c.majority,
                "data": c.data,
                "printed_n": c.printed_n,
            }
            for c in grid.columns
        ],
        "rows": [
            {
                "name": line.row.name,
                "label": line.row.label,
                "group": line.row.group,
                "backbone": line.row.backbone,
                "cells": [_cell(cell) for cell in line.cells],
            }
            for line in grid.lines
        ],
        "notes": list(grid.notes),
    }
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "status": cell.status,
        "printed": cell.printed,
        "ours": None if cell.ours is None else dataclasses.asdict(cell.ours),
        "difference": cell.difference,
        "rank": cell.rank,
        "collapsed": cell.collapsed,
        "stale": cell.stale,
        "runs": [dataclasses.asdict(entry) for entry in cell.entries],
    }


def frame(grid: Grid) -> pandas.DataFrame:
    """Return one row a run: row, column, seed, status, values in natural units, provenance."""
    import pandas

    records = [
        {**dataclasses.asdict(entry), "printed": cell.printed, "rank": cell.rank}
        for line in grid.lines
        for cell in line.cells
        for entry in cell.entries
    ]
    return pandas.DataFrame.from_records(records)


def to_csv(grid: Grid) -> str:
    """Return the frame as CSV, with floats that read back to the same value."""
    return frame(grid).to_csv(index=False)
