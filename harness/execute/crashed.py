"""Stages whose training has ended its process: the command writes that they failed.

A worker that was killed from outside (SIGKILL, for want of memory perhaps) has not failed; another
one takes its stage over.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable

import torch

from harness import console
from harness.execute.launch import LOST, RENEW, WorkerEnd
from harness.execute.made import provenance_of
from harness.plan.options import Options
from harness.plan.plan import StageRun
from harness.sources import user_frames
from harness.store import failures, heartbeat
from harness.store.claim import claim
from harness.store.owner import holder_of
from harness.store.record import Record, Records

FAULTS = frozenset(
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS")
    if hasattr(signal, name)
)
"""Signals that a process gets by what it does itself."""

REGULAR = (0, 1, 2, LOST, RENEW)
"""Exit codes of workers that have said themselves what was wrong."""


def is_crash(code: int) -> bool:
    """Whether a worker has ended by what it trained, by its exit code."""
    if code < 0:
        return -code in FAULTS
    return code not in REGULAR and code < 128  # 128 and more: stopped by a signal


def how(code: int) -> str:
    """Return how a process has ended, as the rest of a sentence."""
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"


class Crashes:
    """Writes a failed record for every stage that has ended its worker."""

    def __init__(self, steps: Iterable[StageRun], options: Options, device: torch.device) -> None:
        """Begin without crashes.

        Args:
            steps: that the workers train.
            options: of the command.
            device: each worker trains on it.
        """
        self._steps, self._options, self._device = tuple(steps), options, device
        self.written = 0

    def ended(self, end: WorkerEnd) -> None:
        """Write the record of the stage that a worker had claimed when it crashed."""
        if end.pid is None or not is_crash(end.code):
            return
        folder = self._options.runs
        for step in self._steps:
            holder = holder_of(folder, step.key)
            if holder is None or holder.lives or holder.owner.pid != end.pid:
                continue
            self.write(step, end.code)

    def write(self, step: StageRun, code: int) -> bool:
        """Write that a stage has ended its process; return whether that was possible.

        Args:
            step: the stage; nothing is written while another process trains it.
            code: the exit code of its process.
        """
        return self.failed(step, f"its process ended {how(code)}", "it has left no traceback")

    def failed(self, step: StageRun, what: str, rest: str) -> bool:
        """Write that a stage has failed without an exception; see ``write``.

        Args:
            step: the stage.
            what: has happened, as the record's line.
            rest: is known besides, for the file beside the record.
        """
        with claim(self._options.runs, step.key) as ours:
            records = Records(self._options.runs)
            possible = ours is not None and records.finished(step.key) is None
            if possible:
                self._write(step, records, what, rest)
        return possible

    def _write(self, step: StageRun, records: Records, what: str, rest: str) -> None:
        method = type(step.stage.method)
        owned = user_frames.packages_of([step.stage.method])
        at = user_frames.defined_at(getattr(method, "build", None), owned)
        error = what + ("" if at is None else f" ({at})")
        failures.keep_text(records.folder, step.key, f"{error}; {rest}.\n")
        (records.folder / "claims" / f"{step.key}{heartbeat.SUFFIX}").unlink(missing_ok=True)
        record = Record(
            key=step.key,
            status="failed",
            error=error,
            definition=step.run.definition(step.num_stages),
            result=None,
            provenance=provenance_of(step, self._options, self._device),
        )
        records.write(record)
        self.written += 1
        console.note(f"failed: {step.title}: {error}")
