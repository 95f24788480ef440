"""What runs in a job of a cluster: a probe, and a worker process that is started and stopped.

The objects of this module are pickled by submitit or Ray and called where the job runs.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from harness import console, files
from harness.execute import devices
from harness.execute.launch import WorkerConfig
from harness.execute.launchers.local import INTERVAL, PATIENCE, Process, start
from harness.store import jobs

STOPPED = 128 + signal.SIGTERM
"""Exit code of a worker that SIGTERM has stopped, after it has written its checkpoint."""

SAME_PATH = (
    "The store, the working directory and Python have to be at the same path on every node, on a"
    " folder that all share; name such a folder with --runs."
)
"""What to do where a probe does not see the store."""


@dataclass(frozen=True, kw_only=True)
class Token:
    """Proof that a process sees the run store of the command.

    Attributes:
        path: of a file that the command has written.
        text: its content.
        folder: the command's working directory, from which paths of the command line start.
    """

    path: Path
    text: str
    folder: Path

    def enter(self) -> None:
        """Check the file, and work in the command's folder from now on.

        Raises:
            OSError: a folder or the file is not visible here.
            RuntimeError: the file is another one.
        """
        os.chdir(self.folder)
        if self.path.read_text(encoding="utf-8") != self.text:
            raise RuntimeError(f"{self.path} is not the file that the command has written")


@contextmanager
def token_in(store: Path) -> Iterator[Token]:
    """Write a token into a store for the block; it is removed with its answer at the end."""
    path = store / jobs.FOLDER / f"{uuid.uuid4().hex}.token"
    token = Token(path=path, text=uuid.uuid4().hex, folder=Path.cwd())
    files.write_text(token.path, token.text)
    try:
        yield token
    finally:
        for written in (token.path, answer(token.path)):
            written.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Job that shows that the run store is visible where it runs: it answers beside the token."""

    token: Token

    def __call__(self) -> str:
        """Read the token, write an answer and return the machine's name."""
        self.token.enter()
        host = socket.gethostname()
        answer(self.token.path).write_text(host, encoding="utf-8")
        return host


def answer(token: Path) -> Path:
    """Return the path of the answer to a token."""
    return token.with_suffix(".answer")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a job does.

    Attributes:
        arguments: see ``Work``.
        config: of the worker.
        token: shows that the store is visible.
        on_cluster: whether Slurm runs the job, which signals every process of it, and queues it
            again; else submitit, which signals this process alone.
        device: ``CUDA_VISIBLE_DEVICES`` of the worker outside of a cluster; None where not set.
    """

    arguments: Sequence[str]
    config: WorkerConfig
    token: Token
    on_cluster: bool
    device: str | None = None


def stop(worker: Process) -> None:
    """Tell a worker to stop, and wait a while until it has written its checkpoint."""
    if worker.poll() is None:
        worker.terminate()
        limit = time.monotonic() + PATIENCE
        while worker.poll() is None and time.monotonic() < limit:
            time.sleep(INTERVAL)


def call(what: Callable[[], Any]) -> Any:
    """Return what something returns that is called: Ray takes functions only."""
    return what()


@dataclass(frozen=True, kw_only=True)
class LoggedWorker:
    """Worker in a task of Ray, which writes its log itself.

    Attributes:
        task: what it does.
        log: file to which the worker's lines are appended.
    """

    task: Task
    log: Path

    def __call__(self) -> tuple[int, int]:
        """Run the worker to its end; return its exit code and its process id.

        A task that is cancelled gets a KeyboardInterrupt. The worker of a task that is killed reads
        the end of its standard input, and stops, too.
        """
        self.task.token.enter()
        with self.log.open("ab") as stream:
            worker = start(self.task.arguments, self.task.config, self.task.device, stream)
        try:
            while worker.poll() is None:
                time.sleep(INTERVAL)
        except KeyboardInterrupt:
            stop(worker)
            worker.kill()
        return worker.wait(), worker.pid


class WorkerJob:
    """Job that runs one worker process, and stops it before the job's time is over."""

    def __init__(self, task: Task) -> None:
        """Begin without a process."""
        self._task = task
        self._worker: Process | None = None

    def __call__(self) -> tuple[int, int]:
        """Run the worker to its end; return its exit code and its process id."""
        self._task.token.enter()
        if not self._task.on_cluster:
            os.environ.pop(devices.VARIABLE, None)
            signal.signal(signal.SIGTERM, self._forward)
        worker = self._start()
        while worker.poll() is None:
            time.sleep(INTERVAL)
        code = worker.returncode
        if code in (STOPPED, -signal.SIGTERM) and self._task.on_cluster:
            self._stopped(code)
        return code, worker.pid

    def checkpoint(self) -> Any:
        """Stop the worker, whose stage goes on from its checkpoint, and return this job again.

        submitit calls it before the time limit of the job, and then queues the job again.
        """
        import submitit

        if self._worker is not None:
            stop(self._worker)
        return submitit.helpers.DelayedSubmission(WorkerJob(self._task))

    def _start(self) -> Process:
        """Start the worker, which ignores the signal by which Slurm tells of the time limit."""
        before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        try:
            self._worker = start(self._task.arguments, self._task.config, self._task.device)
        finally:
            signal.signal(signal.SIGUSR2, before)
        return self._worker

    def _forward(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._worker is not None and self._worker.poll() is None:
            self._worker.send_signal(number)

    def _stopped(self, code: int) -> None:
        """Queue a job again that was told to stop, unless Slurm is ending it already.

        A cancelled job, and one that somebody else queues again, is COMPLETING; it leaves no
        result. One that is RUNNING was told to make room: by preemption, or by its node.
        """
        job = os.environ["SLURM_JOB_ID"]
        command = ["squeue", "--noheader", f"--jobs={job}", "--format=%T"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        console.say(f"the worker was stopped; its job is {asked.stdout.strip() or 'unknown'}")
        if asked.stdout.strip() == "RUNNING":
            os.kill(os.getpid(), signal.SIGUSR2)
            time.sleep(PATIENCE)  # the handler of submitit ends this process
        sys.exit(code)
