"""Launcher "submitit-local": the jobs of launcher "slurm" as processes of this machine.

It shows, without a cluster, how a command's workers would be started there.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import packages
from harness.execute.launch import Launcher, LaunchOptions, Work, WorkerEnd
from harness.execute.launchers import _submitit
from harness.execute.queue import JobState

MINUTES = 10**6
"""Time limit of a job where none is given."""


@dataclass(frozen=True)
class SubmititLocal:
    """Launcher that runs each worker as a local job of submitit, without a cluster."""

    name: str = "submitit-local"
    shares_machine: bool = True
    on_cluster: bool = False
    takes: frozenset[str] = frozenset({"devices", "minutes"})

    def check(self, options: LaunchOptions) -> None:
        """Check that submitit is installed; see ``TakesOptions``."""
        packages.require("submitit")

    def threads(self, options: LaunchOptions) -> None:
        """Return None: the cores are shared out; see ``TakesOptions``."""

    def run_workers(self, work: Work) -> tuple[WorkerEnd, ...]:
        """Start the workers as local jobs and wait for them; see ``Launcher``."""
        return _submitit.run_workers(self, work)

    def executor(self, work: Work, folder: Path, tasks: int, minutes: int | None) -> Any:
        """Return submitit's executor for this machine; see ``Engine``."""
        import submitit

        executor = submitit.LocalExecutor(folder=folder)
        executor.update_parameters(
            timeout_min=minutes or work.cluster.minutes or MINUTES,
            tasks_per_node=tasks,
            stderr_to_stdout=True,
        )
        return executor

    def queue(self, submitted: Sequence[Any]) -> Mapping[str, JobState]:
        """Return the jobs whose process lives; see ``Engine``."""
        running = JobState(state="RUNNING", elapsed="", nodes="", reason="None")
        return {job.job_id: running for job in submitted if job.state == "RUNNING"}

    def refused(self, state: JobState, *, probe: bool) -> bool:
        """Return False: nothing waits here; see ``Engine``."""
        return False

    def explain(self, message: str) -> str:
        """Return nothing; see ``Engine``."""
        return ""

    def cancel(self, submitted: Sequence[Any]) -> None:
        """Tell jobs to stop: their processes pass the signal on to the workers."""
        for job in submitted:
            if job.state == "RUNNING":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(job.job_id), signal.SIGTERM)


LAUNCHER: Launcher = SubmititLocal()
