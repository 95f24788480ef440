"""Messages about tables that show nothing: no run in them, or none that is finished."""

from __future__ import annotations

from harness.console import note
from harness.errors import UserError, listed
from harness.plan.plan import Plan
from harness.store.record import Records


def check(plan: Plan) -> None:
    """Refuse a table in which nothing can ever stand.

    Raises:
        UserError: no selected row is trained for a selected column, and no column shows a cost.
    """
    if (text := of(plan)) is not None:
        raise UserError(text)


def of(plan: Plan) -> str | None:
    """Return why a plan has no runs; None if it has some, or shows costs."""
    if plan.cell_runs or any(c.column.cost is not None for c in plan.columns):
        return None
    rows = [row.name for row in plan.table.rows]
    untrained = [row.name for row in plan.table.rows if row.stages is None]
    if not rows:
        return f"{plan.name}: none of its rows is selected; choose others with --rows."
    if len(untrained) == len(rows):
        why = f"{listed(rows)} {'have' if len(rows) > 1 else 'has'} no stages (Row.stages is None)"
    else:
        why = f"no column is meant for {listed(rows)}"
    return f"{plan.name} has nothing to train: {why}; choose others with --rows or --datasets."


def tell(plan: Plan, experiment: str) -> None:
    """Print a line where no run of a table is finished."""
    records = Records(plan.options.runs)
    failed = 0
    for cell_run in plan.cell_runs:
        record = records.read(cell_run.run.key())
        if record is not None and record.status == "done":
            return
        failed += record is not None
    if not plan.cell_runs:
        return
    if failed:
        what = f"{failed} of {len(plan.cell_runs)} failed; `harness status --errors` shows why"
    else:
        what = f"`harness run {experiment}` with the same options trains them"
    note(f"{experiment}: no run is finished, {what}.")
