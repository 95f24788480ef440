"""Launcher "here": the command's own process does the work."""

from __future__ import annotations

from dataclasses import dataclass

from harness.execute.launch import Launcher, Work, WorkerEnd


@dataclass(frozen=True)
class ThisProcess:
    """Do the work in this process, with all its threads."""

    shares_machine: bool = True

    def run_workers(self, work: Work) -> tuple[WorkerEnd, ...]:
        """Do the work; see ``Launcher``."""
        return (work.here(),)


LAUNCHER: Launcher = ThisProcess()
