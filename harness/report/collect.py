"""Entries and column contexts of a plan, collected from its records."""

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
from harness.plan.stale import Digests
from harness.report import division
from harness.report.measure import Measurements
from harness.report.values import ColumnContext, Context, Entry
from harness.store.record import Records
from harness.store.result import Rule

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
    at = evaluation.at(rule)
    return replace(
        entry,
        value=shown.value,
        last=last.value,
        best=best.value,
        lacking=shown.lacking,
        n=evaluation.n,
        collapsed=at is not None and at.collapsed,
        stale=_is_stale(cell_run, key, records, digests),
    )


def is_stale(cell_run: CellRun, records: Records) -> bool:
    """Whether a finished run was made by other sources than the present ones."""
    return _is_stale(cell_run, cell_run.run.key(), records, Digests())


def _is_stale(cell_run: CellRun, key: str, records: Records, digests: Digests) -> bool:
    """Whether other sources than the present ones made a stage of a finished run with its key."""
    run = cell_run.run
    for count in range(1, len(run.stages) + 1):
        record = records.read(key if count == len(run.stages) else run.key(count))
        # An earlier stage may be of older sources although the last one is of the present ones.
        if record is not None and not record.provenance.made_by(digests.of(run, count)):
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
        overrides=plan.changes,
        command=command,
        commit=commit,
        dirty=dirty,
        versions=environment.versions(),
        device=device or platform.machine(),
        created=datetime.now(UTC).date().isoformat(),
        made=plan.made,
    )
