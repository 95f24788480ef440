"""Launcher "here": the work runs in the command's own process."""

from __future__ import annotations

from dataclasses import dataclass

from harness.execute.launch import Launcher, LaunchOptions, Work, WorkerEnd


@dataclass(frozen=True)
class ThisProcess:
    """Launcher that runs the work in this process, with all its threads."""

    shares_machine: bool = True
    takes: frozenset[str] = frozenset({"devices"})

    def check(self, options: LaunchOptions) -> None:
        """Accept everything: this process sees the one device that is chosen."""

    def threads(self, options: LaunchOptions) -> None:
        """Return None: all threads; see ``TakesOptions``."""

    def run_workers(self, work: Work) -> tuple[WorkerEnd, ...]:
        """Run the work; see ``Launcher``."""
        return (work.here(),)


LAUNCHER: Launcher = ThisProcess()
