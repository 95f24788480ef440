"""Compare the numbers of a table's JSON file with compact records."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from harness.canonical import short
from harness.evaluate import derived, metrics, registry
from harness.report.computed import ANSWERS
from harness.report.values import Note, State
from harness.spec.costs import COSTS
from harness.stats import intervals
from harness.store import compact
from harness.store.compact import Archive, KeptRecord
from harness.store.result import Count, Evaluation, Rule

Number = float | None

PROBES = ("linear", "knn")
"""Names of probes, as the names of columns contain them."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """The part of a table's column that is compared."""

    name: str
    asked_for: str
    metric: str
    factor: float
    digits: int
    title: str = ""
    n: Count | None = None
    printed_n: Count | None = None
    dataset: str = ""
    data: str = ""
    split: str = "paper"
    phantom: bool = False

    @property
    def probe(self) -> str | None:
        """The probe that the column shows, None for the trained model."""
        words = self.name.removeprefix(self.asked_for).split(".")
        return next((word for word in words if word in PROBES), None)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The part of a cell's run that is compared."""

    seed: int
    status: Literal["done", "failed", "missing"]
    value: Number
    last: Number
    best: Number
    n: Count | None
    collapsed: bool
    key: str
    error: str | None
    commit: str
    data: str
    lacking: str | None = None
    stale: bool = False
    interval_of_images: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The part of a cell that is compared."""

    printed: Number
    value: Number
    sd: Number
    interval: tuple[float, float] | None
    difference: Number
    seeds: tuple[Entry, ...]
    state: State = "complete"
    rank: Literal["best", "second"] | None = None
    ranks: tuple[int, int] | None = None
    remarks: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table with its cells by column."""

    name: str
    label: str
    cells: Mapping[str, Cell]
    group: str = ""
    backbone: str = ""
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Subtable:
    """A small table and the names of its rows."""

    title: str
    rows: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A difference between two rows, paired by seed."""

    row: str
    reference: str
    column: str
    seeds: tuple[int, ...]
    difference: float
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Context:
    """The part of a table's context that is needed."""

    rule: Rule
    profile: str = ""
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Table:
    """The part of a table's JSON file that is compared; other fields are not read."""

    name: str
    context: Context
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...] = ()
    caption: str = ""
    subtables: tuple[Subtable, ...] = ()
    majority: Mapping[str, Number] | None = None
    background: Mapping[str, Number] | None = None
    foreground: Mapping[str, Number] | None = None
    ties: tuple[dict[str, Any], ...] | None = None
    footnotes: tuple[Note, ...] = ()
    notes: tuple[Note, ...] = ()
    source: str = ""
    texts: Mapping[str, Any] | None = None

    @property
    def own(self) -> bool:
        """Whether it reproduces nothing, see ``spec.table.Table.own``."""
        cells = [cell for row in self.rows for cell in row.cells.values()]
        return not self.source and all(cell.printed is None for cell in cells)

    @property
    def computed(self) -> list[Mapping[str, Number]]:
        """Values of the rows of constant answers, in the order in which they are shown."""
        rows = (getattr(self, name) for name in ANSWERS)
        return [row for row in rows if row is not None]

    @property
    def small(self) -> list[list[Row]]:
        """The rows of each small table, or all of them."""
        if not self.subtables:
            return [list(self.rows)]
        by_name = {row.name: row for row in self.rows}
        return [[by_name[n] for n in part.rows if n in by_name] for part in self.subtables]

    def keys(self) -> set[str]:
        """Return the keys of all runs that have a record."""
        cells = [cell for row in self.rows for cell in row.cells.values()]
        return {e.key for cell in cells for e in cell.seeds if e.status != "missing"}


def differences(table: Table, archive: Archive) -> Iterator[str]:
    """Yield a line for each number of a table that is not what the records say."""
    columns = [column for column in table.columns if column.metric not in COSTS]
    for column in columns:
        for row in table.rows:
            cell = row.cells.get(column.name)
            where = f"row {row.name}, column {column.name}"
            if cell is None:
                yield f"{where}: there is no cell"
            else:
                yield from _cell(cell, column, table.context.rule, archive, where)
    by_name = {row.name: row for row in table.rows}
    for comparison in table.comparisons:
        yield from _comparison(comparison, by_name)
    for column in columns:
        yield from _majority(table, column, archive)


def _cell(cell: Cell, column: Column, rule: Rule, archive: Archive, where: str) -> Iterator[str]:
    known: list[float] = []
    complete = True
    for entry in cell.seeds:
        record = archive.records.get(entry.key)
        place = f"{where}, seed {entry.seed}"
        if entry.status == "missing":
            yield from unequal(place, "value", entry.value, None)
        elif record is None:
            complete = False
            yield f"{place}: the record {short(entry.key)} is missing from {compact.NAME}"
        else:
            yield from _entry(entry, record, column, rule, place)
            value = value_of(record, column, rule)
            known += [] if value is None else [column.factor * value]
    if not complete:
        return  # a mean over seeds of which one is missing says nothing
    # As in ``harness.report.cells.make``.
    value = intervals.mean(known) if known else None
    several = len(known) > 1
    sd = intervals.sd(known) if several else None
    interval = intervals.t_interval(known) if several else None
    change = None
    if value is not None and cell.printed is not None and not column.phantom:
        change = value - cell.printed
    ends = None if interval is None else (interval.low, interval.high)
    yield from unequal(where, "value", cell.value, value)
    yield from unequal(where, "sd", cell.sd, sd)
    yield from unequal(where, "interval", cell.interval, ends)
    yield from unequal(where, "difference", cell.difference, change)


def value_of(record: KeptRecord, column: Column, rule: Rule) -> Number:
    """Return a metric of a record in natural units; None where it is undefined or not known."""
    evaluation = record.evaluation(column.probe)
    if evaluation is None:
        return None
    at = evaluation.at(rule)
    if at is None:
        return None
    if column.metric in at.metrics:
        return at.metrics[column.metric]
    if column.probe is not None:
        return None
    return (record.computed or {}).get(rule, {}).get(column.metric)


def _entry(
    entry: Entry, record: KeptRecord, column: Column, rule: Rule, where: str
) -> Iterator[str]:
    evaluation = record.evaluation(column.probe)
    facts: dict[str, tuple[Any, Any]] = {
        "status": (entry.status, record.status),
        "error": (entry.error, record.error),
        "commit": (entry.commit, record.commit),
        "data": (entry.data, record.definition.get("data")),
        "seed": (entry.seed, record.definition.get("seed")),
    }
    if evaluation is not None:
        facts["n"] = entry.n, evaluation.n
        at = evaluation.at(rule)
        facts["collapsed"] = entry.collapsed, at is not None and at.collapsed
    if entry.lacking is None:
        rules: dict[str, Rule] = {"value": rule, "last": "last", "best": "best"}
        for name, of in rules.items():
            value = value_of(record, column, of)
            facts[name] = getattr(entry, name), None if value is None else column.factor * value
        wilson = _wilson(value_of(record, column, rule), evaluation, column)
        facts["interval_of_images"] = entry.interval_of_images, wilson
    for name, (ours, theirs) in facts.items():
        yield from unequal(where, name, ours, theirs)


def _wilson(
    value: Number, evaluation: Evaluation | None, column: Column
) -> tuple[float, float] | None:
    if column.metric != "accuracy" or value is None or evaluation is None:
        return None
    interval = intervals.wilson(round(value * evaluation.n), evaluation.n)
    return column.factor * interval.low, column.factor * interval.high


def _comparison(comparison: Comparison, rows: Mapping[str, Row]) -> Iterator[str]:
    where = f"{comparison.row} against {comparison.reference}, column {comparison.column}"
    values = []
    for name in (comparison.row, comparison.reference):
        cell = rows[name].cells.get(comparison.column) if name in rows else None
        values.append({e.seed: e.value for e in cell.seeds} if cell else {})
    pairs = [(values[0].get(seed), values[1].get(seed)) for seed in comparison.seeds]
    known = [ours - theirs for ours, theirs in pairs if ours is not None and theirs is not None]
    if len(known) != len(pairs) or len(known) < 2:
        yield f"{where}: its seeds are not all in the table"
        return
    interval = intervals.t_interval(known)
    yield from unequal(where, "difference", comparison.difference, intervals.mean(known))
    yield from unequal(where, "interval", comparison.interval, (interval.low, interval.high))


def _majority(table: Table, column: Column, archive: Archive) -> Iterator[str]:
    """Compare what the most frequent class reaches, from the labels of any run of the column."""
    stated = (table.majority or {}).get(column.name)
    cells = [row.cells[column.name] for row in table.rows if column.name in row.cells]
    for entry in (e for cell in cells for e in cell.seeds):
        record = archive.records.get(entry.key)
        images = archive.images.get(record.images or "") if record else None
        evaluation = record.evaluation() if record else None
        if record is None or images is None or evaluation is None or evaluation.of_masks:
            continue
        labels = compact.decode_whole(images.labels, images.n, f"the images {short(images.key)}")
        classes = len(evaluation.classes or ()) or int(labels.max()) + 1
        value = registry.majority(column.metric, labels, classes)
        theirs = None if value is None else column.factor * value
        yield from unequal(f"majority, column {column.name}", "value", stated, theirs)
        return


def unequal(where: str, what: str, ours: Any, theirs: Any) -> Iterator[str]:
    """Yield a line if two values differ, numbers by more than the last digits of a float."""
    if not equal(ours, theirs):
        yield f"{where}: {what} is {_said(ours)}, the records say {_said(theirs)}"


def _said(value: Any) -> str:
    return "nothing" if value is None else repr(value)


def equal(ours: Any, theirs: Any) -> bool:
    """Whether values are equal; floats up to rounding, which differs between machines."""
    if isinstance(ours, Sequence) and not isinstance(ours, str):
        same = isinstance(theirs, Sequence) and len(ours) == len(theirs)
        return same and all(equal(a, b) for a, b in zip(ours, theirs, strict=True))
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)
    return bool(ours == theirs)


def contradictions(archive: Archive, record: KeptRecord) -> Iterator[str]:
    """Yield a line for each number of a record that its predictions contradict."""
    evaluation = record.evaluation()
    if evaluation is None or evaluation.of_masks:
        return
    rules: tuple[Rule, ...] = ("last", "best")
    for rule in rules:
        pair = archive.predicted(record, rule)
        if pair is None:
            continue
        at = evaluation.at(rule)
        stated = {**(at.metrics if at else {}), **(record.computed or {}).get(rule, {})}
        for name, value in of_classes(*pair, len(evaluation.classes or ())).items():
            if name in stated:
                yield from unequal(f"{short(record.key)}, {rule}", name, stated[name], value)


OF_CLASSES = ("accuracy", "balanced_accuracy", "macro_f1", "kappa", "cohen_kappa")
"""Metrics that depend on the predicted classes alone."""


def of_classes(predicted: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, Number]:
    """Return the metrics that predicted classes (n,) and labels (n,) give, by name."""
    certain = np.eye(max(classes, int(predicted.max()) + 1, int(labels.max()) + 1))[predicted]
    values = derived.summary(certain, labels)
    return {name: values[name] for name in OF_CLASSES}


def confusion(predicted: np.ndarray, labels: np.ndarray, classes: int) -> list[list[int]]:
    """Return the confusion matrix (K, K) of predicted classes (n,) and labels (n,)."""
    counts: list[list[int]] = metrics.confusion(np.eye(classes)[predicted], labels).tolist()
    return counts
