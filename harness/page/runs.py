"""What panels show of cells, runs and stages, as compact JSON values.

A stage, a set of settings and a list of versions stand once, however many runs share them. Curves
are thinned so that the page stays small; the numbers of cells are unrounded.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.canonical import canonical, describe
from harness.errors import shown
from harness.evaluate import metrics
from harness.latency import timings
from harness.page.curves import POINTS, thinned
from harness.page.find import ReadOnce
from harness.plan.plan import CellRun, Plan
from harness.provenance import choose_device
from harness.report import data, same_run
from harness.report.measure import Measurements, no_best
from harness.report.values import Cell, Entry, Grid, GridColumn
from harness.spec.recipe import Stage
from harness.spec.run import Run
from harness.spec.table import Row, Table
from harness.store.predictions import UnusableError
from harness.store.record import Record
from harness.store.result import Device, Rule
from harness.verdict.judge import describe as lines_of
from harness.verdict.values import Verdict


def table_ref(plan: Plan) -> str:
    """Return what identifies a table in a page; of characters that are not seen, the codes."""
    return f"{plan.options.profile.name}-{shown(plan.name)}"


def cell_ref(plan: Plan, row: str, column: str) -> str:
    """Return what identifies a cell in a page."""
    return f"{table_ref(plan)}/{shown(row)}/{shown(column)}"


def timing(plan: Plan, typed: str) -> timings.Timing | None:
    """Return the stored times of a table's rows on this machine; None if there are none.

    Args:
        plan: of the table.
        typed: the table's name or path.
    """
    if not timings.kinds(plan) or not plan.chains:
        return None
    if not all(column.prepared for column in plan.columns):
        return None
    return timings.read(plan, typed, choose_device())


class Behind:
    """Collects what stands behind the numbers of all tables of a page."""

    def __init__(self, records: ReadOnce, typed: Mapping[str, str]) -> None:
        """Begin without any.

        Args:
            records: of the run store.
            typed: how commands name the tables, by their names; those that ship need none.
        """
        self._records = records
        self._typed = typed
        self._cells: list[dict[str, Any]] = []
        self._runs: dict[str, dict[str, Any]] = {}
        self._stages: dict[str, dict[str, Any]] = {}
        self._settings: dict[str, int] = {}
        self._settings_values: list[Any] = []
        self._versions: dict[str, int] = {}
        self._versions_values: list[Any] = []

    def typed(self, plan: Plan) -> str:
        """Return how a command names a plan's table."""
        return self._typed.get(plan.name, plan.name)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        values = {
            "cells": self._cells,
            "runs": self._runs,
            "settings": self._settings_values,
            "versions": self._versions_values,
        }
        count = len(self._stages)
        points = max(20, min(POINTS, 40_000 // max(1, count)))
        stages = {
            key: {**stage, "curves": thinned(stage["curves"], points)}
            for key, stage in self._stages.items()
        }
        return {**values, "stages": stages}

    def add(self, plan: Plan, grid: Grid, verdicts: Mapping[tuple[str, str], Verdict]) -> None:
        """Add the cells of a table, their runs and the runs' stages."""
        measurements = Measurements(self._records)
        by_key = {self._records.keys(c.run)[-1]: c for c in plan.cell_runs}
        for cell_run in by_key.values():
            self._add_run(plan, cell_run, measurements)
        chains = {row.name: self._chain(plan, row) for row in plan.table.rows}
        for row in grid.rows:
            for column in grid.columns:
                cell = row.cells[column.name]
                verdict = verdicts.get((row.row.name, column.name))
                if not (cell.entries or verdict is not None or cell.costing is not None):
                    continue
                reference = reference_of(plan.table, row.row)
                self._cells.append(
                    {
                        "id": cell_ref(plan, row.row.name, column.name),
                        "table": plan.name,
                        "profile": plan.options.profile.name,
                        "row": same_run.label(plan.table, row.row),
                        "column": column.heading,
                        "rule": plan.options.rule,
                        "chain": chains[row.row.name],
                        "reference": None if reference is None else reference.label,
                        "compared": [] if reference is None else chains[reference.name],
                        **_number(plan, self.typed(plan), row.row, column, cell),
                        **({} if verdict is None else {"verdict": _verdict(verdict)}),
                    }
                )

    def _chain(self, plan: Plan, row: Row) -> list[list[Any]]:
        """Return phase and number of the settings of each stage of a row."""
        return [
            [stage.phase, self._intern(_settings(plan, stage))]
            for stage in plan.chains.get(row.name, ())
        ]

    def _intern(self, settings: Mapping[str, Any]) -> int:
        text = canonical(settings)
        if text not in self._settings:
            self._settings[text] = len(self._settings_values)
            self._settings_values.append(dict(settings))
        return self._settings[text]

    def _version(self, versions: Mapping[str, str]) -> int:
        text = canonical(versions)
        if text not in self._versions:
            self._versions[text] = len(self._versions_values)
            self._versions_values.append(dict(versions))
        return self._versions[text]

    def _add_run(self, plan: Plan, cell_run: CellRun, measurements: Measurements) -> None:
        run = cell_run.run
        stages = self._records.keys(run)
        key = stages[-1]
        if key in self._runs:
            return
        for count, stage_key in enumerate(stages, 1):
            if stage_key not in self._stages:
                self._stages[stage_key] = self._stage(plan, run, count, stage_key)
        record = self._records.read(key)
        values: dict[str, Any] = {"stages": stages, "dataset": run.dataset, "split": run.split}
        values["data"] = run.data
        if cell_run.column.probe is None and record is not None and record.status == "done":
            values |= _confusion(record, measurements, plan, cell_run)
        self._runs[key] = values

    def _stage(self, plan: Plan, run: Run, count: int, key: str) -> dict[str, Any]:
        stage = run.stages[count - 1]
        record = self._records.read(key)
        values: dict[str, Any] = {
            "phase": stage.phase,
            "settings": self._intern(_settings(plan, stage)),
            "status": "no record" if record is None else record.status,
            "curves": (),
        }
        if record is None:
            return values
        made = record.provenance
        values |= {
            "commit": record.commit,
            "started": made.started,
            "seconds": made.seconds,
            "device": _device(made.device),
            "versions": self._version(made.versions),
            "micro_batch": made.micro_batch,
            "stored_size": made.stored_size,
            "peak_bytes": made.peak_bytes,
            "attempts": None if made.attempts is None else len(made.attempts),
            "latency_ms": None if made.latency is None else 1000 * made.latency.p50,
            "error": record.error,
        }
        if record.result is not None:
            result = record.result
            values |= {
                "curves": result.history,
                "images": result.images,
                "parameters": [result.parameters.total, result.parameters.trainable],
                "macs": dict(result.cost.deployed or result.cost.training or {}),
                "weights": result.weights,
            }
        return {name: value for name, value in values.items() if value is not None}


def _device(device: Device) -> str:
    which = "" if device.visible is None else f" {device.visible}"
    return f"{device.kind}{which} {device.name}, {device.threads} threads"


def reference_of(table: Table, row: Row) -> Row | None:
    """Return the row with which a row's settings are compared; None for the reference itself.

    It is a reference row of its group, else the first reference row, else the table's subject.
    """
    names = table.references or ((table.subject,) if table.subject else ())
    rows = [other for other in table.rows if other.name in names]
    if row.name in names or not rows:
        return None
    return next((other for other in rows if other.group == row.group), rows[0])


def _settings(plan: Plan, stage: Stage) -> dict[str, Any]:
    """Return a stage's settings as a flat mapping of plain values."""
    from harness.spec.recipe import backbone_of

    backbone = backbone_of(stage.method)
    size = None if backbone is None else plan.options.profile.backbones.of(backbone)
    flat: dict[str, Any] = {}
    for part, value in (("method", stage.method), ("recipe", stage.recipe), ("backbone", size)):
        if value is not None:
            _flatten(part, describe(value, complete=True), flat)
    return flat


def _flatten(name: str, value: Any, into: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _flatten(name if key == "type" else f"{name}.{key}", item, into)
    else:
        into[name] = value


def _number(plan: Plan, typed: str, row: Row, column: GridColumn, cell: Cell) -> dict[str, Any]:
    """Return a cell's number and the seeds behind it, in display units and unrounded."""
    metric = column.metric
    values: dict[str, Any] = {
        "digits": metric.digits,
        "metric": metric.name,
        "text": cell.number or ", ".join(cell.remarks),
        "paper": cell.paper,
        "seeds": [
            {**_seed(column, entry), "command": command(plan, typed, row, column, entry.seed)}
            for entry in cell.entries
        ],
    }
    if cell.costing is not None:
        values["cost"] = data.to_cost(cell.costing)
    return values


def _seed(column: GridColumn, entry: Entry) -> dict[str, Any]:
    factor = column.metric.factor
    known = {
        "seed": entry.seed,
        "key": entry.key,
        "status": entry.status,
        "value": None if entry.value is None else factor * entry.value,
        "last": None if entry.last is None else factor * entry.last,
        "best": None if entry.best is None else factor * entry.best,
        "n": entry.n,
        "collapsed": entry.collapsed or None,
        "stale": entry.stale or None,
        "error": entry.error,
        "lacking": entry.lacking,
    }
    return {name: value for name, value in known.items() if value is not None}


def command(plan: Plan, typed: str, row: Row, column: GridColumn, seed: int) -> str:
    """Return the command that trains a run of the table that is named ``typed``."""
    options = plan.options
    words = ["harness", "run", typed, "--profile", options.profile.name]
    words += ["--datasets", column.context.column.dataset, "--rows", row.name]
    words += ["--seeds", str(seed)]
    if options.split is not None:
        words += ["--split", options.split]
    if options.rule != "last":
        words += ["--rule", options.rule]
    if column.context.column.probe is not None:
        words.append("--probes")
    if options.init is not None:
        words += ["--init", options.init.source]
    for override in options.overrides:
        words += ["--set", override]
    return shlex.join(words)


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "word": verdict.word,
        "text": verdict.text,
        "reason": verdict.reason,
        "lines": list(lines_of(verdict)),
    }


def _confusion(
    record: Record, measurements: Measurements, plan: Plan, cell_run: CellRun
) -> dict[str, Any]:
    """Return the confusion matrix of a classifier from its kept predictions, or why it has none."""
    rule: Rule = plan.options.rule
    evaluation = record.finished.evaluation
    if evaluation is None or evaluation.of_masks:
        return {}
    if evaluation.at(rule) is None:
        return {"no_confusion": no_best(record)}
    try:
        arrays = measurements.arrays(record)
        counts = metrics.confusion(np.asarray(arrays[rule]), np.asarray(arrays["labels"]))
    except UnusableError as error:
        path = str(measurements.path(record))
        return {"no_confusion": str(error).replace(f" {path}", "")}
    # Arrays that are absent, or of another type or shape than the evaluator writes.
    except (ValueError, TypeError, LookupError) as error:
        return {"no_confusion": f"the predictions are of no classifier: {error}"}
    used = next(c.used for c in plan.columns if c.column == cell_run.column)
    return {"confusion": counts.tolist(), "classes": list(used.classes)}
