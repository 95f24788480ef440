"""Report and MLflow runs of a study, collected from its trials and their records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from harness import provenance
from harness.canonical import digest, short
from harness.data.parts import part_of
from harness.data.prepared import open_store
from harness.report import collect, division
from harness.report.tracking_ledger import DataInput, Mirror
from harness.spec.run import parameters
from harness.spec.space import Choice, Space
from harness.store.record import Record, Records
from harness.sweep.design import Design, settings
from harness.sweep.study import Study
from harness.sweep.trial import Trial, front, ranked, reached
from harness.sweep.values import Line, Sheet

LEVELS = 24
"""Largest number of values of a dimension that the heat map shows as cells."""


def lay_out(study: Study, device: torch.device, *, name: str, command: str) -> Sheet:
    """Return the report of a study, from its trials and their records."""
    design, trials = study.design, study.trials()
    records = Records(design.options.runs)
    best = ranked(trials)
    unranked = ("pruned", "fail", "running", "waiting")
    others = [t for state in unranked for t in trials if t.state == state]
    leading = {t.number for t in front(trials)}
    importances, importance_error = study.importances()
    facts = provenance.device_facts(device)
    column = design.base.columns[0]
    context = collect.context(
        design.base, command=command, device=f"{facts['kind']} {facts['name']}"
    )
    return Sheet(
        context=replace(context, name=name),
        title=design.sweep.title,
        study=design.study,
        dataset=column.used.name,
        data=column.manifest.fingerprint,
        n=_validation_images(design),
        kept=_kept(design),
        sampler=study.sampler,
        pruner=study.pruner,
        dimensions=tuple(d.name for d in design.space.dimensions),
        levels={d.name: _levels(design.space, d.name) for d in design.space.dimensions},
        heatmap=_heatmap(design),
        trials=tuple(
            _line(design, t, records, front=t.number in leading) for t in [*best, *others]
        ),
        importances=importances,
        importance_error=importance_error,
        settings=_settings(design, best[0]) if best else (),
        notes=(*design.sweep.notes, *_doubts(design, best, records)),
    )


def _doubts(design: Design, trials: Sequence[Trial], records: Records) -> tuple[str, ...]:
    """Return where the study's database contradicts the records, one sentence per trial.

    A changed digit in a database is as sound to SQLite and Optuna as the right one.
    """
    doubts = []
    for trial in trials:
        record = records.read(trial.key) if trial.key else None
        if record is None or record.result is None:
            continue
        run = design.plan(trial.values).cell_runs[0].run
        if run.key() != trial.key:
            doubts.append(
                f"Trial {trial.number}: the settings in the study's database are not those of its"
                f" record {short(trial.key)}."
            )
            continue
        chain = [records.read(run.key(n + 1)) for n in range(len(run.stages))]
        if None in chain or any(r is not None and r.result is None for r in chain):
            continue
        said = reached([r for r in chain if r is not None])
        for name, ours, theirs in (
            ("accuracy", trial.accuracy, said.accuracy),
            ("training cost", trial.macs, said.macs),
        ):
            if ours != theirs:
                doubts.append(
                    f"Trial {trial.number}: the study's database has the {name} {ours}, its"
                    f" records have {theirs}."
                )
    return tuple(doubts)


def _heatmap(design: Design) -> tuple[str, str] | None:
    """Return the dimensions of the heat map; None if there is no map or one of them is fixed."""
    names = {d.name for d in design.space.dimensions}
    heatmap = design.sweep.heatmap
    return heatmap if heatmap is not None and set(heatmap) <= names else None


def _levels(space: Space, name: str) -> tuple[float | int | str, ...] | None:
    """Return the values of a dimension; None if it is continuous or has too many."""
    dimension = next(d for d in space.dimensions if d.name == name)
    if not isinstance(dimension, Choice) and dimension.step is None:
        return None
    stepped = dimension if isinstance(dimension, Choice) else replace(dimension, grid=())
    levels = stepped.levels()
    return levels if len(levels) <= LEVELS else None


def _line(design: Design, trial: Trial, records: Records, *, front: bool) -> Line:
    record = records.read(trial.key) if trial.key and trial.state == "complete" else None
    result = record.result if record else None
    return Line(
        number=trial.number,
        state=trial.state,
        values=trial.values,
        accuracy=trial.accuracy,
        macs=trial.macs,
        epochs=len(result.history) if result else max(trial.epochs, default=-1) + 1,
        key=trial.key,
        front=front,
        commit=record.commit if record else "",
        stale=bool(record and collect.is_stale(design.plan(trial.values).cell_runs[0], records)),
        error=trial.error,
    )


def _settings(design: Design, best: Trial) -> tuple[str, ...]:
    """Return the best trial's settings as arguments of ``--set``, scaled by the profile."""
    stages = {s.phase: s for s in design.plan(best.values).cell_runs[0].run.stages}
    paths = [text.partition("=")[0] for text in settings(design.space, best.values)]
    scaled = []
    for path in paths:
        phase, part, field = path.split(".")
        scaled.append(f"{path}={getattr(getattr(stages[phase], part), field)}")  # type: ignore[index]
    return tuple(scaled)


def _validation_images(design: Design) -> int:
    options = design.options
    store = open_store(options.data, design.base.columns[0].used.name)
    return len(part_of(store, design.base.columns[0].split, options.profile, "selected_on"))


def _kept(design: Design) -> str:
    """Return how groups and twins were kept between the training and the validation part."""
    column = design.base.columns[0]
    store = open_store(design.options.data, column.used.name)
    divided = division.of(column, store, design.options.profile)
    return f"{division.kept(divided, 'selected_on')}; {division.rules([divided])}"


def mirrors(study: Study) -> list[Mirror]:
    """Return every finished trial of a study as an MLflow run."""
    records = Records(study.design.options.runs)
    ended = ("complete", "pruned", "fail")
    finished = [t for t in study.trials() if t.state in ended and t.values]
    return [_mirrored(study.design, t, records) for t in finished]


def _mirrored(design: Design, trial: Trial, records: Records) -> Mirror:
    run = design.plan(trial.values).cell_runs[0].run
    status = {"complete": "done", "pruned": "pruned"}.get(trial.state, "failed")
    record: Record | None = records.read(trial.key) if trial.state == "complete" else None
    result = record.result if record else None
    named = {"trial/accuracy": trial.accuracy, "trial/macs": trial.macs}
    epochs = [{"epoch": float(e), "validation/accuracy": a} for e, a in trial.epochs.items()]
    tags = {
        "trial": str(trial.number),
        "state": trial.state,
        "key": trial.key,
        "commit": record.commit if record else "",
        "data": run.data,
        "split": run.split,
        "profile": design.options.profile.name,
        **({"error": trial.error} if trial.error else {}),
    }
    values = {f"space.{name}": value for name, value in trial.values.items()}
    metrics = {n: v for n, v in named.items() if v is not None}
    scale = (f"{run.split} split", run.profile.name)
    return Mirror(
        table=design.study,
        name=f"trial {trial.number}",
        title=" / ".join((f"trial {trial.number}", run.dataset, *scale, f"seed {run.seed}")),
        key=trial.key or f"trial-{trial.number}",
        status=status,
        parameters={**parameters(run), **values},
        metrics=metrics,
        history=result.history if result else epochs,
        tags=tags,
        artifacts=(records.path(trial.key),) if record else (),
        digest=digest([tags, values, metrics, record.digest if record else ""]),
        kind="trial",
        command=f"harness sweep {design.name}",
        commit=record.commit if record else "",
        data=DataInput(name=run.dataset, fingerprint=run.data, split=run.split),
    )
