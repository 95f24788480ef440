"""Search the settings of sweeps with any number of workers, one study per data set."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from harness.data import registry
from harness.errors import UserError
from harness.execute import memory
from harness.execute.executor import Executor
from harness.execute.launch import LaunchOptions, WorkerConfig, WorkerEnd
from harness.execute.memory import MemoryEstimate
from harness.execute.stage import ExecutionOptions
from harness.execute.workers import read_config, run_workers, threads_of, worker_stop
from harness.interrupt import Stop, Stopped
from harness.plan.options import Options
from harness.plan.override import SWAP
from harness.provenance import choose_device
from harness.spec.space import Value
from harness.spec.sweep import Sweep
from harness.sweep import publish
from harness.sweep.design import Design, SearchOptions, design
from harness.sweep.publish import PageOptions
from harness.sweep.storage import reachable
from harness.sweep.study import Study
from harness.sweep.trial import Attempt, Pruned, Result, TrialProgress, train


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """How a sweep is searched, and what is written of it.

    Attributes:
        url: of the studies' storage.
        drawing: how trials are drawn and cut short.
        trials: finished trials that are wanted in all; None for the sweep's own number.
        timeout: no trial is started after so many seconds.
        micro_batch: see ``ExecutionOptions``.
        track: trials are mirrored to MLflow.
        launch: how the work is started.
        pages: where results are written.
    """

    url: str
    drawing: SearchOptions
    trials: int | None
    timeout: float | None
    micro_batch: int | None
    track: bool
    launch: LaunchOptions
    pages: PageOptions

    def wanted(self, sweep: Sweep) -> int:
        """Return the number of finished trials that are wanted.

        Raises:
            UserError: the number or the time is not above 0.
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
        name: of the experiment.
        sweep: what it searches.
        options: of the command; data sets and seed are taken from them.
        study: name of the study; None for the usual one.
        objectives: instead of the sweep's own.

    Raises:
        UserError: the sweep does not fit the options.
    """
    if any(text.startswith(f"{SWAP}=") for text in options.overrides):
        raise UserError(f"--set {SWAP}=NAME is for tables; a sweep names its own fine-tuning.")
    if options.seeds is not None and len(options.seeds) > 1:
        raise UserError(f"A sweep has one seed, not {len(options.seeds)}; give one with --seeds.")
    asked = options.datasets or (sweep.dataset,)
    names = [d.name for given in asked for d in registry.expand(given)]
    if study and len(names) > 1:
        raise UserError("--study names one study; give one data set with --datasets.")
    wanted = replace(sweep, objectives=tuple(objectives or sweep.objectives))
    seeds = options.seeds or options.profile.seeds[:1]
    each = [replace(options, datasets=(n,), seeds=seeds, split="clean") for n in names]
    return [design(name, wanted, narrowed, study) for narrowed in each]


def search(designs: Sequence[Design], request: SweepRequest) -> int:
    """Search every design, write and mirror what was found; return the exit code.

    Raises:
        UserError: limits, storage or studies do not fit, the memory is too small for so many
            workers, or trials have lost their process.
        Stopped: as asked; trials under way are gone on with by the next command.
    """
    wanted = request.wanted(designs[0].sweep)
    studies = [Study(each, request.url, request.drawing, make=True) for each in designs]
    device = choose_device()
    with Stop() as stop:
        ends = run_workers(
            request.launch,
            count=min(request.launch.jobs, wanted),
            config=WorkerConfig(
                threads=threads_of(request.launch),
                lost={study.design.study: list(study.lost) for study in studies},
            ),
            device=device,
            need=lambda: _largest(designs, device, request.micro_batch),
            here=lambda: _search_all(studies, request, stop, plain=False),
        )
        if any(end.died for end in ends):
            _refuse_unfinished(studies)
        return _finish(studies, request)


def work_on_sweep(designs: Sequence[Design], request: SweepRequest) -> int:
    """Be a worker: try what is free, write nothing; return the exit code."""
    request.wanted(designs[0].sweep)
    config = read_config()
    studies = [
        Study(each, request.url, request.drawing, make=True, lost=config.lost[each.study])
        for each in designs
    ]
    try:
        with worker_stop(config) as stop:
            end = _search_all(studies, request, stop, plain=True)
    except Stopped as stopped:
        return stopped.code
    return end.code


def _largest(
    designs: Sequence[Design], device: torch.device, micro_batch: int | None
) -> MemoryEstimate:
    """Estimate the memory of the largest trial, which is at a corner of the space."""
    estimates = []
    for each in designs:
        steps = [step for plan in each.corners() for step in plan.stage_runs]
        estimates.append(memory.estimate(each.base, steps, device, micro_batch))
    return max(estimates, key=lambda estimate: estimate.total)


def _refuse_unfinished(studies: Sequence[Study]) -> None:
    left = [f"{s.design.study} {number}" for s in studies for number in s.abandoned()]
    if left:
        raise UserError(
            f"All workers have ended, and trials are not finished ({', '.join(left)}); see the"
            " messages above. The same command continues them."
        )


def _finish(studies: Sequence[Study], request: SweepRequest) -> int:
    """Write and mirror; name what failed."""
    code = 0
    for study in studies:
        paths = publish.write_pages(study, request.pages)
        if request.track:
            publish.mirror(study, paths)
        for trial in study.failed():
            code = 1
            line = f"failed: trial {trial.number} ({_shown(trial.values)}): {trial.error}"
            print(line, file=sys.stderr)
    return code


def _search_all(
    studies: Sequence[Study], request: SweepRequest, stop: Stop, *, plain: bool
) -> WorkerEnd:
    """Search one study after the other in this process; ``plain`` shows lines alone."""
    execution = ExecutionOptions(micro_batch=request.micro_batch, stop=stop)
    executor = Executor(choose_device(), execution)
    for study in studies:
        _search(study, request, executor, plain=plain)
    return WorkerEnd(code=1 if any(study.failed() for study in studies) else 0)


def _search(study: Study, request: SweepRequest, executor: Executor, *, plain: bool) -> None:
    """Take trials until enough are finished."""
    begin, wanted = time.monotonic(), request.wanted(study.design.sweep)
    while request.timeout is None or time.monotonic() - begin < request.timeout:
        with reachable(study.url), study.attempt(wanted) as attempt:
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
        if request.track:
            publish.mirror(study)


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
