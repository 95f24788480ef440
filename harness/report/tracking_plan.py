"""The runs of a plan as MLflow shows them: those of its rows, and in them their stages."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from harness.plan.plan import CellRun, Plan, StageRun
from harness.report.tracking_ledger import DataInput, Identity, Mirror, ModelFile
from harness.spec.run import parameters
from harness.store import weights
from harness.store.record import Record, Records
from harness.store.result import Provenance, Result, StageCost, to_json


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is common to the runs of a command.

    Attributes:
        plan: of the command.
        command: as typed, without options that affect no result.
        verdicts: on published numbers, by names of row and column.
        models: whether encoders are logged as models.
    """

    plan: Plan
    command: str = ""
    verdicts: Mapping[tuple[str, str], str] = field(default_factory=dict)
    models: bool = False


def mirrors(source: Source) -> list[Mirror]:
    """Return the finished runs of a plan's rows, each followed by its finished stages."""
    records, runs, seen = Records(source.plan.options.runs), [], set()
    for cell_run in cells(source.plan):
        if (record := records.read(cell_run.run.key())) is not None:
            runs.append(row(source, cell_run, record, records))
        for step in steps(cell_run):
            if step.key not in seen and (record := records.read(step.key)) is not None:
                seen.add(step.key)
                runs.append(stage(source, step, record))
    return runs


def cells(plan: Plan) -> list[CellRun]:
    """Return the runs of a plan's rows; columns of one data set share them.

    A column of a probe is of the first stage of a row's run, whose figures hold it; it is a run of
    its own only where the plan has nothing else of that row.
    """
    by_run = {(c.row.name, c.run.key()): c for c in reversed(plan.cell_runs)}
    found = list(reversed(by_run.values()))
    within = {
        (c.row.name, step.key) for c in found if c.column.probe is None for step in steps(c)[:-1]
    }
    return [c for c in found if c.column.probe is None or (c.row.name, c.run.key()) not in within]


def steps(cell_run: CellRun) -> list[StageRun]:
    """Return the stages of a run."""
    return [
        StageRun(run=cell_run.run, num_stages=n, key=cell_run.run.key(n))
        for n in range(1, len(cell_run.run.stages) + 1)
    ]


def row(
    source: Source, cell_run: CellRun, record: Record | None, records: Records | None = None
) -> Mirror:
    """Return a row's run for one seed; without its record, as it is while its stages train."""
    plan, run = source.plan, cell_run.run
    chain = steps(cell_run)
    figures: dict[str, float] = {}
    begun = ended = None
    if record is not None:
        figures = ({} if record.result is None else _figures(record.result)) | _latency(
            record.provenance
        )
        parts = [records.read(step.key) if records else None for step in chain[:-1]]
        for part in parts:
            figures |= {} if part is None or part.result is None else _probes(part.result)
        folder = plan.options.runs
        times = [_times(folder, r) for r in (*parts, record) if r is not None]
        begun, ended = min(t for t, _ in times), max(t for _, t in times)
    words = (cell_run.row.name, run.dataset, f"{run.split} split", run.profile.name)
    verdicts = {
        f"verdict.{c.column.name}": source.verdicts[c.row.name, c.column.name]
        for c in plan.cell_runs
        if c.row.name == cell_run.row.name
        and c.run.key() == run.key()
        and (c.row.name, c.column.name) in source.verdicts
    }
    return replace(
        _base(source, run.key(), record, cell_run.run.data),
        name=" / ".join((*words, f"seed {cell_run.seed}")),
        parameters=parameters(run),
        metrics=figures,
        tags=_tags(source, run.key(), record, run.data) | {"row": cell_run.row.name},
        stages={step.stage.phase: _identity(step) for step in chain},
        marks=verdicts,
        data=DataInput(name=run.dataset, fingerprint=run.data, split=run.split),
        begun=begun,
        ended=ended,
    )


def stage(source: Source, step: StageRun, record: Record | None) -> Mirror:
    """Return a stage's run; without its record, as it is while it trains."""
    plan, run = source.plan, step.run
    needing = [c for c in cells(plan) if step.key in {s.key for s in steps(c)}]
    first = needing[0]
    words = (f"{step.stage.phase} {first.row.name}", run.dataset, f"{run.split} split")
    result = None if record is None else record.result
    final = {} if result is None else _figures(result)
    begun, ended = (None, None) if record is None else _times(plan.options.runs, record)
    return replace(
        _base(source, step.key, record, run.data),
        kind="stage",
        name=step.stage.phase,
        title=" / ".join((*words, run.profile.name, f"seed {run.seed}")),
        under=row(source, first, None).identity,
        parameters=parameters(replace(run, stages=run.stages[: step.num_stages])),
        metrics=final | ({} if record is None else _latency(record.provenance)),
        history=() if result is None else result.history,
        tags=_tags(source, step.key, record, run.data) | {"phase": step.stage.phase},
        rows=tuple(dict.fromkeys(c.row.name for c in needing)),
        data=DataInput(name=run.dataset, fingerprint=run.data, split=run.split),
        begun=begun,
        ended=ended,
        model=_model(source, step, result),
    )


def _base(source: Source, key: str, record: Record | None, data: str) -> Mirror:
    plan = source.plan
    return Mirror(
        table=plan.name,
        name="",
        key=key,
        status="done" if record is None else record.status,
        parameters={},
        metrics={},
        history=(),
        tags=_tags(source, key, record, data),
        artifacts=() if record is None else (Records(plan.options.runs).path(key),),
        digest="" if record is None else record.digest,
        command=source.command,
        commit="" if record is None else record.commit,
    )


def _tags(source: Source, key: str, record: Record | None, data: str) -> dict[str, str]:
    tags = {"key": key, "data": data, "profile": source.plan.options.profile.name}
    if record is not None:
        tags["commit"] = record.commit
    if record is not None and record.error:
        tags["error"] = record.error
    return tags


def _identity(step: StageRun) -> Identity:
    return (step.stage.phase, step.key)


def _model(source: Source, step: StageRun, result: Result | None) -> ModelFile | None:
    if not source.models or result is None or step.stage.phase != "pretrain":
        return None
    options = source.plan.options
    return ModelFile(
        path=weights.find(options.runs, step.key),
        digest=result.weights,
        side=options.profile.backbones.image_size,
    )


def _times(folder: Path, record: Record) -> tuple[float, float]:
    """Return begin and end of a training, in seconds since 1970; pauses are left out.

    Of an interrupted training the record has the begin of the last attempt and the seconds of all:
    it ended when its record was written.
    """
    made = record.provenance
    ended = datetime.fromisoformat(made.started).timestamp() + made.seconds
    with contextlib.suppress(OSError):
        ended = min(ended, Records(folder).path(record.key).stat().st_mtime)
    return ended - made.seconds, ended


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
            if point is not None
            for name, value in point.metrics.items()
            if value is not None
        }
    counts = result.parameters
    figures["parameters/total"] = float(counts.total)
    figures["parameters/trainable"] = float(counts.trainable)
    return figures | _probes(result) | _costs(result.cost)


def _probes(result: Result) -> dict[str, float]:
    """Return the metrics of the probes of a stage's encoder by MLflow metric name."""
    return {
        f"probe/{probe}/{name}": value
        for probe, evaluation in (result.probes or {}).items()
        for name, value in evaluation.last.metrics.items()
        if value is not None
    }
