"""Compare the figures per class of ``--classes`` with compact records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.canonical import short
from harness.report import check_table
from harness.report.check_table import Number, equal
from harness.store import compact
from harness.store.compact import Archive
from harness.store.result import Rule


@dataclass(frozen=True, kw_only=True)
class ClassesRun:
    """The part of a run's figures per class that is compared."""

    seed: int
    key: str
    n: int
    metrics: Mapping[str, Number]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class ClassesRow:
    """A row on one data set."""

    name: str
    runs: tuple[ClassesRun, ...]


@dataclass(frozen=True, kw_only=True)
class ClassesOfDataset:
    """A data set with its rows."""

    name: str
    classes: tuple[str, ...]
    rows: tuple[ClassesRow, ...]


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The part of the JSON file of ``--classes`` that is compared."""

    name: str
    context: check_table.Context
    datasets: tuple[ClassesOfDataset, ...]

    def keys(self) -> set[str]:
        """Return the keys of all runs."""
        rows = [row for dataset in self.datasets for row in dataset.rows]
        return {run.key for row in rows for run in row.runs}


def differences(content: Classes, archive: Archive) -> Iterator[str]:
    """Yield a line for each figure that is not what the records say."""
    for dataset in content.datasets:
        for row in dataset.rows:
            for run in row.runs:
                where = f"row {row.name}, {dataset.name}, seed {run.seed}"
                yield from _run(run, len(dataset.classes), content.context.rule, archive, where)


def _run(run: ClassesRun, classes: int, rule: Rule, archive: Archive, where: str) -> Iterator[str]:
    record = archive.records.get(run.key)
    if record is None:
        yield f"{where}: the record {short(run.key)} is missing from {compact.NAME}"
        return
    pair = archive.predicted(record, rule)
    if pair is None:
        yield f"{where}: the record {short(run.key)} has no predictions"
        return
    counts = check_table.confusion(*pair, classes)
    for label, (ours, theirs) in enumerate(zip(run.confusion, counts, strict=True)):
        if not equal(ours, theirs):
            yield f"{where}: confusion of class {label} is {[*ours]}, the records say {theirs}"
    evaluation = record.evaluation()
    at = None if evaluation is None else evaluation.at(rule)
    stated = {
        **(at.metrics if at else {}),
        **(record.computed or {}).get(rule, {}),
    }
    for name, value in run.metrics.items():
        if not equal(value, stated.get(name)):
            yield f"{where}: {name} is {value}, the records say {stated.get(name)}"
