"""What commands do with sweeps: search, report and mirror them, one study a data set."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from harness import environment, results, track
from harness.canonical import digest
from harness.data import registry
from harness.data.store import open_store
from harness.design import Design, Drawing, design, settings
from harness.errors import UserError
from harness.images import subset
from harness.override import SWAP
from harness.plan import PARTS, Options
from harness.progress import Progress
from harness.record import Record, Records
from harness.report import sweep as pages
from harness.report.sweep import Line, Sheet
from harness.run import Executor, choose_device, parameters
from harness.space import Choice, Space
from harness.sweep import Study, reachable
from harness.table import Sweep, file_name
from harness.track import Mirror
from harness.trials import Pruned, Trial, Watch, front, ranked, train

LEVELS = 24
"""Values of a dimension that a map shows as cells, at most."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a search ends: enough trials finished, or no time for another one (seconds)."""

    trials: int
    timeout: float | None


def designs(name: str, sweep: Sweep, args: argparse.Namespace, options: Options) -> list[Design]:
    """Return one design a data set.

    Raises:
        UserError: the sweep does not fit the options.
    """
    if any(text.startswith(f"{SWAP}=") for text in options.overrides):
        raise UserError(f"--set {SWAP}=NAME is for tables; a sweep names its own fine-tuning.")
    if options.seeds is not None and len(options.seeds) > 1:
        raise UserError(f"A sweep has one seed, not {len(options.seeds)}; give one with --seeds.")
    asked = options.datasets or (sweep.dataset,)
    names = [d.name for given in asked for d in registry.expand(given)]
    if args.study and len(names) > 1:
        raise UserError("--study names one study; give one data set with --datasets.")
    objectives = getattr(args, "objectives", None)
    wanted = replace(sweep, objectives=objectives or sweep.objectives)
    seeds = options.seeds or options.profile.seeds[:1]
    return [
        design(
            name, wanted, replace(options, datasets=(n,), seeds=seeds, split="clean"), args.study
        )
        for n in names
    ]


def storage(args: argparse.Namespace) -> str:
    """Return the URL of the studies' database: a file in the run store unless one is given."""
    if args.storage:
        return str(args.storage)
    args.runs.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{args.runs.resolve()}/optuna.db"


def search(args: argparse.Namespace, made: Sequence[Design], command: str) -> int:
    """Search every design, report and mirror it; return the exit code."""
    limits = Limits(
        trials=made[0].sweep.trials if args.trials is None else args.trials, timeout=args.timeout
    )
    if limits.trials < 1 or (limits.timeout is not None and limits.timeout <= 0):
        raise UserError(
            f"--trials is {limits.trials} and --timeout {limits.timeout}; allowed: at least 1"
            " trial and more than 0 seconds."
        )
    url, code = storage(args), 0
    for each in made:
        study = Study(each, url, Drawing(sampler=args.sampler, pruner=args.pruner), make=True)
        tell = _mirror(study) if args.track == "on" else None
        failed = _search(study, limits, tell)
        paths = report(args, study, command)
        if args.track == "on":
            _mirror(study)(paths)
        for line in failed:
            print(f"failed: {line}", file=sys.stderr)
        code = 1 if failed else code
    return code


def _search(
    study: Study, limits: Limits, tell: Callable[[Sequence[Path]], None] | None
) -> list[str]:
    """Take trials until enough are finished; return one line for each that failed."""
    made = study.design
    executor = Executor(made.base, choose_device(), Progress())
    failed: list[str] = []
    begin = time.monotonic()
    while limits.timeout is None or time.monotonic() - begin < limits.timeout:
        with reachable(study.url), study.attempt(limits.trials, len(failed)) as attempt:
            if attempt is None:
                break
            name = f"trial {attempt.number}"
            shown = ", ".join(f"{n} {v}" for n, v in attempt.values.items())
            watch = Watch(name, attempt.see)
            watch.line(f"{name}: {shown}")
            plan = made.plan(attempt.values)
            attempt.note("key", plan.units[0].run.key())
            try:
                result = train(executor, plan, watch)
            except Pruned:
                study.prune(attempt)
                watch.line(f"{name}: pruned")
            else:
                study.complete(attempt, result)
                if result.error:
                    failed.append(f"{name} ({shown}): {result.error}")
                else:
                    watch.line(f"{name}: validation accuracy {100 * (result.accuracy or 0):.2f} %")
        if tell is not None:
            tell(())
    return failed


def open_studies(args: argparse.Namespace, made: Sequence[Design]) -> list[Study]:
    """Open the studies of designs; all must exist."""
    return [Study(each, storage(args), Drawing(), make=False) for each in made]


def report(args: argparse.Namespace, study: Study, command: str) -> list[Path]:
    """Write a study's files and return their paths."""
    made = study.design
    own = made.sweep.dataset
    name = file_name(made.name, made.base.columns[0].asked.name, own)
    folder = args.out or Path("reports") / made.options.profile.name
    sheet = lay_out(study, choose_device(), name=name, command=command)
    paths = pages.write(sheet, folder, args.format)
    counts = ", ".join(f"{sheet.count(s)} {s}" for s in ("complete", "pruned", "fail"))
    best = sheet.complete[:1]
    if best:
        reached = 100 * (best[0].accuracy or 0.0)
        print(f"Best: trial {best[0].number}, {reached:.2f} % on the {pages.PART}.")
    print(f"{made.study}: {counts}. Written: {', '.join(str(p) for p in paths)}")
    return paths


def lay_out(study: Study, device: torch.device, *, name: str, command: str) -> Sheet:
    """Collect a study's trials and their records into what is rendered."""
    made, trials = study.design, study.trials()
    records = Records(made.options.runs)
    best = ranked(trials)
    rest = [t for state in ("pruned", "fail", "running", "waiting") for t in trials
            if t.state == state]  # fmt: skip
    leading = {t.number for t in front(trials)}
    importances, silent = study.importances()
    facts = environment.device_facts(device)
    column = made.base.columns[0]
    context = results.context(made.base, command=command, device=f"{facts['kind']} {facts['name']}")
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
        heat=_heat(made),
        trials=tuple(_line(made, t, records, front=t.number in leading) for t in [*best, *rest]),
        importances=importances,
        silent=silent,
        settings=_settings(made, best[0]) if best else (),
        notes=made.sweep.notes,
    )


def _heat(made: Design) -> tuple[str, str] | None:
    names = {d.name for d in made.space.dimensions}
    heat = made.sweep.heat
    return heat if heat is not None and set(heat) <= names else None


def _levels(space: Space, name: str) -> tuple[float | int | str, ...] | None:
    found = next(d for d in space.dimensions if d.name == name)
    if not isinstance(found, Choice) and found.step is None:
        return None
    steps = found if isinstance(found, Choice) else replace(found, grid=())
    levels = steps.levels()
    return levels if len(levels) <= LEVELS else None


def _line(made: Design, trial: Trial, records: Records, *, front: bool) -> Line:
    record = records.read(trial.key) if trial.key and trial.state == "complete" else None
    return Line(
        number=trial.number,
        state=trial.state,
        values=trial.values,
        accuracy=trial.accuracy,
        macs=trial.macs,
        epochs=len(record.result["history"]) if record else max(trial.epochs, default=-1) + 1,
        key=trial.key,
        front=front,
        commit=results.commit_of(record),
        stale=bool(record and results.is_stale(made.plan(trial.values).units[0], record)),
        error=trial.error,
    )


def _settings(made: Design, best: Trial) -> tuple[str, ...]:
    """Return the best trial's fields as the profile scaled them."""
    stages = {s.phase: s for s in made.plan(best.values).units[0].run.stages}
    paths = [text.partition("=")[0] for text in settings(made.space, best.values)]
    scaled = []
    for path in paths:
        phase, part, field = path.split(".")
        scaled.append(f"{path}={getattr(getattr(stages[phase], part), field)}")  # type: ignore[index]
    return tuple(scaled)


def _validation_images(made: Design) -> int:
    options = made.options
    store = open_store(options.data, made.base.columns[0].used.name)
    part = PARTS[options.split][1]
    return len(subset(store.part(options.split, part), options.profile.eval_images))


def _mirror(study: Study) -> Callable[[Sequence[Path]], None]:
    """Return what brings MLflow up to the study; paths are kept beside the parent run."""
    folder = study.design.options.runs
    profile = study.design.options.profile.name

    def up_to_date(paths: Sequence[Path]) -> None:
        runs = mirrors(study)
        if track.pending(runs, folder):
            track.mirror(study.design.study, profile, runs, paths, folder=folder, kind="sweep")

    return up_to_date


def mirror(made: Sequence[Study]) -> None:
    """Mirror finished trials to MLflow, without duplicates."""
    for study in made:
        _mirror(study)(())


def mirrors(study: Study) -> list[Mirror]:
    """Return every finished trial as tracking wants it."""
    records = Records(study.design.options.runs)
    finished = [t for t in study.trials() if t.state in ("complete", "pruned", "fail")]
    return [_mirrored(study.design, t, records) for t in finished]


def _mirrored(made: Design, trial: Trial, records: Records) -> Mirror:
    run = made.plan(trial.values).units[0].run
    status = {"complete": "done", "pruned": "pruned"}.get(trial.state, "failed")
    record: Record | None = records.read(trial.key) if trial.state == "complete" else None
    named = {"trial/accuracy": trial.accuracy, "trial/macs": trial.macs}
    seen = [{"epoch": float(e), "validation/accuracy": a} for e, a in trial.epochs.items()]
    tags = {
        "trial": str(trial.number),
        "state": trial.state,
        "key": trial.key,
        "commit": results.commit_of(record),
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
        history=record.result["history"] if record else seen,
        tags=tags,
        artifacts=(records.path(trial.key),) if record else (),
        digest=digest([tags, values, kept, record.digest if record else ""]),
    )
