"""Jobs that commands have submitted to a cluster for a run store: a small file for each array.

The files are in the store's folder ``jobs``, beside the logs of the jobs. A command removes its
file when its jobs have ended; that of a command that was killed stays, and names jobs that may
still be training.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import files
from harness.errors import UserError

FOLDER = "jobs"
"""Folder of a run store with logs, files of the launcher, and these files."""

SUFFIX = ".submitted.json"


@dataclass(frozen=True, kw_only=True)
class Submission:
    """Jobs that a command has submitted.

    Attributes:
        launcher: name of the launcher.
        jobs: names of the jobs, as the cluster shows them.
        host: name of the machine on which the command runs.
        pid: its process id.
        submitted: time of the submission, in seconds since 1970.
    """

    launcher: str
    jobs: Sequence[str]
    host: str
    pid: int
    submitted: float


def keep(store: Path, submission: Submission) -> Path:
    """Write the file of a submission, and return its path."""
    path = store / FOLDER / f"{submission.jobs[0]}{SUFFIX}"
    files.write_json(path, asdict(submission))
    return path


def read(store: Path) -> list[Submission]:
    """Return the submissions of a store, the oldest first; damaged files are left out."""
    found = []
    for path in store.glob(f"{FOLDER}/[!.]*{SUFFIX}"):
        with contextlib.suppress(OSError, UserError):
            found.append(files.read_as(path, Submission))
    return sorted(found, key=lambda one: one.submitted)
