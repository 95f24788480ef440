"""Launcher "local": several processes of this machine share the work.

Each worker is started in a process session of its own, so that a terminal's Ctrl-C reaches only the
command, which then stops the workers. A worker also stops when its parent process ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import harness
from harness.console import note
from harness.execute import devices
from harness.execute.launch import Launcher, LaunchOptions, Work, WorkerConfig, WorkerEnd
from harness.interrupt import GRACE, Stopped

INTERVAL = 0.1
"""Seconds between checks of which workers have ended."""

PATIENCE = 3 * GRACE
"""Seconds that workers have to stop before they are killed."""

Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class LocalProcesses:
    """Launcher that runs each worker as a process of this machine."""

    shares_machine: bool = True
    takes: frozenset[str] = frozenset({"devices"})

    def check(self, options: LaunchOptions) -> None:
        """Accept all options that it takes; see ``TakesOptions``."""

    def threads(self, options: LaunchOptions) -> None:
        """Return None: the cores are shared out; see ``TakesOptions``."""

    def run_workers(self, work: Work) -> tuple[WorkerEnd, ...]:
        """Start the processes and wait for all of them; see ``Launcher``."""
        workers: list[Process] = []
        try:
            for number in range(work.count):
                device = work.devices[number] if work.devices else None
                workers.append(start(work.arguments, work.config, device))
            _wait(workers, work.ended)
        except Stopped:
            _stop(workers)
            raise
        finally:
            for worker in workers:
                if worker.poll() is None:
                    worker.kill()
                worker.wait()
                _end_children(worker)
                if worker.stdin is not None:
                    worker.stdin.close()
        return tuple(WorkerEnd(code=worker.returncode, pid=worker.pid) for worker in workers)


def start(
    arguments: Sequence[str],
    config: WorkerConfig,
    device: str | None = None,
    log: IO[bytes] | None = None,
) -> Process:
    """Start one worker and write its configuration to its standard input.

    Args:
        arguments: see ``Work``.
        config: of the worker.
        device: the only CUDA device that it sees; None for those that this process sees.
        log: takes its lines; None for the standard error of this process.
    """
    root = str(Path(harness.__file__).resolve().parent.parent)
    path = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    worker = subprocess.Popen(
        # -P: a random.py in the current folder does not replace Python's.
        [sys.executable, "-P", "-m", "harness", *arguments, "--worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=log,
        env={
            **os.environ,
            "OMP_NUM_THREADS": str(config.threads),
            "PYTHONPATH": os.pathsep.join(path),
            **({} if device is None else {devices.VARIABLE: device}),
        },
        start_new_session=True,
    )
    assert worker.stdin is not None
    # The pipe stays open: a worker stops when it reads the end of it, see ``worker_stop``.
    worker.stdin.write(config.to_line())
    worker.stdin.flush()
    return worker


def _wait(workers: Sequence[Process], ended: Callable[[WorkerEnd], None]) -> None:
    """Wait until all workers have ended, and print how those ended that died.

    Each worker is reaped as soon as it ends, which frees its claims for the others.
    """
    running = dict(enumerate(workers, 1))
    while running:
        for number, worker in list(running.items()):
            code = worker.poll()
            if code is not None:
                del running[number]
                if WorkerEnd(code=code).died:
                    reason = f"by {signal.Signals(-code).name}" if code < 0 else f"with {code}"
                    others = f"; {len(running)} still running" if running else ""
                    note(f"worker {number} ended {reason}{others}")
                _end_children(worker)
                ended(WorkerEnd(code=code, pid=worker.pid))
        time.sleep(INTERVAL)


def _end_children(worker: Process) -> None:
    """End the processes that a worker has left behind, which hold this command's pipes open."""
    with contextlib.suppress(OSError):  # there is none, as a rule
        os.killpg(worker.pid, signal.SIGKILL)


def _stop(workers: Sequence[Process]) -> None:
    """Ask workers to stop after their next checkpoint; at a second signal, to stop at once."""
    deadline = time.monotonic() + PATIENCE
    _terminate(workers)
    while any(worker.poll() is None for worker in workers) and time.monotonic() < deadline:
        try:
            time.sleep(INTERVAL)
        except Stopped:
            _terminate(workers)


def _terminate(workers: Sequence[Process]) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.terminate()


LAUNCHER: Launcher = LocalProcesses()
