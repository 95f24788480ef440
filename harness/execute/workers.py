"""Train a plan's missing stages with any number of workers; entry point of a worker process.

Workers share the run store, where claims prevent two of them from training the same stage.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from harness import console
from harness.errors import UserError
from harness.execute import devices, lacking, launch, memory, parts
from harness.execute.crashed import Crashes, is_crash
from harness.execute.execution import ExecutionOptions, best_unknown
from harness.execute.executor import Executor, Outcome, check, discard, failures, pending
from harness.execute.launch import (
    LOST,
    RENEW,
    LaunchOptions,
    Part,
    TakesOptions,
    Work,
    WorkerConfig,
    WorkerEnd,
)
from harness.execute.memory import MemoryEstimate
from harness.interrupt import Stop, Stopped
from harness.plan.plan import Plan, StageRun
from harness.progress import Progress
from harness.store.record import Record, Records
from harness.wording import counted

MOST = 10
"""Processes that a failed GPU may end one after the other before a stage more is trained."""

NOTHING_FOUND = (
    "its process did not find it: the file gives other settings there",
    "it was changed, or it gives others each time that it is loaded",
)
"""What is said of a stage that a worker has left out, see ``Crashes.failed``."""


def train_plan(
    plan: Plan,
    device: torch.device,
    execution: ExecutionOptions,
    options: LaunchOptions,
    *,
    fresh: bool = False,
) -> Outcome:
    """Train the stages of a plan that have no finished record, and return the counts.

    Args:
        plan: what is trained; its records are in the run store that its options name.
        device: each worker trains on it.
        execution: how stages are trained.
        options: how the work is started.
        fresh: delete the plan's records and checkpoints first and train every stage anew.

    Raises:
        UserError: see ``Executor.execute``; or the memory is too small for so many workers, or all
            of them ended before the work was finished.
        Stopped: the command was interrupted or terminated.
    """
    records = Records(plan.options.runs)
    plan, refused = lacking.runnable(plan, records, fresh=fresh)
    for line in refused:
        console.warn(line)
    execution.interval(plan.options)  # refuses what leaves the best epoch unknown
    steps = plan.stage_runs
    if fresh:  # before any record is read: those that are deleted may be unreadable
        check(steps)
        discard(steps, records)
    if (unknown := best_unknown(plan, records)) is not None:
        console.warn(unknown)
    missing = pending(steps, records)
    check(missing)
    retried = failures(missing, records)
    executor = Executor(device, replace(execution, failed=retried))
    ends: list[WorkerEnd] = []
    for part, inside in parts.split(missing):
        work = _Part(plan, part, inside, retried, device, execution, executor)
        ends += _train_own(work, options) if part == "own" else _train_part(work, options)
    counts = [end.trained for end in ends if end.trained is not None]
    trained = sum(counts) if len(counts) == len(ends) else None
    unfinished = pending(missing, records)
    failed = _failed_now(unfinished, records, retried)
    if left := len(unfinished) - len(failed):
        raise UserError(
            f"All workers have ended, and {counted(left, 'stage')}"
            f" {'is' if left == 1 else 'are'} not trained; see the messages above. The same command"
            " continues from the last checkpoints."
        )
    if trained is None:
        trained = len(missing) - len(unfinished)
    finished_before = len(steps) - len(unfinished) - trained
    return Outcome(trained=trained, found=finished_before, failed=tuple(failed), refused=refused)


@dataclass(frozen=True)
class _Part:
    """A part of a plan that is trained.

    Attributes:
        plan: the whole plan.
        name: of the part.
        steps: its stages without a finished record.
        retried: digests by key of the failed records that are trained again.
        device: see ``train_plan``.
        execution: likewise.
        executor: trains in this process.
    """

    plan: Plan
    name: Part
    steps: Sequence[StageRun]
    retried: Mapping[str, str]
    device: torch.device
    execution: ExecutionOptions
    executor: Executor

    def left(self) -> list[StageRun]:
        """Return the stages that were neither finished nor have failed in this command."""
        records = Records(self.plan.options.runs)
        unfinished = pending(self.steps, records)
        failed = {record.key for record in _failed_now(unfinished, records, self.retried)}
        return [step for step in unfinished if step.key not in failed]


def _train_part(part: _Part, options: LaunchOptions) -> list[WorkerEnd]:
    """Train the stages of a part once, with any number of workers; return how each ended."""
    crashes = Crashes(part.steps, part.plan.options, part.device)
    micro_batch = part.execution.micro_batch
    ends = run_workers(
        options,
        count=min(options.jobs, len(part.steps)),
        config=WorkerConfig(threads=threads_of(options), failed=part.retried, part=part.name),
        device=part.device,
        store=part.plan.options.runs,
        calls=Calls(
            need=lambda: memory.estimate(part.plan, part.steps, part.device, micro_batch),
            here=lambda: end_of(part.executor.execute(part.plan, Progress(), part.name)),
            left=lambda: len(part.left()),
            ended=crashes.ended,
            crashes=lambda: crashes.written,
        ),
    )
    return list(ends)


def _train_own(part: _Part, options: LaunchOptions) -> list[WorkerEnd]:
    """Train the stages with a user's code in processes of their own; return how each ended.

    While stages are left, another worker goes on, alone. The stage at which it ends without having
    come any further has failed.
    """
    options = parts.apart(options)
    ends: list[WorkerEnd] = []
    rounds = parts.Rounds(part.plan.options.runs)
    while left := part.left():
        last = _train_part(replace(part, steps=left), options)
        ends += last
        if options.name == launch.HERE or not any(rounds.goes_on(end, left) for end in last):
            break
        if (now := part.left()) and options.jobs == 1 and rounds.stuck(now):
            crashes = Crashes(now, part.plan.options, part.device)
            at, code = rounds.at(part.plan, now, last[-1].pid), last[-1].code
            written = crashes.write(at, code) if code else crashes.failed(at, *NOTHING_FOUND)
            if not written:
                break
        options = replace(options, jobs=1)
    return ends


def _failed_now(
    steps: Sequence[StageRun], records: Records, retried: Mapping[str, str]
) -> list[Record]:
    """Return the records of stages that failed in this command."""
    read = [records.read(step.key) for step in steps]
    return [r for r in read if r and r.status == "failed" and retried.get(r.key) != r.digest]


def end_of(outcome: Outcome) -> WorkerEnd:
    """Return the end of a worker that has executed a plan."""
    code = LOST if outcome.device_lost else 1 if outcome.failed else 0
    return WorkerEnd(code=code, trained=outcome.trained)


@dataclass(frozen=True, kw_only=True)
class Calls:
    """What ``run_workers`` calls.

    Attributes:
        need: estimates the memory of one worker; called if several share this machine.
        here: runs the work in this process.
        left: counts the stages that are left.
        ended: see ``Work``.
        crashes: number of stages that were written down as having ended their process.
    """

    need: Callable[[], MemoryEstimate]
    here: Callable[[], WorkerEnd]
    left: Callable[[], int]
    ended: Callable[[WorkerEnd], None] = lambda end: None
    crashes: Callable[[], int] = lambda: 0


def run_workers(
    options: LaunchOptions,
    *,
    count: int,
    config: WorkerConfig,
    device: torch.device,
    store: Path,
    calls: Calls,
) -> Sequence[WorkerEnd]:
    """Launch workers after checking that they fit into this machine's memory.

    A worker whose GPU has failed is replaced as long as work is left, by a new process: one error
    of CUDA makes every later call in its process fail. So is one that a stage has ended, or in
    which a user's code has left something behind. A new one has the device of the one before it.

    Args:
        options: the launcher, and the words of the command.
        count: number of workers.
        config: passed to every worker.
        device: each worker trains on it, or on the one of its kind that it alone sees.
        store: the run store.
        calls: what is called for the work.

    Raises:
        UserError: the workers do not fit into the free memory.
        Stopped: the command was interrupted or terminated, and the workers have ended.
    """
    launcher = launch.find(options.name)
    work = Work(
        arguments=options.arguments,
        config=config,
        count=count,
        here=calls.here,
        store=store.absolute(),
        ended=calls.ended,
        devices=devices.spread(options.devices, count),
        cluster=options.cluster,
    )
    if launcher.shares_machine and count > 1:
        memory.check_placed(count, calls.need(), device, work.devices)
    known, rounds, left = 0, 0, calls.left()
    placed = _placed(work, launcher.run_workers(work))
    while True:
        crashed, known = calls.crashes() > known, calls.crashes()
        gone = [
            (end, own)
            for end, own in placed
            if end.code in (LOST, RENEW) or (crashed and is_crash(end.code))
        ]
        before, left = left, calls.left()
        rounds = rounds + 1 if left == before else 0
        # Without a stage more, a further process would end in the same way; a GPU may fail again
        # before the end of a stage that goes on from its state.
        only_gpus = all(end.code == LOST for end, _ in gone)
        if not gone or not left or rounds > (MOST if only_gpus else 0):
            return [end for end, _ in placed]
        if any(end.code == LOST for end, _ in gone):
            console.warn(
                "the GPU failed in a way that ends its process; the rest is trained by a new one"
            )
        kept = [one for one in placed if one not in gone]
        kept += [(replace(end, code=1), own) for end, own in gone]
        again = launch.find(launch.LOCAL) if options.name == launch.HERE else launcher
        freed = [own for _, own in gone if own is not None]
        next_work = replace(work, count=len(gone), devices=freed)
        placed = [*kept, *_placed(next_work, again.run_workers(next_work))]


def _placed(work: Work, ends: Sequence[WorkerEnd]) -> list[tuple[WorkerEnd, str | None]]:
    """Return how each worker ended, with its device."""
    own = [*work.devices, *[None] * len(ends)]
    return list(zip(ends, own, strict=False))


def threads_of(options: LaunchOptions) -> int:
    """Return the number of threads of each worker: the cores divided by ``--jobs``.

    Workers do not share cores: where a thread of a product waits for its core, so do all. The
    number depends on ``--jobs`` only, not on how many workers have something to do. A launcher for
    other machines may choose it.
    """
    launcher = launch.find(options.name)
    own = launcher.threads(options) if isinstance(launcher, TakesOptions) else None
    if own is not None or not launcher.shares_machine:
        return own or torch.get_num_threads()
    return launch.shared_cores(options.jobs)


def work_on_plan(plan: Plan, device: torch.device, execution: ExecutionOptions) -> int:
    """Train, as a worker, the stages that no other worker trains; return the exit code."""
    config = read_config()
    plan, _ = lacking.runnable(plan, Records(plan.options.runs))  # the command has told it
    try:
        with worker_stop(config) as stop:
            configured = replace(execution, failed=config.failed, stop=stop)
            with parts.own_streams(config.part):
                executor = Executor(device, configured, parts.trainer_of(config.part))
                outcome = executor.execute(plan, Progress(plain=True), config.part)
    except parts.LeftBehindError as left:
        console.note(f"{left}; a new process goes on")
        return RENEW
    except parts.OtherCodeError:
        return RENEW
    except parts.BrokenProcessError as broken:
        console.warn(broken)
        return 1
    except Stopped as stopped:
        return stopped.code
    return end_of(outcome).code


def read_config() -> WorkerConfig:
    """Read this worker's configuration from standard input and set its number of threads."""
    with open(0, "rb", buffering=0, closefd=False) as stream:
        config = WorkerConfig.from_line(stream.readline())
    torch.set_num_threads(config.threads)
    return config


@contextmanager
def worker_stop(config: WorkerConfig) -> Iterator[Stop]:
    """Handle stop signals within the block and, if configured, the end of the parent process."""
    with Stop() as stop:
        if config.follow_input:
            threading.Thread(target=_stop_with_parent, daemon=True).start()
        yield stop


def _stop_with_parent() -> None:
    """Terminate this process when the pipe from its parent closes."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
