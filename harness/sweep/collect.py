"""What a study found, from its trials and their records: the report's sheet, MLflow's mirror."""

from __future__ import annotations

from dataclasses import replace

import torch

from harness import provenance
from harness.canonical import digest
from harness.data.parts import part_of
from harness.data.prepared import open_store
from harness.report import collect
from harness.report.tracking import Mirror
from harness.spec.run import parameters
from harness.spec.space import Choice, Space
from harness.store.record import Record, Records
from harness.sweep.design import Design, settings
from harness.sweep.study import Study
from harness.sweep.trial import Trial, front, ranked
from harness.sweep.values import Line, Sheet

LEVELS = 24
"""Values of a dimension that a map shows as cells, at most."""


def lay_out(study: Study, device: torch.device, *, name: str, command: str) -> Sheet:
    """Collect a study's trials and their records into what is rendered."""
    made, trials = study.design, study.trials()
    records = Records(made.options.runs)
    best = ranked(trials)
    rest = [t for state in ("pruned", "fail", "running", "waiting") for t in trials
            if t.state == state]  # fmt: skip
    leading = {t.number for t in front(trials)}
    importances, importance_error = study.importances()
    facts = provenance.device_facts(device)
    column = made.base.columns[0]
    context = collect.context(made.base, command=command, device=f"{facts['kind']} {facts['name']}")
    return Sheet(
        context=replace(context, name=name),
        title=made.sweep.title,
        study=made.study,
        dataset=column.used.name,
        data=column.manifest.fingerprint,
        n=_validation_images(made),
        sampler=study.sampler,
        pruner=study.pruner,
        dimensions=tuple(d.name for d in made.space.dimensions),
        levels={d.name: _levels(made.space, d.name) for d in made.space.dimensions},
        heatmap=_heat(made),
        trials=tuple(_line(made, t, records, front=t.number in leading) for t in [*best, *rest]),
        importances=importances,
        importance_error=importance_error,
        settings=_settings(made, best[0]) if best else (),
        notes=made.sweep.notes,
    )


def _heat(made: Design) -> tuple[str, str] | None:
    names = {d.name for d in made.space.dimensions}
    heatmap = made.sweep.heatmap
    return heatmap if heatmap is not None and set(heatmap) <= names else None


def _levels(space: Space, name: str) -> tuple[float | int | str, ...] | None:
    found = next(d for d in space.dimensions if d.name == name)
    if not isinstance(found, Choice) and found.step is None:
        return None
    steps = found if isinstance(found, Choice) else replace(found, grid=())
    levels = steps.levels()
    return levels if len(levels) <= LEVELS else None


def _line(made: Design, trial: Trial, records: Records, *, front: bool) -> Line:
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
        stale=bool(record and collect.is_stale(made.plan(trial.values).cell_runs[0], record)),
        error=trial.error,
    )


def _settings(made: Design, best: Trial) -> tuple[str, ...]:
    """Return the best trial's fields as the profile scaled them."""
    stages = {s.phase: s for s in made.plan(best.values).cell_runs[0].run.stages}
    paths = [text.partition("=")[0] for text in settings(made.space, best.values)]
    scaled = []
    for path in paths:
        phase, part, field = path.split(".")
        scaled.append(f"{path}={getattr(getattr(stages[phase], part), field)}")  # type: ignore[index]
    return tuple(scaled)


def _validation_images(made: Design) -> int:
    options = made.options
    store = open_store(options.data, made.base.columns[0].used.name)
    return len(part_of(store, options.split, options.profile, "selected_on"))


def mirrors(study: Study) -> list[Mirror]:
    """Return every finished trial as tracking wants it."""
    records = Records(study.design.options.runs)
    ended = ("complete", "pruned", "fail")
    finished = [t for t in study.trials() if t.state in ended and t.values]
    return [_mirrored(study.design, t, records) for t in finished]


def _mirrored(made: Design, trial: Trial, records: Records) -> Mirror:
    run = made.plan(trial.values).cell_runs[0].run
    status = {"complete": "done", "pruned": "pruned"}.get(trial.state, "failed")
    record: Record | None = records.read(trial.key) if trial.state == "complete" else None
    result = record.result if record else None
    named = {"trial/accuracy": trial.accuracy, "trial/macs": trial.macs}
    seen = [{"epoch": float(e), "validation/accuracy": a} for e, a in trial.epochs.items()]
    tags = {
        "trial": str(trial.number),
        "state": trial.state,
        "key": trial.key,
        "commit": record.commit if record else "",
        "data": run.data,
        "split": run.split,
        "profile": made.options.profile.name,
        **({"error": trial.error} if trial.error else {}),
    }
    values = {f"space.{name}": value for name, value in trial.values.items()}
    kept = {n: v for n, v in named.items() if v is not None}
    return Mirror(
        table=made.study,
        name=f"trial {trial.number}",
        key=trial.key or f"trial-{trial.number}",
        status=status,
        parameters={**parameters(run), **values},
        metrics=kept,
        history=result.history if result else seen,
        tags=tags,
        artifacts=(records.path(trial.key),) if record else (),
        digest=digest([tags, values, kept, record.digest if record else ""]),
    )
