"""Confusion, figures per class and calibration of a table's classifiers, from kept predictions.

Nothing is trained. ``classes_page`` writes them as Markdown and JSON, ``classes_figure`` draws
them. Shares are in natural units (0..1) here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from harness.errors import UserError
from harness.evaluate import derived, metrics, registry
from harness.evaluate.derived import Bin, ClassFigures
from harness.plan import outputs
from harness.plan.columns import ColumnPlan
from harness.plan.plan import CellRun, Plan
from harness.report import same_run
from harness.report.measure import Measurements, no_best
from harness.spec.table import Row
from harness.stats import intervals
from harness.store.predictions import Arrays, UnusableError
from harness.store.record import Record, Records

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class RunClasses:
    """What one finished run does with each class.

    Attributes:
        seed: the run's seed.
        key: the run's key.
        commit: that the run was made at.
        epoch: that was evaluated, from 0.
        n: number of images.
        collapsed: whether all images are predicted as one class.
        confusion: (K, K) counts; rows are labels, columns predictions.
        classes: figures of each class.
        metrics: every metric by name; None where one is undefined.
        bins: the reliability curve.
    """

    seed: int
    key: str
    commit: str
    epoch: int | None
    n: int
    collapsed: bool
    confusion: np.ndarray
    classes: tuple[ClassFigures, ...]
    metrics: dict[str, float | None]
    bins: tuple[Bin, ...]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A number over the seeds: mean, sample standard deviation and how many seeds have it."""

    mean: float
    sd: float | None
    seeds: int


@dataclass(frozen=True, kw_only=True)
class RowClasses:
    """The finished runs of a row on one data set.

    Attributes:
        row: the table's row.
        label: identifies the row within its table.
        runs: by seed, those with usable predictions.
        lacking: why other seeds are absent, by seed.
    """

    row: Row
    label: str
    runs: tuple[RunClasses, ...]
    lacking: dict[int, str]

    def metric(self, name: str) -> Spread | None:
        """Return a metric over the seeds; None where no seed has it."""
        return spread([run.metrics[name] for run in self.runs])

    def of_class(self, k: int, get: Callable[[ClassFigures], float | None]) -> Spread | None:
        """Return a figure of class k over the seeds; None where no seed has it."""
        return spread([get(run.classes[k]) for run in self.runs])

    @property
    def confusion(self) -> np.ndarray:
        """Mean confusion matrix (K, K) over the runs, of which there is at least one."""
        mean: np.ndarray = np.mean([run.confusion for run in self.runs], axis=0)
        return mean

    @property
    def bins(self) -> tuple[Bin, ...]:
        """Reliability curve over the images of all runs together."""
        return derived.pooled([run.bins for run in self.runs])


@dataclass(frozen=True, kw_only=True)
class DatasetClasses:
    """All rows of a table on one data set.

    Attributes:
        name: of the table's data set, after which the figure is named.
        column: the data behind it.
        title: of the data set, with the family that stands in for it.
        classes: names of the classes, in the order of the probabilities.
        rows: the rows that the harness has, in order.
    """

    name: str
    column: ColumnPlan
    title: str
    classes: tuple[str, ...]
    rows: tuple[RowClasses, ...]


def spread(values: Sequence[float | None]) -> Spread | None:
    """Return mean and deviation of the values that are defined; None where none is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    sd = intervals.sd(known) if len(known) > 1 else None
    return Spread(mean=intervals.mean(known), sd=sd, seeds=len(known))


def check(plan: Plan) -> None:
    """Refuse a table without classifiers, before anything is trained.

    Raises:
        UserError: its columns show masks or costs alone.
    """
    if not _columns(plan):
        raise UserError(
            f"{plan.name} has no column of a classifier's metric, of which --classes shows the"
            " classes; leave --classes out."
        )


def _columns(plan: Plan) -> dict[str, ColumnPlan]:
    """Return, by name of the data set, the first column that shows trained classifiers."""
    return {
        dataset: shown[0]
        for dataset, columns in outputs.by_dataset(plan).items()
        if (shown := [c for c in columns if _classifies(c)])
    }


def _classifies(column: ColumnPlan) -> bool:
    shown = column.column
    return shown.cost is None and shown.probe is None and not registry.of_masks(shown.metric)


def collect(plan: Plan) -> tuple[DatasetClasses, ...]:
    """Return what a plan's finished runs do with each class, by data set."""
    check(plan)
    records = Records(plan.options.runs)
    measurements = Measurements(records)
    return tuple(
        DatasetClasses(
            name=dataset,
            column=column,
            title=f"{column.asked.title} ({column.used.name})"
            if column.phantom
            else column.asked.title,
            classes=tuple(column.used.classes),
            rows=tuple(
                _row(plan, row, column, records, measurements)
                for row in plan.table.rows
                if row.stages is not None
            ),
        )
        for dataset, column in _columns(plan).items()
    )


def _row(
    plan: Plan, row: Row, column: ColumnPlan, records: Records, measurements: Measurements
) -> RowClasses:
    runs: list[RunClasses] = []
    lacking: dict[int, str] = {}
    for cell_run in plan.cell_runs:
        if cell_run.row.name != row.name or cell_run.column != column.column:
            continue
        record = records.read(cell_run.run.key())
        try:
            runs.append(_run(plan, cell_run, record, measurements))
        except UnusableError as error:
            lacking[cell_run.seed] = str(error)
    label = same_run.label(plan.table, row)
    return RowClasses(row=row, label=label, runs=tuple(runs), lacking=lacking)


def _run(
    plan: Plan, cell_run: CellRun, record: Record | None, measurements: Measurements
) -> RunClasses:
    """Return the figures of one run.

    Raises:
        UnusableError: it is not finished, or its predictions cannot be used.
    """
    if record is None:
        raise UnusableError("no record")
    if record.status != "done":
        raise UnusableError(f"failed: {record.error}")
    rule = plan.options.rule
    at = record.evaluation().at(rule)
    if at is None:
        raise UnusableError(no_best(record))
    arrays = measurements.arrays(record)
    try:
        probabilities, labels = _classified(arrays, rule)
        return RunClasses(
            seed=cell_run.seed,
            key=record.key,
            commit=record.commit,
            epoch=at.epoch,
            n=len(labels),
            collapsed=metrics.collapsed(probabilities.argmax(axis=1)),
            confusion=metrics.confusion(probabilities, labels),
            classes=derived.by_class(probabilities, labels),
            metrics=derived.summary(probabilities, labels),
            bins=derived.reliability(probabilities, labels),
        )
    # Arrays that are absent, or of another type or shape than the evaluator writes.
    except (ValueError, TypeError, LookupError) as error:
        raise UnusableError(f"its predictions are of no classifier: {error}") from error


def _classified(arrays: Arrays, rule: str) -> tuple[np.ndarray, np.ndarray]:
    return arrays[rule], arrays["labels"]
