"""Figure 7: accuracy over the cost of fine-tuning's forward pass, with its time as the area."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from harness.figures.values import (
    Cell,
    Drawing,
    Made,
    Missing,
    Request,
    datasets,
    facts,
    file_name,
)
from harness.figures.values import caption as caption_of
from harness.latency import timings
from harness.latency.timings import Timing
from harness.plan import outputs
from harness.plan.plan import Plan
from harness.report import collect, looks, scatter
from harness.report.costs import fill
from harness.report.evidence import KeptPredictions
from harness.report.grid import lay_out
from harness.report.scatter import Point
from harness.report.values import Grid
from harness.spec.table import Column, Scatter

TITLE = "Accuracy over the cost of a training step's forward pass"


def make(request: Request) -> Made:
    """Yield a figure per data set; a table without one of its own gets the paper's."""
    for sheet in _sheets(request):
        grid = _grid(request, sheet)
        drawn = scatter.points(grid)
        column = sheet.columns[0]
        if not drawn:
            yield Missing(
                name="7",
                why=f"no finished run on {column.used.name} has an accuracy; run `{request.again}`",
            )
            continue
        if all(point.time is None for point in drawn):
            time = sheet.columns[2].column.cost
            assert time is not None, "a scatter plot has a column of times"
            yield Missing(
                name="7",
                why=f"this machine has no times of these rows ({time.title}), so points on"
                f" {column.used.name} are open; to measure them run"
                f" `{request.again} {_measuring(request, sheet)}`",
            )
        source = sheet.table.source if request.plan.table.scatter else ""
        sentences = scatter.caption(grid).removeprefix(" ".join(grid.caption)).strip()
        yield Drawing(
            name=file_name(request, "figure7", column.used.name),
            caption=caption_of(
                request, sheet.table.title, (sentences,), column=column, paper=source
            ),
            data={**facts(request, column), **_headings(grid), "points": list(_rows(drawn))},
            rows=tuple(_rows(drawn)),
            draw=lambda how, grid=grid: scatter.draw(grid, how),  # type: ignore[misc]
        )


def _measuring(request: Request, sheet: Plan) -> str:
    """Return the options with which `harness run` measures the times that a figure lacks."""
    if request.plan.table.scatter is not None:
        return "--figures"
    names = [c.column.metric for c in (sheet.columns[0], sheet.columns[2])]
    options = ["--metrics", ",".join(names)]
    if len(datasets(request.plan)) > 1:  # a table's rows are timed on its first data set alone
        options = ["--datasets", sheet.columns[0].used.name, *options]
    return shlex.join(options)


def _sheets(request: Request) -> tuple[Plan, ...]:
    plan = request.plan
    accuracies = [
        c
        for c in plan.columns
        if c.column.cost is None and c.column.probe is None and c.column.metric == "accuracy"
    ]
    if not accuracies:
        return ()
    if plan.table.scatter is not None:
        return outputs.figures(plan)
    own = Scatter(name="figure7", title=TITLE, source="", dataset=plan.own)
    # An own narrowing of metrics selects the table's columns; the figure has its own.
    whole = replace(plan, options=replace(plan.options, metrics=None))
    sheets = outputs.figures(replace(whole, table=replace(plan.table, scatter=own)))
    times = {c.column.metric: c.column for c in plan.columns if _is_time(c.column)}
    if not times or sheets[0].columns[2].column.metric in times:
        return sheets
    # The table shows times of its own: these are measured, and no others.
    return tuple(_with_time(sheet, min(times, key=_preferred)) for sheet in sheets)


def _is_time(column: Column) -> bool:
    return column.cost is not None and column.cost.what == "seconds"


def _preferred(name: str) -> tuple[bool, str]:
    """Return the order of times: those of training, as the paper's, before those of deployment."""
    return (not name.startswith("training"), name)


def _with_time(sheet: Plan, name: str) -> Plan:
    """Return the plan of a figure with another column of times."""
    columns = list(sheet.columns)
    columns[2] = replace(columns[2], column=replace(columns[2].column, metric=name))
    table = replace(sheet.table, columns=tuple(c.column for c in columns))
    return replace(sheet, table=table, columns=tuple(columns))


def _timing(request: Request, sheet: Plan) -> Timing | None:
    """Return the stored times of a figure's rows: those taken for it, or for the table."""
    if not sheet.chains:
        return None
    found = timings.read(sheet, request.experiment, request.device)
    if found is not None:
        return found
    time = sheet.columns[2].column.cost
    for table in outputs.tables(request.plan):
        costs = [c.column.cost for c in table.columns]
        if table.columns[0].used == sheet.columns[0].used and time in costs:
            found = timings.read(table, request.experiment, request.device)
            if found is not None:
                return found
    return None


def _grid(request: Request, sheet: Plan) -> Grid:
    laid = lay_out(
        sheet.table,
        collect.entries(sheet),
        collect.column_contexts(sheet),
        replace(request.context, name=sheet.name),
        costings=fill(sheet, _timing(request, sheet)),
        images=KeptPredictions(sheet),
    )
    return replace(laid, looks=looks.of_table(request.plan.whole))


def _headings(grid: Grid) -> dict[str, Any]:
    return {"columns": {column.metric.name: column.heading for column in grid.columns}}


def _rows(drawn: tuple[Point, ...]) -> Iterator[dict[str, Cell]]:
    for point in drawn:
        yield {
            "row": point.row,
            "label": point.label,
            "group": point.group,
            "cost": point.cost,
            "accuracy": point.accuracy,
            "time": point.time,
            "noisy": point.noisy,
        }
