"""Keep the records behind written tables beside them, see ``harness.store.compact``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness import files, provenance
from harness.data.parts import part_of
from harness.data.prepared import open_store
from harness.errors import Damaged
from harness.evaluate import registry
from harness.plan.columns import ColumnPlan
from harness.plan.plan import Plan
from harness.report.measure import Measurements
from harness.report.values import Grid
from harness.spec.quantity import Metric
from harness.store import compact
from harness.store.compact import KeptImages, KeptRecord, KeptResult, KeptTable, Line
from harness.store.made import Made
from harness.store.predictions import Arrays, UnusableError
from harness.store.record import Record, Records
from harness.store.result import Rule

RULES: tuple[Rule, ...] = ("last", "best")

Groups = Mapping[str, str]
"""The lesion or patient of each image by the image's name."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A table, or a page about its runs, that was written.

    Attributes:
        name: of its files.
        runs: keys of the runs that it shows.
        paths: its files.
        made: what they are of.
    """

    name: str
    runs: tuple[str, ...]
    paths: tuple[Path, ...]
    made: Made | None = None


def written(grid: Grid, paths: Sequence[Path]) -> Written:
    """Return what a table that was written shows."""
    cells = [cell for row in grid.rows for cell in row.cells.values()]
    runs = {e.key for cell in cells for e in cell.entries if e.status != "missing"}
    return Written(
        name=grid.context.name,
        runs=tuple(sorted(runs)),
        paths=tuple(paths),
        made=grid.context.made,
    )


def keep(plan: Plan, tables: Sequence[Written], folder: Path) -> Path:
    """Add a plan's records, and the tables made from them, to the folder's file; return its path.

    Where git tracks that file, but none of the tables, they have a file of their own beside it.

    Raises:
        UserError: the folder cannot be written.
    """
    name = _file(plan, [path for table in tables for path in table.paths], folder)
    before = _readable(folder / name)
    lines = [*_records(plan), *(_table(table, before) for table in tables)]
    return compact.merge(folder, lines, name)


def _file(plan: Plan, paths: Sequence[Path], folder: Path) -> str:
    """Return the name of the file of records: that of the folder, unless git tracks it.

    Then only tables that git tracks as well have their records in it.
    """
    tracked = provenance.tracked(folder)
    if compact.NAME not in tracked or any(path.name in tracked for path in paths):
        return compact.NAME
    return f"{plan.name}{compact.ENDING}"


def _readable(path: Path) -> compact.Archive:
    try:
        return compact.read_file(path)
    except (FileNotFoundError, Damaged):
        return compact.Archive()  # the merge tells it


def _table(table: Written, before: compact.Archive) -> KeptTable:
    # A format that was not written this time is still the one that was written before.
    former = before.tables.get(table.name)
    hashed = {path.name: files.sha256(path) for path in table.paths}
    kept = {} if former is None else former.files
    return KeptTable(key=table.name, runs=table.runs, files={**kept, **hashed}, made=table.made)


def _records(plan: Plan) -> Iterator[Line]:
    """Yield the lines of all runs of a plan that have a record, and of their images."""
    records = Records(plan.options.runs)
    measurements = Measurements(records)
    columns = {column.column.name: column for column in plan.columns}
    groups: dict[str, Groups] = {}
    images: dict[str, KeptImages] = {}
    known, computed = _Images(), _Computed(measurements)
    seen: set[str] = set()
    for cell_run in plan.cell_runs:
        key = cell_run.run.key()
        record = None if key in seen else records.read(key)
        if record is None:
            continue
        seen.add(key)
        column = columns[cell_run.column.name]
        if column.used.name not in groups:
            groups[column.used.name] = _groups(plan, column)
        kept, shown = _with_images(record, measurements, known, groups[column.used.name])
        yield kept if shown is None else replace(kept, computed=computed.of(record))
        if shown is not None:
            images[shown.key] = shown
    yield from images.values()


def _groups(plan: Plan, column: ColumnPlan) -> Groups:
    """Return the groups of the reported images; none of a store without, or of a damaged one."""
    try:
        store = open_store(plan.options.data, column.used.name)
    except Damaged:
        return {}  # the table says so
    part = part_of(store, column.split, plan.options.profile, "reported")
    return dict(zip(part.names, part.groups or (), strict=part.groups is not None))


def _with_images(
    record: Record, measurements: Measurements, known: _Images, groups: Groups
) -> tuple[KeptRecord, KeptImages | None]:
    """Return a record's line with what its predictions tell, and the line of their images."""
    line = _without_images(record)
    if record.result is None or record.result.evaluation is None:
        return line, None
    try:
        arrays = measurements.arrays(record)
        images = known.of(arrays, groups)
        if record.result.evaluation.of_masks:
            line = replace(line, measured=_measured(arrays))
        else:
            line = replace(line, predicted=_predicted(arrays))
    except UnusableError as error:
        # Without the folder, which is of this machine alone.
        path = measurements.path(record)
        return replace(line, lacking=str(error).replace(str(path), path.name)), None
    # Arrays that are absent, or of another type or shape than the evaluator writes.
    except (ValueError, TypeError, LookupError) as error:
        return replace(line, lacking=f"the predictions are of another kind: {error}"), None
    return replace(line, images=images.key), images


def _without_images(record: Record) -> KeptRecord:
    result = record.result
    return KeptRecord(
        key=record.key,
        record=record.digest,
        status=record.status,
        error=record.error,
        definition=record.definition,
        result=None
        if result is None
        else KeptResult(
            parameters=result.parameters,
            images=result.images,
            evaluation=result.evaluation,
            probes=result.probes,
            predictions=result.predictions,
        ),
        provenance=replace(record.provenance, latency=None, peak_bytes=None),
    )


class _Images:
    """The lines of images; runs share the arrays of names and labels, and so their line."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int], tuple[object, object, object, KeptImages]] = {}

    def of(self, arrays: Arrays, groups: Groups) -> KeptImages:
        """Return the line of the images of a run's predictions."""
        parts = arrays["names"], arrays["labels"], groups
        identity = id(parts[0]), id(parts[1]), id(parts[2])
        if identity not in self._known:  # they are kept, so that no other gets their identity
            self._known[identity] = (*parts, _images(arrays, groups))
        return self._known[identity][3]


def _images(arrays: Arrays, known: Groups) -> KeptImages:
    names = [str(name) for name in arrays["names"].tolist()]
    digest = hashlib.sha256("\0".join(names).encode()).hexdigest()
    labels = compact.encode_whole(arrays["labels"])
    numbers = None
    if set(names) <= known.keys():
        groups = [known[name] for name in names]
        first = {group: number for number, group in enumerate(dict.fromkeys(groups))}
        numbers = compact.encode_whole(np.asarray([first[group] for group in groups]))
    content = json.dumps([digest, labels, numbers]).encode()
    return KeptImages(
        key=hashlib.sha256(content).hexdigest(),
        names=digest,
        labels=labels,
        groups=numbers,
        n=len(names),
    )


def _predicted(arrays: Arrays) -> dict[Rule, str]:
    kept = [rule for rule in RULES if rule in arrays]  # no "best" unless all were evaluated
    return {rule: compact.encode_whole(arrays[rule].argmax(axis=1)) for rule in kept}


def _measured(arrays: Arrays) -> dict[str, str]:
    """Return the numbers that a segmentation has per image and rule: F1, IoU, distances."""
    n = len(arrays["names"])
    return {
        name: compact.encode_numbers(values)
        for name, values in arrays.items()
        if name.startswith(("last_", "best_")) and values.shape == (n,)
    }


class _Computed:
    """The metrics that records lack and their predictions give."""

    def __init__(self, measurements: Measurements) -> None:
        self._measurements = measurements
        self._metrics = tuple(registry.known().values())
        # By whether masks were evaluated, and what a record has: most have the same.
        self._lacking: dict[tuple[bool, frozenset[str]], tuple[Metric, ...]] = {}

    def of(self, record: Record) -> dict[Rule, dict[str, float | None]] | None:
        """Return them by rule and name; None where there are none."""
        computed = {rule: self._at(record, rule) for rule in RULES}
        return computed if any(computed.values()) else None

    def _at(self, record: Record, rule: Rule) -> dict[str, float | None]:
        evaluation = record.evaluation()
        at = evaluation.at(rule)
        if at is None:
            return {}
        has = (evaluation.of_masks, frozenset(at.metrics))
        if has not in self._lacking:
            self._lacking[has] = tuple(
                metric
                for metric in self._metrics
                if registry.measures(metric, evaluation) and metric.name not in has[1]
            )
        values = {m.name: self._measurements.of(record, m, rule, None) for m in self._lacking[has]}
        return {name: v.value for name, v in values.items() if v.lacking is None}
