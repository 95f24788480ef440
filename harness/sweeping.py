"""What commands do with sweeps: search, report and mirror them, one study a data set."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import findings, track
from harness.data import registry
from harness.design import Design, Drawing, design
from harness.errors import UserError
from harness.override import SWAP
from harness.plan import Options
from harness.progress import Progress
from harness.report import sweep as pages
from harness.run import Executor
from harness.sweep import Study, reachable
from harness.table import Sweep, file_name
from harness.trainer import choose_device
from harness.trials import Attempt, Pruned, Result, Watch, train


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
    wanted = replace(sweep, objectives=args.objectives or sweep.objectives)
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
    if limits.trials < 1:
        raise UserError(f"--trials is {limits.trials}; it must be at least 1.")
    if limits.timeout is not None and limits.timeout <= 0:
        raise UserError(f"--timeout is {limits.timeout:g} seconds; it must be above 0.")
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
            result = _attempt(executor, made, attempt, watch)
            study.finish(attempt, result)
            if result is None:
                watch.line(f"{name}: pruned")
            elif result.error:
                failed.append(f"{name} ({shown}): {result.error}")
            else:
                watch.line(f"{name}: validation accuracy {100 * (result.accuracy or 0):.2f} %")
        if tell is not None:
            tell(())
    return failed


def _attempt(executor: Executor, made: Design, attempt: Attempt, watch: Watch) -> Result | None:
    """Train one trial; None where the study cut it short."""
    try:
        plan = made.plan(attempt.values)
    except UserError as error:  # a trial that somebody put into the study by hand
        return Result(accuracy=None, macs=None, error=str(error))
    attempt.note("key", plan.units[0].run.key())
    try:
        result = train(executor, plan, watch)
    except Pruned:
        return None
    if result.error is None and result.macs is None and len(made.sweep.objectives) > 1:
        return Result(accuracy=None, macs=None, error="its training cannot be counted")
    return result


def open_studies(args: argparse.Namespace, made: Sequence[Design]) -> list[Study]:
    """Open the studies of designs; all must exist."""
    return [Study(each, storage(args), Drawing(), make=False) for each in made]


def report(args: argparse.Namespace, study: Study, command: str) -> list[Path]:
    """Write a study's files and return their paths."""
    made = study.design
    own = made.sweep.dataset
    name = file_name(made.name, made.base.columns[0].asked.name, own)
    folder = args.out or Path("reports") / made.options.profile.name
    sheet = findings.lay_out(study, choose_device(), name=name, command=command)
    paths = pages.write(sheet, folder, args.format)
    counts = ", ".join(f"{sheet.count(s)} {s}" for s in ("complete", "pruned", "fail"))
    best = sheet.complete[:1]
    if best:
        reached = 100 * (best[0].accuracy or 0.0)
        print(f"Best: trial {best[0].number}, {reached:.2f} % on the {pages.PART}.")
    print(f"{made.study}: {counts}. Written: {', '.join(str(p) for p in paths)}")
    return paths


def _mirror(study: Study) -> Callable[[Sequence[Path]], None]:
    """Return what brings MLflow up to the study; paths are kept beside the parent run."""
    folder = study.design.options.runs
    profile = study.design.options.profile.name

    def up_to_date(paths: Sequence[Path]) -> None:
        runs = track.pending(findings.mirrors(study), folder)
        if runs or paths:
            name = study.design.study
            count = track.mirror(name, profile, runs, paths, folder=folder, kind="sweep")
            if count and not paths:
                print(f"{count} trials mirrored to MLflow.", file=sys.stderr)

    return up_to_date


def mirror(made: Sequence[Study]) -> None:
    """Mirror finished trials to MLflow, without duplicates."""
    for study in made:
        _mirror(study)(())
