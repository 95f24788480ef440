"""Collect a plan's records into the entries and the context that a report lays out."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from harness import provenance as environment
from harness.data.parts import part_of
from harness.data.prepared import Store, open_store
from harness.errors import UserError
from harness.evaluate import registry
from harness.plan.columns import ColumnPlan
from harness.plan.plan import CellRun, Plan
from harness.report.tracking import Mirror
from harness.report.values import ColumnContext, Context, Entry
from harness.spec.quantity import Metric
from harness.spec.run import parameters, sources
from harness.store.record import Record, Records

PROBE_TITLES = {"linear": "linear probe", "knn": "k-NN probe"}


def entries(plan: Plan) -> tuple[Entry, ...]:
    """Return one entry a cell and seed, from the records alone."""
    records = Records(plan.options.runs)
    return tuple(_entry(unit, records.read(unit.run.key()), plan) for unit in plan.cell_runs)


def _entry(unit: CellRun, record: Record | None, plan: Plan) -> Entry:
    metric = registry.find(unit.column.metric)
    done = record is not None and record.status == "done"
    evaluation = record.evaluation(unit.column.probe) if record is not None and done else None
    rule = plan.options.rule
    return Entry(
        row=unit.row.name,
        column=unit.column.name,
        seed=unit.seed,
        status="missing" if record is None else "done" if done else "failed",
        value=_value(evaluation, metric, rule),
        last=_value(evaluation, metric, "last"),
        best=_value(evaluation, metric, "best"),
        n=evaluation["n"] if evaluation else None,
        collapsed=bool(evaluation and evaluation[rule]["collapsed"]),
        stale=bool(record and done and is_stale(unit, record)),
        key=unit.run.key(),
        error=record.error if record else None,
        commit=_commit(record),
        data=unit.run.data,
    )


def _value(evaluation: Mapping[str, Any] | None, metric: Metric, rule: str) -> float | None:
    """Return the metric in natural units; None where it is undefined or nothing is evaluated."""
    if evaluation is None:
        return None
    found = evaluation[rule]["metrics"]
    if metric.name not in found:
        raise UserError(
            f"A column shows {metric.name!r}, but a row's last stage is evaluated by"
            f" {', '.join(found)}; give the column one of these."
        )
    value = found[metric.name]
    return None if value is None else float(value)


def _commit(record: Record | None) -> str:
    if record is None:
        return ""
    commit: str = record.provenance["commit"]
    return f"{commit}+changes" if record.provenance["dirty"] else commit


def is_stale(unit: CellRun, record: Record) -> bool:
    """Whether the record was made by other sources than those that would make it now."""
    made_by: str = record.provenance["sources"]
    return made_by != sources(unit.run, len(unit.run.stages))


def column_contexts(plan: Plan) -> tuple[ColumnContext, ...]:
    """Describe each column: the data that fill it and what constant answers reach."""
    return tuple(_column(plan, column) for column in plan.columns)


def _column(plan: Plan, column: ColumnPlan) -> ColumnContext:
    if column.column.cost is not None:
        title = column.column.title or column.asked.title
        return ColumnContext(column=column.column, title=title, dataset=column.used.name)
    store: Store = open_store(plan.options.data, column.used.name)
    part = part_of(store, plan.options.split, plan.options.profile, "reported")
    metric, classes = column.column.metric, len(column.used.classes)
    title = column.column.title or column.asked.title
    if column.column.probe is not None:
        title = f"{title}, {PROBE_TITLES[column.column.probe]}"
    return ColumnContext(
        column=column.column,
        title=f"{title} ({column.used.name})" if column.phantom else title,
        dataset=column.used.name,
        phantom=column.phantom or column.used.name.startswith("phantom"),
        n=len(part),
        majority=registry.majority(metric, part.labels, classes),
        constants=registry.constants(metric, part, plan.options.profile.backbones.image_size),
        data=column.manifest.fingerprint,
        printed_n=column.asked.sizes.get("eval"),
    )


def context(plan: Plan, *, command: str, device: str) -> Context:
    """Describe how the table was made."""
    commit, dirty = environment.commit()
    return Context(
        name=plan.name,
        profile=plan.options.profile.name,
        scaled_down=plan.options.profile.name != "paper",
        split=plan.options.split,
        rule=plan.options.rule,
        seeds=plan.seeds,
        overrides=plan.options.overrides,
        command=command,
        commit=commit,
        dirty=dirty,
        versions=environment.versions(),
        device=device or platform.machine(),
        created=datetime.now(UTC).date().isoformat(),
    )


def mirrors(plan: Plan) -> list[Mirror]:
    """Return every finished run of the plan, done or failed, as tracking wants it."""
    records = Records(plan.options.runs)
    found = []
    for unit in {(unit.row.name, unit.run.key()): unit for unit in plan.cell_runs}.values():
        record = records.read(unit.run.key())
        if record is not None:
            found.append(_mirror(plan, unit, record, records))
    return found


def _costs(cost: Mapping[str, Any]) -> dict[str, float]:
    """Name a stage's costs per image: "cost/thop_macs" is what is deployed, others say so.

    Bytes are of a training step at its batch.
    """
    usual = "deployed" if "deployed" in cost else "training"
    memory = cost.get("memory", {})
    bytes_ = {f"cost/{name}": float(n) for name, n in memory.items() if name != "batch"}
    return bytes_ | {
        f"cost/{'' if made == usual else made + '_'}{convention.replace('-', '_')}": float(number)
        for made in ("deployed", "training", "step")
        for convention, number in cost.get(made, {}).items()
    }


def _latency(provenance: Mapping[str, Any]) -> dict[str, float]:
    """Name what a run's deployed forward took, and its training's peak memory on a GPU."""
    found = provenance.get("latency") or {}
    times = {name: 1000 * found[name] for name in ("p50", "p90", "p99", "iqr") if name in found}
    named = {f"cost/latency_{name}_ms": value for name, value in times.items()}
    peak = provenance.get("peak_bytes")
    return named if peak is None else {**named, "cost/measured_peak_bytes": float(peak)}


def _mirror(plan: Plan, unit: CellRun, record: Record, records: Records) -> Mirror:
    evaluation = record.result.get("evaluation", {})
    figures = {
        f"{rule}/{name}": value
        for rule in ("last", "best")
        for name, value in evaluation.get(rule, {}).get("metrics", {}).items()
        if value is not None
    }
    counts = record.result.get("parameters", {})
    figures |= {f"parameters/{name}": float(count) for name, count in counts.items()}
    figures |= _costs(record.result.get("cost", {})) | _latency(record.provenance)
    return Mirror(
        table=plan.name,
        name=f"{unit.row.name} / {unit.run.dataset} / seed {unit.seed}",
        key=record.key,
        status="done" if record.status == "done" else "failed",
        parameters=parameters(unit.run),
        metrics=figures,
        history=record.result.get("history", ()),
        tags={
            "key": record.key,
            "commit": _commit(record),
            "data": unit.run.data,
            "profile": plan.options.profile.name,
            "row": unit.row.name,
            **({"error": record.error} if record.error else {}),
        },
        artifacts=(records.path(record.key),),
        digest=record.digest,
    )
