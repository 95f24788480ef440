"""Train what a plan lacks with any number of workers, and be one of these workers.

Workers share the run store: claims keep them from training a stage twice.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from harness.errors import UserError
from harness.execute import launch, memory
from harness.execute.executor import Executor, Outcome, check, discard, failures, pending
from harness.execute.launch import LaunchOptions, Work, WorkerConfig, WorkerEnd
from harness.execute.memory import MemoryEstimate
from harness.execute.stage import ExecutionOptions
from harness.interrupt import Stop, Stopped
from harness.plan.plan import Plan
from harness.progress import Progress
from harness.store.record import Records


def train_plan(
    plan: Plan,
    device: torch.device,
    execution: ExecutionOptions,
    options: LaunchOptions,
    *,
    fresh: bool = False,
) -> Outcome:
    """Train what a plan lacks and return what was done.

    Args:
        plan: its records are read from its run store.
        device: where each worker trains.
        execution: how stages are trained.
        options: how the work is started.
        fresh: every stage is trained anew.

    Raises:
        UserError: see ``Executor.execute``, the memory is too small for so many workers, or all
            have gone before the work was done.
        Stopped: as asked.
    """
    records, steps = Records(plan.options.runs), plan.stage_runs
    if fresh:  # records that are trained anew may be unreadable
        check(steps)
        discard(steps, records)
    missing = pending(steps, records)
    check(missing)
    known = failures(missing, records)
    trained: int | None = 0
    if missing:
        executor = Executor(device, replace(execution, failed=known))
        ends = run_workers(
            options,
            count=min(options.jobs, len(missing)),
            config=WorkerConfig(threads=threads_of(options), failed=known),
            device=device,
            need=lambda: memory.estimate(plan, missing, device, execution.micro_batch),
            here=lambda: _end(executor.execute(plan, Progress())),
        )
        counts = [end.trained for end in ends if end.trained is not None]
        trained = sum(counts) if len(counts) == len(ends) else None
    left = pending(missing, records)
    failed = [r for s in left if (r := records.read(s.key)) and known.get(s.key) != r.digest]
    if len(failed) < len(left):
        raise UserError(
            f"All workers have gone, and {len(left) - len(failed)} stages are not trained; see"
            " above why. The same command goes on from the last checkpoints."
        )
    if trained is None:
        trained = len(missing) - len(left)
    found = len(steps) - len(left) - trained
    return Outcome(trained=trained, found=found, failed=tuple(failed))


def _end(outcome: Outcome) -> WorkerEnd:
    return WorkerEnd(code=1 if outcome.failed else 0, trained=outcome.trained)


def run_workers(
    options: LaunchOptions,
    *,
    count: int,
    config: WorkerConfig,
    device: torch.device,
    need: Callable[[], MemoryEstimate],
    here: Callable[[], WorkerEnd],
) -> Sequence[WorkerEnd]:
    """Launch workers after a check that so many fit into this machine's memory.

    Args:
        options: which launcher, and the words of the command.
        count: of workers.
        config: goes to every worker.
        device: where each worker trains.
        need: estimates the memory of one worker; called where several share this machine.
        here: does the work in this process.

    Raises:
        UserError: they do not fit.
        Stopped: as asked, after the workers have left.
    """
    launcher = launch.find(options.name)
    if launcher.shares_machine and count > 1:
        memory.check(count, need(), *memory.free(device))
    work = Work(arguments=options.arguments, config=config, count=count, here=here)
    return launcher.run_workers(work)


def threads_of(options: LaunchOptions) -> int:
    """Return each worker's threads: cores must not be shared, waiting threads spin.

    They are as many as ``--jobs`` says, however many of the workers find something to do.
    """
    if not launch.find(options.name).shares_machine:
        return torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min((cores or 1) // options.jobs, torch.get_num_threads()))


def work_on_plan(plan: Plan, device: torch.device, execution: ExecutionOptions) -> int:
    """Be a worker: train what is free, write no table; return the exit code."""
    config = read_config()
    try:
        with worker_stop(config) as stop:
            told = replace(execution, failed=config.failed, stop=stop)
            outcome = Executor(device, told).execute(plan, Progress(plain=True))
    except Stopped as stopped:
        return stopped.code
    return _end(outcome).code


def read_config() -> WorkerConfig:
    """Return this worker's configuration, after taking as many threads as it says."""
    with open(0, "rb", buffering=0, closefd=False) as stream:
        config = WorkerConfig.from_line(stream.readline())
    torch.set_num_threads(config.threads)
    return config


@contextmanager
def worker_stop(config: WorkerConfig) -> Iterator[Stop]:
    """Listen for signals within the block and, where configured, for the end of the parent."""
    with Stop() as stop:
        if config.follow_input:
            threading.Thread(target=_follow_parent, daemon=True).start()
        yield stop


def _follow_parent() -> None:
    """Stop this process at the end of the pipe from its parent."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
