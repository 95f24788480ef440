"""Entries, column contexts and MLflow runs of a plan, collected from its records."""

from __future__ import annotations

import platform
from dataclasses import replace
from datetime import UTC, datetime

from harness import provenance as environment
from harness.console import warn
from harness.data import registry as data_registry
from harness.data.parts import part_of
from harness.data.prepared import Store, open_store
from harness.errors import Damaged
from harness.evaluate import registry
from harness.plan.columns import ColumnPlan
from harness.plan.plan import CellRun, Plan
from harness.report import division
from harness.report.measure import Measurements
from harness.report.tracking_ledger import Mirror
from harness.report.values import ColumnContext, Context, Entry
from harness.spec.run import parameters, sources
from harness.store.record import Record, Records
from harness.store.result import Provenance, Result, Rule, StageCost, to_json

PROBE_TITLES = {"linear": "linear probe", "knn": "k-NN probe"}
"""Titles of probes by name."""


def entries(plan: Plan, records: Records | None = None) -> tuple[Entry, ...]:
    """Return one entry per cell and seed, from records and, if needed, stored predictions.

    Args:
        plan: of the table.
        records: of the plan's run store; None to open it.
    """
    records = records or Records(plan.options.runs)
    measurements = Measurements(records)
    digests = Digests()
    return tuple(
        _entry(cell_run, records, plan.options.rule, measurements, digests)
        for cell_run in plan.cell_runs
    )


class Digests:
    """The digests of the sources that act on the rows of one plan, each computed once.

    They depend on a row's stages alone, not on data or seed.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._known: dict[tuple[str, int], str] = {}

    def of(self, cell_run: CellRun, count: int) -> str:
        """Return the digest of the sources of a run's first ``count`` stages."""
        name = (cell_run.row.name, count)
        if name not in self._known:
            self._known[name] = sources(cell_run.run, count)
        return self._known[name]


def _entry(
    cell_run: CellRun,
    records: Records,
    rule: Rule,
    measurements: Measurements,
    digests: Digests,
) -> Entry:
    key = cell_run.run.key()
    record = records.read(key)
    entry = Entry(
        row=cell_run.row.name,
        column=cell_run.column.name,
        seed=cell_run.seed,
        status="missing" if record is None else record.status,
        key=key,
        error=record.error if record else None,
        commit=record.commit if record else "",
        data=cell_run.run.data,
    )
    metric = registry.find(cell_run.column.metric)
    if record is None or record.status != "done":
        return entry
    probe = cell_run.column.probe
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
        stale=_is_stale(cell_run, key, records, digests),
    )


def is_stale(cell_run: CellRun, records: Records) -> bool:
    """Whether a finished run was made by other sources than the present ones."""
    return _is_stale(cell_run, cell_run.run.key(), records, Digests())


def _is_stale(cell_run: CellRun, key: str, records: Records, digests: Digests) -> bool:
    """Whether a finished run, with its key, was made by other sources than the present ones.

    A stage that was interrupted may have been begun by others than those that its record names.
    """
    run = cell_run.run
    for count in range(1, len(run.stages) + 1):
        record = records.read(key if count == len(run.stages) else run.key(count))
        if record is None or (count < len(run.stages) and record.provenance.attempts is None):
            continue  # the digest of the last stage is of the sources of the whole chain
        if not record.provenance.made_by(digests.of(cell_run, count)):
            return True
    return False


def column_contexts(plan: Plan) -> tuple[ColumnContext, ...]:
    """Return each column's data and the results of constant predictions on them."""
    return tuple(column_context(plan, column) for column in plan.columns)


def column_context(plan: Plan, column: ColumnPlan) -> ColumnContext:
    """Return a column's data, which must be prepared, and results of constant predictions."""
    if column.column.cost is not None:
        title = column.column.title or column.asked.title
        return ColumnContext(column=column.column, title=title, dataset=column.used.name)
    # The sizes of a user's data set are not the paper's.
    printed = column.asked.name in data_registry.shipped()
    title = column.column.title or column.asked.title
    if column.column.probe is not None:
        title = f"{title}, {PROBE_TITLES[column.column.probe]}"
    described = ColumnContext(
        column=column.column,
        title=f"{title} ({column.used.name})" if column.phantom else title,
        dataset=column.used.name,
        phantom=column.phantom or column.used.name.startswith("phantom"),
        data=column.manifest.fingerprint,
        printed_n=column.asked.sizes.get("eval") if printed else None,
        split=column.split,
        stored_size=column.manifest.size,
        wanted_size=plan.options.profile.stored_size,
        remarks=column.manifest.remarks,
    )
    try:
        return _of_images(described, plan, column)
    except Damaged as damaged:  # the table's other columns are sound
        warn(damaged)
        return replace(described, remarks=(*described.remarks, str(damaged)))


def _of_images(described: ColumnContext, plan: Plan, column: ColumnPlan) -> ColumnContext:
    """Add what is computed from the reported images and from the division of the data set."""
    store: Store = open_store(plan.options.data, column.used.name)
    part = part_of(store, column.split, plan.options.profile, "reported")
    metric, classes = column.column.metric, len(column.used.classes)
    return replace(
        described,
        n=len(part),
        majority=registry.majority(metric, part.labels, classes),
        constants=registry.constants(metric, part, plan.options.profile.backbones.image_size),
        division=division.of(column, store, plan.options.profile),
    )


def context(plan: Plan, *, command: str, device: str) -> Context:
    """Return the options and environment that a table is made with."""
    commit, dirty = environment.commit()
    return Context(
        name=plan.name,
        profile=plan.options.profile.name,
        scaled_down=plan.options.profile.name != "paper",
        split=" and ".join(dict.fromkeys(c.split for c in plan.columns)),
        rule=plan.options.rule,
        seeds=plan.seeds,
        overrides=plan.options.overrides,
        command=command,
        commit=commit,
        dirty=dirty,
        versions=environment.versions(),
        device=device or platform.machine(),
        created=datetime.now(UTC).date().isoformat(),
        made=plan.made,
    )


def mirrors(plan: Plan) -> list[Mirror]:
    """Return every done or failed run of a plan as an MLflow run."""
    records = Records(plan.options.runs)
    runs = []
    for cell_run in {
        (cell_run.row.name, cell_run.run.key()): cell_run for cell_run in plan.cell_runs
    }.values():
        record = records.read(cell_run.run.key())
        if record is not None:
            runs.append(_mirror(plan, cell_run, record, records))
    return runs


def _costs(cost: StageCost) -> dict[str, float]:
    """Return a stage's costs by MLflow metric name.

    "cost/thop_macs" is per image, of the deployed forward pass (of training if nothing is
    deployed); names of other passes contain the pass. Bytes are of a training step at its batch.
    """
    default = "training" if cost.deployed is None else "deployed"
    passes = {"deployed": cost.deployed, "training": cost.training, "step": cost.step}
    memory = {} if cost.memory is None else to_json(cost.memory)
    bytes_ = {f"cost/{name}": float(n) for name, n in memory.items() if name != "batch"}
    return bytes_ | {
        f"cost/{'' if name == default else name + '_'}{convention.replace('-', '_')}": number
        for name, counted in passes.items()
        for convention, number in (counted or {}).items()
    }


def _latency(measured: Provenance) -> dict[str, float]:
    """Return a run's latency (ms) and peak GPU memory of training by MLflow metric name."""
    figures: dict[str, float] = {}
    if (latency := measured.latency) is not None:
        times = {"p50": latency.p50, "p90": latency.p90, "p99": latency.p99, "iqr": latency.iqr}
        figures = {f"cost/latency_{name}_ms": 1000 * value for name, value in times.items()}
    if measured.peak_bytes is not None:
        figures["cost/measured_peak_bytes"] = float(measured.peak_bytes)
    return figures


def _figures(result: Result) -> dict[str, float]:
    """Return a run's metrics, numbers of parameters and costs by MLflow metric name."""
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


def _mirror(plan: Plan, cell_run: CellRun, record: Record, records: Records) -> Mirror:
    figures = {} if record.result is None else _figures(record.result)
    return Mirror(
        table=plan.name,
        name=f"{cell_run.row.name} / {cell_run.run.dataset} / seed {cell_run.seed}",
        key=record.key,
        status=record.status,
        parameters=parameters(cell_run.run),
        metrics=figures | _latency(record.provenance),
        history=() if record.result is None else record.result.history,
        tags={
            "key": record.key,
            "commit": record.commit,
            "data": cell_run.run.data,
            "profile": plan.options.profile.name,
            "row": cell_run.row.name,
            **({"error": record.error} if record.error else {}),
        },
        artifacts=(records.path(record.key),),
        digest=record.digest,
    )
