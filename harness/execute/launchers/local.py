"""Launcher "local": processes of this machine share the work.

Workers are sessions of their own, so that a terminal's Ctrl-C reaches the command alone, which
passes it on; a worker whose parent has gone stops, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import harness
from harness.execute.launch import Launcher, Work, WorkerConfig, WorkerEnd
from harness.interrupt import GRACE, Stopped

INTERVAL = 0.1
"""Seconds between checks of which workers have ended."""

PATIENCE = 3 * GRACE
"""Seconds that workers have to leave before they are killed."""

Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class LocalProcesses:
    """Run each worker as a process of this machine."""

    shares_machine: bool = True

    def run_workers(self, work: Work) -> tuple[WorkerEnd, ...]:
        """Start the processes and wait for all of them; see ``Launcher``."""
        workers: list[Process] = []
        try:
            for _ in range(work.count):
                workers.append(_start(work.arguments, work.config))
            _wait(workers)
        except Stopped:
            _stop(workers)
            raise
        finally:
            for worker in workers:
                if worker.poll() is None:
                    worker.kill()
                worker.wait()
                if worker.stdin is not None:
                    worker.stdin.close()
        return tuple(WorkerEnd(code=worker.returncode) for worker in workers)


def _start(arguments: Sequence[str], config: WorkerConfig) -> Process:
    root = str(Path(harness.__file__).resolve().parent.parent)
    path = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    worker = subprocess.Popen(
        [sys.executable, "-m", "harness", *arguments, "--worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={
            **os.environ,
            "OMP_NUM_THREADS": str(config.threads),
            "PYTHONPATH": os.pathsep.join(path),
        },
        start_new_session=True,
    )
    assert worker.stdin is not None
    # The pipe stays open: its end tells a worker that the parent has gone.
    worker.stdin.write(config.to_line())
    worker.stdin.flush()
    return worker


def _wait(workers: Sequence[Process]) -> None:
    """Wait for the end of all; a dead worker's claim is free as soon as it is reaped."""
    running = dict(enumerate(workers, 1))
    while running:
        for number, worker in list(running.items()):
            code = worker.poll()
            if code is not None:
                del running[number]
                if WorkerEnd(code=code).died:
                    reason = f"by {signal.Signals(-code).name}" if code < 0 else f"with {code}"
                    others = f"; {len(running)} go on" if running else ""
                    print(f"worker {number} ended {reason}{others}", file=sys.stderr, flush=True)
        time.sleep(INTERVAL)


def _stop(workers: Sequence[Process]) -> None:
    """Let workers finish their checkpoint; a second signal lets them leave at once."""
    limit = time.monotonic() + PATIENCE
    _terminate(workers)
    while any(worker.poll() is None for worker in workers) and time.monotonic() < limit:
        try:
            time.sleep(INTERVAL)
        except Stopped:
            _terminate(workers)


def _terminate(workers: Sequence[Process]) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.terminate()


LAUNCHER: Launcher = LocalProcesses()
