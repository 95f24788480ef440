"""Figure 7: accuracy over the cost of fine-tuning's forward pass, with its time as the area."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from harness.figures.values import Cell, Drawing, Made, Missing, Request, facts, file_name
from harness.figures.values import caption as caption_of
from harness.latency import timings
from harness.plan import outputs
from harness.plan.plan import Plan
from harness.report import collect, scatter
from harness.report.costs import fill
from harness.report.evidence import KeptPredictions
from harness.report.grid import lay_out
from harness.report.scatter import Point
from harness.report.values import Grid
from harness.spec.table import Scatter

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
            yield Missing(
                name="7",
                why=f"no times on this machine, so circles on {column.used.name} are open; for"
                f" times run `{request.again} --figures`",
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
    return outputs.figures(replace(plan, table=replace(plan.table, scatter=own)))


def _grid(request: Request, sheet: Plan) -> Grid:
    timing = timings.read(sheet, request.experiment, request.device) if sheet.chains else None
    return lay_out(
        sheet.table,
        collect.entries(sheet),
        collect.column_contexts(sheet),
        replace(request.context, name=sheet.name),
        costings=fill(sheet, timing),
        images=KeptPredictions(sheet),
    )


def _headings(grid: Grid) -> dict[str, Any]:
    return {"columns": {column.metric.name: column.heading for column in grid.columns}}


def _rows(drawn: tuple[Point, ...]) -> Iterator[dict[str, Cell]]:
    for point in drawn:
        yield {
            "label": point.label,
            "group": point.group,
            "cost": point.cost,
            "accuracy": point.accuracy,
            "time": point.time,
            "noisy": point.noisy,
        }
