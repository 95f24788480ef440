"""Copy finished runs from the run store to MLflow; records are authoritative.

MLflow is a view of the records: no failure of it ends a command, and the next call makes good what
is missing. Each call compares all runs of a table or study with what the server has, by one search,
and writes those that are missing there, changed or incomplete: a database may have been replaced, a
server wiped, runs deleted. A run that was logged live (see ``tracking_live``), or that an
interrupted copy has left, is completed; it is written anew where it holds something else.

A table or study under one profile is one experiment: its own run, in which the runs of its rows are
nested, and in these their stages. A stage that several rows need is one run, in that of the first.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UserError
from harness.report import tracking_ledger, tracking_owner, tracking_server
from harness.report.tracking_job import Job
from harness.report.tracking_ledger import Mirror
from harness.store import claim

SHOWN = 3
"""Runs that are named in the warning about runs that were not mirrored."""

PATIENCE = 3.0
"""Seconds that a table waits for another process that writes; studies come back anyway."""

POLL = 0.1
"""Seconds between two attempts to become the process that writes."""


@dataclass(frozen=True, kw_only=True)
class Mirrored:
    """What a call of ``mirror`` did.

    Attributes:
        written: number of runs that were written.
        failures: why each run or file that could not be written failed, by its name.
        busy: whether another process is writing, so that nothing was done.
    """

    written: int = 0
    failures: Mapping[str, str] = field(default_factory=dict)
    busy: bool = False


def publish(
    table: str,
    profile: str,
    runs: Sequence[Mirror],
    table_artifacts: Sequence[Path],
    *,
    folder: Path,
    kind: str = "table",
) -> Mirrored | None:
    """Call ``mirror`` and warn of what failed, in one line; return None if MLflow failed.

    For commands whose work is not tracking: it goes on, and a later call makes the loss good.
    """
    try:
        mirrored = mirror(table, profile, runs, table_artifacts, folder=folder, kind=kind)
    except UserError as error:
        tracking_server.announce(f"not mirrored: {error}")
        return None
    warn(mirrored)
    return mirrored


def warn(mirrored: Mirrored) -> None:
    """Name in one line what could not be mirrored, and why."""
    if mirrored.failures:
        named = [f"{name} ({why})" for name, why in mirrored.failures.items()][:SHOWN]
        rest = len(mirrored.failures) - SHOWN
        more = f", and {rest} more" if rest > 0 else ""
        tracking_server.announce(
            f"{len(mirrored.failures)} not mirrored to MLflow: {', '.join(named)}{more}."
            " The records hold them; `harness track` tries again."
        )


def mirror(
    table: str,
    profile: str,
    runs: Sequence[Mirror],
    table_artifacts: Sequence[Path],
    *,
    folder: Path,
    kind: str = "table",
) -> Mirrored:
    """Write a table's runs to MLflow, nested in one run of the table.

    Idempotent: a run with the same key and digest is left, another one with the same name and key
    is completed or replaced, and none is left RUNNING that no living process has open. A run that
    MLflow does not accept is skipped. A damaged database of the run store is set aside and written
    anew, with all runs that were given.

    Args:
        table: name of the table or study.
        profile: name of the profile.
        runs: all runs of the table, also those that were written before; each after the run that
            it is nested in.
        table_artifacts: files that are attached to the table's run.
        folder: the run store.
        kind: "table", or "sweep" for a study, whose runs are trials.

    Raises:
        UserError: mlflow is not installed, or its server or database cannot be used.
    """
    job = Job(table, profile, kind, folder, runs, table_artifacts)
    return carry_out(job, PATIENCE if kind == "table" else 0.0)


def carry_out(job: Job, patience: float) -> Mirrored:
    """Do what ``mirror`` says, after waiting some seconds for another process that writes."""
    folder = job.folder
    folder.mkdir(parents=True, exist_ok=True)
    with writer(folder, patience) as ours:
        if not ours:
            return Mirrored(busy=True)  # the next command writes what that process lacks
        tracking_server.prepare(folder)
        try:
            try:
                done = job.run()
            except Exception as error:
                if not tracking_server.is_damaged(folder, error):
                    raise
                tracking_server.set_aside(folder, error)
                done = job.run()
        except UserError:
            raise
        except Exception as error:  # MLflow passes on whatever its drivers and servers raise
            raise tracking_server.unusable(folder, error) from error
        lacking = {*done.failures, *done.skipped}
        kept = [run for run in job.runs if not lacking & {run.shown, run.key}]
        tracking_ledger.note(folder, job.table, job.profile, kept, compared=not job.owner)
    return Mirrored(written=done.written, failures=done.failures)


@contextlib.contextmanager
def writer(folder: Path, seconds: float) -> Iterator[bool]:
    """Yield whether this process alone writes to MLflow in the block, after at most some wait."""
    end = time.monotonic() + seconds
    while True:
        with claim.claim(folder, "mlflow") as ours:
            if ours is not None or time.monotonic() >= end:
                yield ours is not None
                return
        time.sleep(POLL)


def end_abandoned(folder: Path) -> None:
    """End the runs KILLED that killed processes have left RUNNING; a failure is one line."""
    try:
        tracking_owner.end_abandoned(folder)
    except UserError as error:
        tracking_server.announce(f"interrupted runs stay RUNNING in MLflow: {error}")
    except Exception as error:  # noqa: BLE001  # whatever MLflow and its drivers raise
        why = tracking_server.reason(error, tracking_server.uri_of(folder))
        tracking_server.announce(f"interrupted runs stay RUNNING in MLflow: {why}")
