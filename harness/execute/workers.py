"""Do a command's work in several processes that share the run store.

Every worker is given the same command; claims keep them from training a stage twice. Workers
are sessions of their own, so that a terminal's Ctrl-C reaches the parent alone, which passes it
on; a worker whose parent has gone stops, too.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

import harness
from harness.errors import UserError
from harness.execute import memory
from harness.execute.executor import Executor, Outcome, check, discard, failures, pending
from harness.execute.stage import ExecutionOptions
from harness.interrupt import GRACE, Stop, Stopped
from harness.plan.plan import Plan
from harness.progress import Progress
from harness.store.record import Records

LOOK = 0.1
"""Seconds between looks at the workers."""

PATIENCE = 3 * GRACE
"""Seconds that workers have to leave before they are killed."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What a parent tells its workers beside the command line.

    Attributes:
        threads: of each.
        failed: digests of failed records by key: they are tried again, later failures are not.
        lost: numbers of the trials that had failed, by study; later failures take a trial's place.
    """

    threads: int
    failed: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, Sequence[int]] = field(default_factory=dict)


def execute(args: argparse.Namespace, plan: Plan, device: torch.device, stop: Stop) -> Outcome:
    """Train what a plan lacks, in this process or in ``--jobs`` others.

    Raises:
        UserError: see ``Executor.execute``, or the memory is too small for so many.
        Stopped: as asked.
    """
    execution = ExecutionOptions(fresh=args.fresh, micro_batch=args.micro_batch, stop=stop)
    if args.jobs == 1:
        return Executor(plan, device, Progress(), execution).execute()
    records, steps = Records(plan.options.runs), plan.stage_runs
    if execution.fresh:
        check(steps)
        discard(steps, records)
    missing = pending(steps, records)
    check(missing)
    jobs = min(args.jobs, len(missing))
    if jobs:
        need = memory.estimate(plan, missing, device, args.micro_batch)
        memory.check(jobs, need, *memory.free(device))
    known = failures(steps, records)
    if jobs:
        # As many threads each as --jobs says, however many of them find something to do.
        orders = Orders(threads=threads_of(args.jobs), failed=known)
        employ(args.command_line[1:], jobs, orders)
    left = pending(missing, records)
    failed = [r for s in left if (r := records.read(s.key)) and known.get(s.key) != r.digest]
    if len(failed) < len(left):
        raise UserError(
            f"All workers have gone, and {len(left) - len(failed)} stages are not trained; see"
            " above why. The same command goes on from the last checkpoints."
        )
    return Outcome(
        trained=len(missing) - len(left),
        found=len(steps) - len(missing),
        failed=tuple(failed),
    )


def threads_of(jobs: int) -> int:
    """Return each worker's threads: cores must not be shared, waiting threads spin."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min((cores or 1) // jobs, torch.get_num_threads()))


def employ(arguments: Sequence[str], jobs: int, orders: Orders) -> None:
    """Start workers for a command line and wait for all of them.

    Raises:
        Stopped: after the workers have left.
    """
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(jobs):
            workers.append(_start(arguments, orders))
        _wait(workers)
    except Stopped:
        _end(workers)
        raise
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
            if worker.stdin is not None:
                worker.stdin.close()


def _start(arguments: Sequence[str], orders: Orders) -> subprocess.Popen[bytes]:
    house = str(Path(harness.__file__).resolve().parent.parent)
    path = [house, *filter(None, [os.environ.get("PYTHONPATH")])]
    worker = subprocess.Popen(
        [sys.executable, "-m", "harness", *arguments, "--worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={
            **os.environ,
            "OMP_NUM_THREADS": str(orders.threads),
            "PYTHONPATH": os.pathsep.join(path),
        },
        start_new_session=True,
    )
    assert worker.stdin is not None
    # The pipe stays open: its end tells a worker that the parent has gone.
    worker.stdin.write(json.dumps(asdict(orders)).encode() + b"\n")
    worker.stdin.flush()
    return worker


def _wait(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait for the end of all; a dead worker's claim is free as soon as it is reaped."""
    running = dict(enumerate(workers, 1))
    while running:
        for number, worker in list(running.items()):
            code = worker.poll()
            if code is not None:
                del running[number]
                if code not in (0, 1):
                    reason = f"by {signal.Signals(-code).name}" if code < 0 else f"with {code}"
                    others = f"; {len(running)} go on" if running else ""
                    print(
                        f"worker {number} ended {reason}{others}",
                        file=sys.stderr,
                        flush=True,
                    )
        time.sleep(LOOK)


def _end(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let workers finish their checkpoint; a second signal lets them leave at once."""
    limit = time.monotonic() + PATIENCE
    _tell(workers)
    while any(worker.poll() is None for worker in workers) and time.monotonic() < limit:
        try:
            time.sleep(LOOK)
        except Stopped:
            _tell(workers)


def _tell(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.terminate()


def work(args: argparse.Namespace, plan: Plan, device: torch.device) -> int:
    """Be a worker: train what is free, write no table; return the exit code."""
    orders = taken()
    execution = ExecutionOptions(micro_batch=args.micro_batch, failed=orders.failed)
    try:
        with employed() as stop:
            told = replace(execution, stop=stop)
            outcome = Executor(plan, device, Progress(plain=True), told).execute()
    except Stopped as stopped:
        return stopped.code
    return 1 if outcome.failed else 0


def taken() -> Orders:
    """Return this worker's orders, after taking as many threads as they say."""
    with open(0, "rb", buffering=0, closefd=False) as stream:
        orders = Orders(**json.loads(stream.readline()))
    torch.set_num_threads(orders.threads)
    return orders


@contextmanager
def employed() -> Iterator[Stop]:
    """Listen for signals within the block, and for the end of the parent."""
    with Stop() as stop:
        threading.Thread(target=_follow_parent, daemon=True).start()
        yield stop


def _follow_parent() -> None:
    """Stop this process at the end of the pipe from its parent."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
