"""Search of a sweep's settings with any number of workers, one study per data set."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from harness.console import note
from harness.data import registry
from harness.errors import UserError
from harness.execute import lacking, memory, parts
from harness.execute.execution import ExecutionOptions, of_pruned
from harness.execute.executor import Executor
from harness.execute.launch import LOST, LaunchOptions, Part, WorkerConfig, WorkerEnd
from harness.execute.memory import MemoryEstimate
from harness.execute.workers import Calls, read_config, run_workers, threads_of, worker_stop
from harness.interrupt import Stop, Stopped
from harness.plan.options import Options
from harness.plan.override import SWAP
from harness.provenance import choose_device
from harness.spec.space import Value
from harness.spec.sweep import Sweep
from harness.store.result import Steps
from harness.sweep import design as study_design
from harness.sweep import publish
from harness.sweep.design import Design, SearchOptions
from harness.sweep.publish import PageOptions
from harness.sweep.study import Study
from harness.sweep.trial import Attempt, Pruned, Result, TrialProgress, train

PAUSE = 20
"""After a failure of MLflow, it is left alone for this many times the failure's own seconds.

What is missing is written by a later trial, or at the end of the sweep.
"""


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """Options of how a sweep is searched and reported.

    Attributes:
        url: URL of the studies' storage.
        drawing: how trials are sampled and pruned.
        trials: total number of finished trials wanted; None for the sweep's own number.
        timeout: seconds after which no trial is started; None for no limit.
        micro_batch: see ``ExecutionOptions``.
        evaluate_every: see ``ExecutionOptions``; a study that prunes evaluates every epoch.
        steps: see ``ExecutionOptions``.
        track: whether trials are copied to MLflow.
        launch: how the work is started.
        pages: how reports are written.
        command: see ``ExecutionOptions``.
    """

    url: str
    drawing: SearchOptions
    trials: int | None
    timeout: float | None
    micro_batch: int | None
    evaluate_every: int | None
    steps: Steps
    track: bool
    launch: LaunchOptions
    pages: PageOptions
    command: str = ""

    def wanted(self, sweep: Sweep) -> int:
        """Return the total number of finished trials that are wanted.

        Raises:
            UserError: that number or the timeout is not above 0.
        """
        trials = sweep.trials if self.trials is None else self.trials
        if trials < 1:
            raise UserError(f"--trials is {trials}; it must be at least 1.")
        if self.timeout is not None and self.timeout <= 0:
            raise UserError(f"--timeout is {self.timeout:g} seconds; it must be above 0.")
        return trials


def designs(
    name: str,
    sweep: Sweep,
    options: Options,
    *,
    study: str | None = None,
    objectives: Sequence[str] | None = None,
) -> list[Design]:
    """Return one design per data set.

    Args:
        name: name of the experiment.
        sweep: the sweep.
        options: the command's options, with data sets and seed.
        study: name of the study; None for the default name.
        objectives: replace the sweep's own; None keeps them.

    Raises:
        UserError: the sweep does not fit the options.
    """
    if any(text.startswith(f"{SWAP}=") for text in options.overrides):
        raise UserError(f"--set {SWAP}=NAME is for tables; a sweep names its own fine-tuning.")
    if options.seeds is not None and len(options.seeds) > 1:
        raise UserError(f"A sweep has one seed, not {len(options.seeds)}; give one with --seeds.")
    requested = options.datasets or (sweep.dataset,)
    names = [d.name for dataset in requested for d in registry.expand(dataset, options.data)]
    if study and len(names) > 1:
        raise UserError("--study names one study; give one data set with --datasets.")
    wanted = tuple(objectives or sweep.objectives)
    changed = replace(sweep, objectives=wanted)
    seeds = options.seeds or options.profile.seeds[:1]
    narrowed = [replace(options, datasets=(n,), seeds=seeds, split="clean") for n in names]
    made = [study_design.design(name, changed, one_dataset, study) for one_dataset in narrowed]
    return [replace(design, changed_objectives=wanted != sweep.objectives) for design in made]


def search(designs: Sequence[Design], request: SweepRequest) -> int:
    """Search every design, write and mirror the studies; return the exit code.

    Raises:
        UserError: a limit is not valid, the row lacks a package, the storage cannot be used, a
            study belongs to another sweep, the memory is too small for so many workers, or workers
            ended before their trials did.
        Stopped: the command was interrupted or terminated; the next one continues its trials.
    """
    wanted = request.wanted(designs[0].sweep)
    for design in designs:  # before a study is made: a missing package is no trial's failure
        lacking.refuse(design.base)
    studies = [Study(design, request.url, request.drawing, make=True) for design in designs]
    device = choose_device()
    of_pruned(request.evaluate_every, [study.pruner for study in studies])
    part = _part(designs)
    with Stop() as stop:
        ends = run_workers(
            parts.apart(request.launch) if part == "own" else request.launch,
            count=min(request.launch.jobs, wanted),
            config=WorkerConfig(
                threads=threads_of(request.launch),
                lost={study.design.study: list(study.lost) for study in studies},
            ),
            device=device,
            store=designs[0].base.options.runs,
            calls=Calls(
                need=lambda: _largest(designs, device, request.micro_batch),
                here=lambda: _search_all(studies, request, stop, plain=False),
                left=lambda: sum(study.left(wanted) for study in studies),
            ),
        )
        if any(end.died for end in ends):
            _refuse_unfinished(studies)
        return _finish(studies, request)


def work_on_sweep(designs: Sequence[Design], request: SweepRequest) -> int:
    """Run trials, as a worker, until enough are finished; return the exit code."""
    request.wanted(designs[0].sweep)
    config = read_config()
    studies = [
        Study(design, request.url, request.drawing, make=True, lost=config.lost[design.study])
        for design in designs
    ]
    try:
        with worker_stop(config) as stop, parts.own_streams(_part(designs)):
            end = _search_all(studies, request, stop, plain=True)
    except Stopped as stopped:
        return stopped.code
    return end.code


def _part(designs: Sequence[Design]) -> Part:
    """Return "own" where trials train a user's code, which runs in a process of its own."""
    steps = [step for design in designs for step in design.base.stage_runs]
    return "own" if parts.within(steps, "own") else "shipped"


def _largest(
    designs: Sequence[Design], device: torch.device, micro_batch: int | None
) -> MemoryEstimate:
    """Return the largest memory estimate of all designs' trials, taken at their spaces' corners."""
    estimates = []
    for design in designs:
        steps = [step for plan in design.corners() for step in plan.stage_runs]
        estimates.append(memory.estimate(design.base, steps, device, micro_batch))
    return max(estimates, key=lambda estimate: estimate.total)


def _refuse_unfinished(studies: Sequence[Study]) -> None:
    """Raise a ``UserError`` if trials were left unfinished by workers that ended."""
    unfinished = [f"{s.design.study} {number}" for s in studies for number in s.abandoned()]
    if unfinished:
        raise UserError(
            f"All workers have ended, and trials are not finished ({', '.join(unfinished)}); see"
            " the messages above. The same command continues them."
        )


def _finish(studies: Sequence[Study], request: SweepRequest) -> int:
    """Write and mirror every study, print its failed trials and return the exit code."""
    code = 0
    for study in studies:
        paths = publish.write_pages(study, request.pages)
        if request.track:
            publish.mirror(study, paths)
        for trial in study.failed():
            code = 1
            line = f"failed: trial {trial.number} ({_shown(trial.values)}): {trial.error}"
            note(line)
    return code


def _search_all(
    studies: Sequence[Study], request: SweepRequest, stop: Stop, *, plain: bool
) -> WorkerEnd:
    """Search one study after the other in this process; ``plain`` prints lines, no bars."""
    execution = ExecutionOptions(
        micro_batch=request.micro_batch,
        evaluate_every=of_pruned(request.evaluate_every, [study.pruner for study in studies]),
        steps=request.steps,
        stop=stop,
        command=request.command,
    )
    executor = Executor(choose_device(), execution)
    for study in studies:
        if not _search(study, request, executor, plain=plain):
            return WorkerEnd(code=LOST)
    return WorkerEnd(code=1 if any(study.failed() for study in studies) else 0)


def _search(study: Study, request: SweepRequest, executor: Executor, *, plain: bool) -> bool:
    """Run a study's trials until enough are finished or the time is over.

    Returns:
        False where this process can train no more, because its GPU failed.
    """
    begin, wanted = time.monotonic(), request.wanted(study.design.sweep)
    track_from = begin
    while request.timeout is None or time.monotonic() - begin < request.timeout:
        with study.attempt(wanted) as attempt:
            if attempt is None:
                break
            name = f"trial {attempt.number}"
            progress = TrialProgress(name, attempt.see, plain=plain)
            done = sum(trial.state == "complete" for trial in study.trials())
            progress.line(f"{name}: {_shown(attempt.values)} ({done} of {wanted} finished)")
            result = _attempt(executor, study.design, attempt, progress)
            study.finish(attempt, result)
            if result is None:
                progress.line(f"{name}: pruned")
            elif not result.error:
                progress.line(f"{name}: validation accuracy {100 * (result.accuracy or 0):.2f} %")
        asked = time.monotonic()
        if request.track and asked >= track_from and not publish.mirror(study):
            track_from = time.monotonic() + PAUSE * (time.monotonic() - asked)
        if result is not None and result.device_lost:
            return False
    return True


def _shown(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _attempt(
    executor: Executor, design: Design, attempt: Attempt, progress: TrialProgress
) -> Result | None:
    """Train one trial and return its result; None if it was pruned."""
    try:
        plan = design.plan(attempt.values)
    except UserError as error:  # a trial that was added to the study by other means
        return Result(accuracy=None, macs=None, error=str(error))
    attempt.note("key", plan.cell_runs[0].run.key())
    # Parameters of Optuna are shares and steps of these; the dashboard shows both.
    for dimension, value in attempt.values.items():
        attempt.note(f"trained with {dimension}", value)
    try:
        result = train(executor, plan, progress)
    except Pruned:
        return None
    if result.error is None and result.macs is None and len(design.sweep.objectives) > 1:
        return Result(accuracy=None, macs=None, error="its training cannot be counted")
    return result
