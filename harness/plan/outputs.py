"""The tables and figures that a plan is written as, one per data set where it says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.errors import UserError
from harness.plan.columns import ColumnPlan
from harness.plan.plan import Plan
from harness.spec.table import file_name


def tables(plan: Plan) -> tuple[Plan, ...]:
    """Return a plan for each table that is written; all of them share the plan's stages.

    Raises:
        UserError: a table shows times of several batch sizes, which cannot be measured in turn.
    """
    costs = [c.column.cost for c in plan.columns]
    batches = sorted({c.batch for c in costs if c is not None and c.what == "seconds"})
    if len(batches) > 1:
        raise UserError(
            f"{plan.name} shows times of batches of {' and '.join(map(str, batches))}; the columns"
            " of one table must share a batch, so that its rows can be timed in turn."
        )
    if not plan.table.table_per_dataset:
        return (plan,)
    return tuple(
        _narrowed(plan, file_name(plan.name, dataset, plan.own), columns)
        for dataset, columns in by_dataset(plan).items()
    )


def names(plan: Plan) -> tuple[str, ...]:
    """Return the names of the tables' files."""
    if not plan.table.table_per_dataset:
        return (plan.name,)
    return tuple(file_name(plan.name, dataset, plan.own) for dataset in by_dataset(plan))


def figures(plan: Plan) -> tuple[Plan, ...]:
    """Return a plan for each scatter figure, one per data set; empty for figures of panels.

    Raises:
        UserError: the experiment has neither kind of figure.
    """
    scatter = plan.table.scatter
    if scatter is None:
        if plan.table.panels is None:
            raise UserError(f"{plan.name} has no figure; leave --figures out.")
        return ()
    if plan.options.metrics is not None and "accuracy" not in plan.options.metrics:
        raise UserError("--figures draws accuracies; add accuracy to --metrics.")
    plans = []
    for dataset, columns in by_dataset(plan).items():
        shown = [replace(columns[0], column=c) for c in scatter.columns(dataset)]
        name = file_name(plan.figure_name.format(scatter.name), dataset, scatter.dataset)
        table = replace(plan.table, title=scatter.title, source=scatter.source, notes=())
        plans.append(_narrowed(replace(plan, table=table, is_figure=True), name, shown))
    return tuple(plans)


def by_dataset(plan: Plan) -> dict[str, list[ColumnPlan]]:
    """Return the plan's columns by name of their data set, in order."""
    columns: dict[str, list[ColumnPlan]] = {}
    for column in plan.columns:
        columns.setdefault(column.asked.name, []).append(column)
    return columns


def _narrowed(plan: Plan, name: str, columns: Sequence[ColumnPlan]) -> Plan:
    """Return a plan of some columns under another name."""
    names = {c.column.name for c in columns}
    return replace(
        plan,
        name=name,
        table=replace(plan.table, columns=tuple(c.column for c in columns)),
        columns=tuple(columns),
        cell_runs=tuple(run for run in plan.cell_runs if run.column.name in names),
    )
