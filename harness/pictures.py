"""Draw a table's segmentations beside the truth, from the predictions that its runs kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness import sheets
from harness.data.store import ImageStore, open_store
from harness.images import subset
from harness.plan import PARTS, ColumnPlan, Plan
from harness.record import Records
from harness.report import notes, panels
from harness.report.values import Context
from harness.table import Panels, file_name


def write(
    plan: Plan,
    context: Context,
    folder: Path,
    *,
    with_images: bool = True,
    tell: Callable[[str], None] = print,
) -> list[Path]:
    """Write the table's pictures, a PNG a data set, and return the paths.

    The first seed is drawn, at the epoch that the table reports; without the data set's own images
    if they are not wanted. ``tell`` receives a line that names the rows left out for want of a
    finished run.

    Raises:
        UserError: predictions are missing or hold no masks, or a PNG cannot be written.
    """
    asked = plan.table.panels
    if asked is None:
        return []
    paths = []
    for dataset, columns in sheets.by_dataset(plan).items():
        # Columns under other metrics show the same runs; costs have none.
        shown = next(c for c in columns if c.column.cost is None and c.column.probe is None)
        path = folder / f"{file_name(asked.name, dataset, plan.own)}.png"
        found, missing = _predictions(plan, shown)
        if missing:
            tell(f"{path.name} leaves out rows without a finished run: {', '.join(missing)}.")
        if found:
            panels.compare(
                panels.pick(_reported(plan, shown), asked.count),
                found,
                path,
                rule=plan.options.rule,
                title=_title(plan, asked, shown, context),
                with_images=with_images,
            )
            paths.append(path)
    return paths


def _predictions(plan: Plan, column: ColumnPlan) -> tuple[dict[str, Path], list[str]]:
    """Return the files of the rows that have a finished run, by label, and the others' names."""
    records = Records(plan.options.runs)
    found, missing = {}, []
    for unit in plan.units:
        if unit.column != column.column or unit.seed != plan.seeds[0]:
            continue
        record = records.read(unit.run.key())
        if record is not None and record.status == "done":
            found[unit.row.label] = records.predictions_path(record.key)
        else:
            missing.append(unit.row.name)
    return found, missing


def _reported(plan: Plan, column: ColumnPlan) -> ImageStore:
    """Return the evaluated images."""
    options = plan.options
    store = open_store(options.data, column.used.name)
    return subset(store.part(options.split, PARTS[options.split][2]), options.profile.eval_images)


def _title(plan: Plan, asked: Panels, column: ColumnPlan, context: Context) -> str:
    """Return the headline, and what is drawn."""
    figure = replace(plan.table, title=asked.title, source=asked.source)
    generated = " Generated images." if column.phantom else ""
    drawn = f"{column.used.title}, seed {plan.seeds[0]}, {context.rule} epoch.{generated}"
    return " ".join([*notes.headline(figure, context), drawn])
