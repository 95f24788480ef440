"""Slurm's queue: the state of this user's jobs, as ``squeue`` shows it."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

ANSWER = 60.0
"""Seconds within which Slurm's commands answer."""

NODES = ("sinfo", "--noheader", "--Node", "--format=%n")

COMMAND = ("squeue", "--noheader", "--array", "--me", "--format=%i|%T|%M|%N|%r")


@dataclass(frozen=True, kw_only=True)
class JobState:
    """A job in the queue.

    Attributes:
        state: Slurm's word, as in PENDING or RUNNING.
        elapsed: how long it has run, as in 1:02:03.
        nodes: on which it runs; empty where on none.
        reason: why it waits; "None" where for nothing.
    """

    state: str
    elapsed: str
    nodes: str
    reason: str

    def said(self) -> str:
        """Return the state in words."""
        if self.nodes:
            return f"{self.state} on {self.nodes} for {self.elapsed}"
        return self.state if self.reason == "None" else f"{self.state} ({self.reason})"


def squeue() -> dict[str, JobState] | None:
    """Return this user's jobs that have not ended, by name; None where Slurm does not answer."""
    if (lines := _lines(COMMAND)) is None:
        return None
    found = {}
    for line in lines:
        name, state, elapsed, nodes, reason = [*line.split("|", 4), "", "", "", ""][:5]
        found[name] = JobState(state=state, elapsed=elapsed, nodes=nodes, reason=reason)
    return found


def has_other_nodes() -> bool:
    """Whether the cluster has other nodes than this host, also where Slurm does not say."""
    nodes = {line.strip().partition(".")[0] for line in _lines(NODES) or ()}
    return nodes != {socket.gethostname().partition(".")[0]}


def _lines(command: Sequence[str]) -> list[str] | None:
    """Return the lines that a command of Slurm prints; None where it fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=ANSWER, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout.splitlines() if ran.returncode == 0 else None
