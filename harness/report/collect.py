"""Collect a plan's records into the entries and the context that a report lays out."""

from __future__ import annotations

import platform
from dataclasses import replace
from datetime import UTC, datetime

from harness import provenance as environment
from harness.data.parts import part_of
from harness.data.prepared import Store, open_store
from harness.evaluate import registry
from harness.plan.columns import ColumnPlan
from harness.plan.plan import CellRun, Plan
from harness.report.measure import Measurements
from harness.report.tracking import Mirror
from harness.report.values import ColumnContext, Context, Entry
from harness.spec.run import parameters, sources
from harness.store.record import Record, Records
from harness.store.result import Provenance, Result, Rule, StageCost, to_json

PROBE_TITLES = {"linear": "linear probe", "knn": "k-NN probe"}


def entries(plan: Plan) -> tuple[Entry, ...]:
    """Return one entry a cell and seed, from the records and the predictions beside them."""
    records = Records(plan.options.runs)
    measurements = Measurements(records)
    return tuple(
        _entry(unit, records.read(unit.run.key()), plan.options.rule, measurements)
        for unit in plan.cell_runs
    )


def _entry(unit: CellRun, record: Record | None, rule: Rule, measurements: Measurements) -> Entry:
    entry = Entry(
        row=unit.row.name,
        column=unit.column.name,
        seed=unit.seed,
        status="missing" if record is None else record.status,
        key=unit.run.key(),
        error=record.error if record else None,
        commit=record.commit if record else "",
        data=unit.run.data,
    )
    metric = registry.find(unit.column.metric)
    if record is None or record.status != "done":
        return entry
    probe = unit.column.probe
    evaluation = record.evaluation(probe)
    last, best = (measurements.of(record, metric, at, probe) for at in ("last", "best"))
    shown = last if rule == "last" else best
    return replace(
        entry,
        value=shown.value,
        last=last.value,
        best=best.value,
        lacking=shown.lacking,
        n=evaluation.n,
        collapsed=evaluation.at(rule).collapsed,
        stale=is_stale(unit, record),
    )


def is_stale(unit: CellRun, record: Record) -> bool:
    """Whether the record was made by other sources than those that would make it now."""
    return record.provenance.sources != sources(unit.run, len(unit.run.stages))


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


def _costs(cost: StageCost) -> dict[str, float]:
    """Name a stage's costs per image: "cost/thop_macs" is what is deployed, others say so.

    Bytes are of a training step at its batch.
    """
    usual = "training" if cost.deployed is None else "deployed"
    passes = {"deployed": cost.deployed, "training": cost.training, "step": cost.step}
    memory = {} if cost.memory is None else to_json(cost.memory)
    bytes_ = {f"cost/{name}": float(n) for name, n in memory.items() if name != "batch"}
    return bytes_ | {
        f"cost/{'' if name == usual else name + '_'}{convention.replace('-', '_')}": number
        for name, counted in passes.items()
        for convention, number in (counted or {}).items()
    }


def _latency(made: Provenance) -> dict[str, float]:
    """Name what a run's deployed forward took, and its training's peak memory on a GPU."""
    found: dict[str, float] = {}
    if (latency := made.latency) is not None:
        times = {"p50": latency.p50, "p90": latency.p90, "p99": latency.p99, "iqr": latency.iqr}
        found = {f"cost/latency_{name}_ms": 1000 * value for name, value in times.items()}
    if made.peak_bytes is not None:
        found["cost/measured_peak_bytes"] = float(made.peak_bytes)
    return found


def _figures(result: Result) -> dict[str, float]:
    """Name what a run reached, and what it took."""
    figures: dict[str, float] = {}
    if (evaluation := result.evaluation) is not None:
        figures = {
            f"{rule}/{name}": value
            for rule, point in (("last", evaluation.last), ("best", evaluation.best))
            for name, value in point.metrics.items()
            if value is not None
        }
    counts = result.parameters
    figures["parameters/total"] = float(counts.total)
    figures["parameters/trainable"] = float(counts.trainable)
    return figures | _costs(result.cost)


def _mirror(plan: Plan, unit: CellRun, record: Record, records: Records) -> Mirror:
    figures = {} if record.result is None else _figures(record.result)
    return Mirror(
        table=plan.name,
        name=f"{unit.row.name} / {unit.run.dataset} / seed {unit.seed}",
        key=record.key,
        status=record.status,
        parameters=parameters(unit.run),
        metrics=figures | _latency(record.provenance),
        history=() if record.result is None else record.result.history,
        tags={
            "key": record.key,
            "commit": record.commit,
            "data": unit.run.data,
            "profile": plan.options.profile.name,
            "row": unit.row.name,
            **({"error": record.error} if record.error else {}),
        },
        artifacts=(records.path(record.key),),
        digest=record.digest,
    )
