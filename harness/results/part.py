"""One table of a result: its numbers as JSON values, its verdicts, and the records behind them.

A part is made from a plan and its run store, or read from the files that were written of one; both
have the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.plan import naming, outputs
from harness.plan.plan import Plan
from harness.report import data, markdown
from harness.report.evidence import ImageEvidence, KeptPredictions
from harness.report.frame import Kept, Line, lines, quantity_of
from harness.report.plan_grid import Making, context_of, grid_of
from harness.report.values import Entry
from harness.store.margins import TableFile
from harness.store.record import Records
from harness.verdict import write
from harness.verdict.table import judge_plan

Page = Mapping[str, Any]
"""All verdicts on a table as JSON values, see ``harness.verdict.write``."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """What is known of a column's runs image by image.

    Attributes:
        evidence: the numbers of the runs.
        same: equal for columns whose runs were evaluated on the same images in the same order.
    """

    evidence: ImageEvidence
    same: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One table of a result.

    Attributes:
        values: the table as its JSON file has it.
        text: the table as Markdown.
        page: its verdicts; None where none is known.
        record_of: returns the record of a key; None where there is none.
        images: returns what is known image by image of a column's entries; None for nothing.
        plan: that it is made from; None of a table that was read from its file.
        making: how it is made; None likewise.
    """

    values: Mapping[str, Any]
    text: str
    page: Page | None
    record_of: Callable[[str], Kept | None]
    images: Callable[[Mapping[str, Any], Sequence[Entry]], Images | None]
    plan: Plan | None = None
    making: Making | None = None

    @property
    def name(self) -> str:
        """Name of the experiment; that of its files may name a part of it as well."""
        made = self.values["context"].get("made")
        return str(self.values["name"] if made is None else made["experiment"])

    @property
    def row_names(self) -> tuple[str, ...]:
        """Names of its rows."""
        return tuple(row["name"] for row in self.values["rows"])

    @property
    def columns(self) -> tuple[Mapping[str, Any], ...]:
        """Its columns as JSON values."""
        return tuple(self.values["columns"])

    @cached_property
    def verdicts(self) -> Mapping[tuple[str, str], str]:
        """The verdict on each published number, by names of row and column."""
        numbers = () if self.page is None else self.page["numbers"]
        return {
            (n["row"], n["column"]): f"{n['verdict']} ({n['side']})" if n["side"] else n["verdict"]
            for n in numbers
        }

    def cell(self, row: str, column: str) -> Mapping[str, Any]:
        """Return a cell as JSON values."""
        found = next(r for r in self.values["rows"] if r["name"] == row)
        cell: Mapping[str, Any] = found["cells"][column]
        return cell

    def label(self, row: str) -> str:
        """Return the label of a row."""
        return str(next(r["label"] for r in self.values["rows"] if r["name"] == row))

    def entries(self, row: str, column: Mapping[str, Any]) -> dict[int, Entry]:
        """Return the finished runs of a row in a column that have a number, by seed."""
        quantity = quantity_of(column["metric"])
        factor = float(column["factor"] if quantity is None else quantity.factor)
        found = {}
        for entry in self.cell(row, column["name"])["seeds"]:
            if entry["status"] == "done" and entry["value"] is not None:
                found[entry["seed"]] = Entry(
                    row=row,
                    column=column["name"],
                    seed=entry["seed"],
                    status="done",
                    value=entry["value"] / factor,
                    n=entry["n"],
                    key=entry["key"],
                    collapsed=entry["collapsed"],
                    stale=entry["stale"],
                    data=entry["data"],
                )
        return found

    def lines(self) -> list[Line]:
        """Return the lines of its frame."""
        return list(lines({**self.values, "name": self.name}, self.record_of, self.verdicts))


def of_plan(plan: Plan, making: Making, file: TableFile) -> tuple[Part, ...]:
    """Return the tables of a plan, without any training.

    Columns of data that are not prepared are left out, since nothing is known of them.

    Args:
        plan: with the seeds that are shown.
        making: how the tables are made.
        file: of the table, by which its margins were frozen.

    Raises:
        UserError: no data set of the plan is prepared.
    """
    shown = _prepared(plan)
    judged = judge_plan(shown, file=file)
    folder = Path("reports") / plan.options.profile.name
    labelled = naming.named(shown, making.experiment, folder)
    page = write.table_to_json(judged, context_of(labelled, making))
    return tuple(_of_sheet(sheet, making, page) for sheet in outputs.tables(labelled))


def _of_sheet(sheet: Plan, making: Making, page: Page) -> Part:
    grid = grid_of(sheet, making)
    records, kept = Records(sheet.options.runs), KeptPredictions(sheet)

    def images(column: Mapping[str, Any], entries: Sequence[Entry]) -> Images | None:
        evidence = kept.of(column["name"], entries)
        if evidence is None:
            return None
        profile = sheet.options.profile
        # The same part of the same data: the profile takes a subset of it.
        same = ("store", column["data"], column["split"], str(profile.eval_images))
        return Images(evidence=evidence, same=same)

    values = data.to_json(grid)
    keys = {e["key"] for r in values["rows"] for c in r["cells"].values() for e in c["seeds"]}
    # At once, so that a result does not change with the store.
    known = {key: records.read(key) for key in sorted(keys)}
    return Part(
        values=values,
        text=markdown.render(grid),
        page=page,
        record_of=known.get,
        images=images,
        plan=sheet,
        making=making,
    )


def _prepared(plan: Plan) -> Plan:
    """Return a plan of the columns whose data are prepared."""
    columns = tuple(column for column in plan.columns if column.prepared)
    if not columns:
        raise UserError(
            f"No data set of {plan.name} is prepared under {plan.options.data}; `harness data list`"
            " says how, or name the folder as data."
        )
    if len(columns) == len(plan.columns):
        return plan
    names = {column.column.name for column in columns}
    return replace(
        plan,
        columns=columns,
        table=replace(plan.table, columns=tuple(column.column for column in columns)),
        cell_runs=tuple(c for c in plan.cell_runs if c.column.name in names),
    )
