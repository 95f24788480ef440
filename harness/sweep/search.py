"""What commands do with sweeps: search, report and mirror them, one study a data set."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from harness.data import registry
from harness.errors import UserError
from harness.execute import memory, workers
from harness.execute.executor import Executor
from harness.execute.stage import ExecutionOptions
from harness.interrupt import Stop, Stopped
from harness.plan.options import Options
from harness.plan.override import SWAP
from harness.progress import Progress
from harness.provenance import choose_device
from harness.report import tracking
from harness.spec.space import Value
from harness.spec.sweep import Sweep
from harness.spec.table import file_name
from harness.sweep import collect
from harness.sweep import report as pages
from harness.sweep.design import Design, SearchOptions, design
from harness.sweep.storage import reachable
from harness.sweep.study import Study
from harness.sweep.trial import Attempt, Pruned, Result, TrialProgress, train
from harness.sweep.values import PART


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
    """Search every design, report and mirror it; return the exit code.

    Raises:
        UserError: limits, storage or studies do not fit, or all workers have gone.
        Stopped: as asked; trials under way are gone on with by the next command.
    """
    limits = Limits(
        trials=made[0].sweep.trials if args.trials is None else args.trials, timeout=args.timeout
    )
    if limits.trials < 1:
        raise UserError(f"--trials is {limits.trials}; it must be at least 1.")
    if limits.timeout is not None and limits.timeout <= 0:
        raise UserError(f"--timeout is {limits.timeout:g} seconds; it must be above 0.")
    drawing = SearchOptions(sampler=args.sampler, pruner=args.pruner)
    studies = [Study(each, storage(args), drawing, make=True) for each in made]
    if args.worker:
        return _work(args, studies, limits)
    with Stop() as stop:
        if args.jobs > 1:
            _employ(args, studies, most=limits.trials)
        else:
            _walk(args, studies, limits, stop)
        return _finish(args, studies, command)


def _employ(args: argparse.Namespace, studies: Sequence[Study], *, most: int) -> None:
    """Let ``--jobs`` processes, ``most`` of them, share the trials.

    Raises:
        UserError: the memory is too small for so many, or trials have lost their process.
        Stopped: as asked.
    """
    device = choose_device()
    needs = [_need(args, study.design, device) for study in studies]
    count = min(args.jobs, most)
    memory.check(count, max(needs, key=lambda need: need.total), *memory.free(device))
    lost = {study.design.study: list(study.lost) for study in studies}
    orders = workers.Orders(threads=workers.threads_of(args.jobs), lost=lost)
    workers.employ(args.command_line[1:], count, orders)
    left = [f"{s.design.study} {number}" for s in studies for number in s.abandoned()]
    if left:
        raise UserError(
            f"All workers have gone, and trials are not finished ({', '.join(left)}); see above"
            " why. The same command goes on with them."
        )


def _need(args: argparse.Namespace, made: Design, device: torch.device) -> memory.MemoryEstimate:
    """Estimate the memory of the largest trial, which is at a corner of the space."""
    steps = [step for plan in made.corners() for step in plan.stage_runs]
    return memory.estimate(made.base, steps, device, args.micro_batch)


def _work(args: argparse.Namespace, studies: Sequence[Study], limits: Limits) -> int:
    """Be a worker: try what is free, report nothing; return the exit code."""
    orders = workers.taken()
    for study in studies:
        study.lost = orders.lost[study.design.study]
    try:
        with workers.employed() as stop:
            _walk(args, studies, limits, stop)
    except Stopped as stopped:
        return stopped.code
    return 1 if any(study.failed() for study in studies) else 0


def _walk(args: argparse.Namespace, studies: Sequence[Study], limits: Limits, stop: Stop) -> None:
    execution = ExecutionOptions(micro_batch=args.micro_batch, stop=stop)
    for study in studies:
        tell = _mirror(study) if args.track == "on" else None
        executor = Executor(study.design.base, choose_device(), Progress(), execution)
        _search(study, limits, executor, tell, plain=args.worker)


def _finish(args: argparse.Namespace, studies: Sequence[Study], command: str) -> int:
    """Report and mirror; name what failed."""
    code = 0
    for study in studies:
        paths = report(args, study, command)
        if args.track == "on":
            _mirror(study)(paths)
        for trial in study.failed():
            code = 1
            line = f"failed: trial {trial.number} ({_shown(trial.values)}): {trial.error}"
            print(line, file=sys.stderr)
    return code


def _search(
    study: Study,
    limits: Limits,
    executor: Executor,
    tell: Callable[[Sequence[Path]], None] | None,
    *,
    plain: bool,
) -> None:
    """Take trials until enough are finished."""
    begin = time.monotonic()
    while limits.timeout is None or time.monotonic() - begin < limits.timeout:
        with reachable(study.url), study.attempt(limits.trials) as attempt:
            if attempt is None:
                break
            name = f"trial {attempt.number}"
            watch = TrialProgress(name, attempt.see, plain=plain)
            watch.line(f"{name}: {_shown(attempt.values)}")
            result = _attempt(executor, study.design, attempt, watch)
            study.finish(attempt, result)
            if result is None:
                watch.line(f"{name}: pruned")
            elif not result.error:
                watch.line(f"{name}: validation accuracy {100 * (result.accuracy or 0):.2f} %")
        if tell is not None:
            tell(())


def _shown(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _attempt(
    executor: Executor, made: Design, attempt: Attempt, watch: TrialProgress
) -> Result | None:
    """Train one trial; None where the study cut it short."""
    try:
        plan = made.plan(attempt.values)
    except UserError as error:  # a trial that somebody put into the study by hand
        return Result(accuracy=None, macs=None, error=str(error))
    attempt.note("key", plan.cell_runs[0].run.key())
    try:
        result = train(executor, plan, watch)
    except Pruned:
        return None
    if result.error is None and result.macs is None and len(made.sweep.objectives) > 1:
        return Result(accuracy=None, macs=None, error="its training cannot be counted")
    return result


def open_studies(args: argparse.Namespace, made: Sequence[Design]) -> list[Study]:
    """Open the studies of designs; all must exist."""
    return [Study(each, storage(args), SearchOptions(), make=False) for each in made]


def report(args: argparse.Namespace, study: Study, command: str) -> list[Path]:
    """Write a study's files and return their paths."""
    made = study.design
    own = made.sweep.dataset
    name = file_name(made.name, made.base.columns[0].asked.name, own)
    folder = args.out or Path("reports") / made.options.profile.name
    sheet = collect.lay_out(study, choose_device(), name=name, command=command)
    paths = pages.write(sheet, folder, args.format)
    counts = ", ".join(f"{sheet.count(s)} {s}" for s in ("complete", "pruned", "fail"))
    best = sheet.complete[:1]
    if best:
        reached = 100 * (best[0].accuracy or 0.0)
        print(f"Best: trial {best[0].number}, {reached:.2f} % on the {PART}.")
    print(f"{made.study}: {counts}. Written: {', '.join(str(p) for p in paths)}")
    return paths


def _mirror(study: Study) -> Callable[[Sequence[Path]], None]:
    """Return what brings MLflow up to the study; paths are kept beside the parent run."""
    folder = study.design.options.runs
    profile = study.design.options.profile.name

    def up_to_date(paths: Sequence[Path]) -> None:
        runs = tracking.pending(collect.mirrors(study), folder)
        if runs or paths:
            name = study.design.study
            count = tracking.mirror(name, profile, runs, paths, folder=folder, kind="sweep")
            if count and not paths:
                print(f"{count} trials mirrored to MLflow.", file=sys.stderr)

    return up_to_date


def mirror(made: Sequence[Study]) -> None:
    """Mirror finished trials to MLflow, without duplicates."""
    for study in made:
        _mirror(study)(())
