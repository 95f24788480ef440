"""Tables of the tests of verdicts, with runs that were planted instead of trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.parts import part_of
from harness.data.prepared import open_store
from harness.plan import plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.spec import profiles
from harness.spec.claim import Margin
from harness.spec.recipe import Recipe, Stage
from harness.spec.table import Column, Row, Table
from harness.store.record import Records
from harness.store.result import EpochEvaluation, Evaluation
from harness.verdict.table import TableVerdict, judge_plan
from tests import prepared, records
from tests.one_layer import Segment

FAMILY = "phantom-mri"
IMAGES = 128
MARGIN = Margin(value=8.0, source="a test")


def row_of(name: str, printed: Mapping[str, str], rate: float | None) -> Row:
    """Return a row of its own learning rate, so that its runs are its own."""
    stages = None
    if rate is not None:
        recipe = Recipe(epochs=1, batch_size=16, base_lr=rate, optimizer="adam", lr_batch=None)
        stages = (Stage(phase="supervised", method=Segment(0.0), recipe=recipe),)
    return Row(name=name, label=name, stages=stages, printed=dict(printed))


def table_of(rows: Sequence[Row], **changes: Any) -> Table:
    values: dict[str, Any] = {
        "title": "Planted",
        "source": "Table 0",
        "rows": tuple(rows),
        "columns": (Column(dataset=FAMILY),),
        "margins": {FAMILY: MARGIN},
    }
    return Table(**(values | changes))


def plan_of(folder: Path, table: Table, **changes: Any) -> Plan:
    if not (folder / "data" / FAMILY).exists():
        prepared.ensure(folder / "data", FAMILY, size=32)
    small = replace(profiles.SMOKE, name="paper")  # the name says what is the paper's
    values: dict[str, Any] = {
        "profile": small,
        "seeds": (0, 1, 2),
        "data": folder / "data",
        "runs": folder / "runs",
    }
    return plan.make("planted", table, Options(**(values | changes)))


def plant(made: Plan, counts: Mapping[str, Sequence[int]], collapsed: str = "") -> None:
    """Write records and predictions with counts of correct images, by row and seed."""
    records_of = Records(made.options.runs)
    part = part_of(open_store(made.options.data, FAMILY), "paper", made.options.profile, "reported")
    assert len(part) == IMAGES
    for cell_run in made.cell_runs:
        given = counts.get(cell_run.row.name, ())
        position = made.seeds.index(cell_run.seed)
        if position >= len(given):
            continue
        correct, key = given[position], cell_run.run.key()
        answers = part.labels.copy()
        answers[correct:] = (answers[correct:] + 1) % 4
        sure = np.eye(4, dtype=np.float32)[answers]
        arrays = {
            "last": sure,
            "best": sure,
            "labels": part.labels,
            "names": np.asarray(part.names),
        }
        point = EpochEvaluation(
            epoch=0,
            metrics={"accuracy": correct / IMAGES},
            correct=correct,
            collapsed=cell_run.row.name == collapsed,
        )
        result = records.result(
            evaluation=Evaluation(n=IMAGES, classes=(32, 32, 32, 32), last=point, best=point),
            predictions=records_of.write_predictions(key, arrays),
        )
        record = records.record(key, cell_run.run.definition())
        records_of.write(replace(record, result=result))


EXPECTED = {
    "reproduced": ("80.47", (102, 103, 104)),
    "equal-not-alike": ("84.38", (103, 103, 103)),
    "different": ("50.00", (102, 103, 104)),
    "undecidable": ("80.47", (90, 115, 100)),
    "one-seed": ("80.47", (103,)),
    "unattainable": ("80.40", (102, 103, 104)),
    "theirs-collapsed": ("31.25", (102, 103, 104)),
    "ours-collapsed": ("80.47", (40, 40, 40)),
    "nothing": ("80.47", ()),
}
"""By row: printed, and images of ours that are right, by seed. Of 128 images 80.47 % are 103,
84.38 % 108, 50 % 64; 40 are of one class (31.25 %)."""


def every_word(folder: Path) -> TableVerdict:
    rows = [
        row_of(name, {FAMILY: printed}, 0.1 + number / 100)
        for number, (name, (printed, _)) in enumerate(EXPECTED.items())
    ]
    rows.append(row_of("absent", {FAMILY: "80.47"}, None))
    rows.append(replace(rows[0], name="costs", printed={"training_seconds": "1.000"}))
    columns = (Column(dataset=FAMILY), Column(dataset=FAMILY, metric="training_seconds"))
    made = plan_of(folder, table_of(rows, columns=columns))
    plant(made, {name: values for name, (_, values) in EXPECTED.items()}, "ours-collapsed")
    return judge_plan(made)
