"""Launcher "slurm": the workers are jobs of a Slurm cluster, submitted through submitit.

A job that reaches its time limit, is preempted or loses its node is queued again, and goes on where
it was; one that is cancelled leaves its stage to the others.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
from harness import packages
from harness.errors import UserError
from harness.execute.launch import Launcher, LaunchOptions, Work, WorkerEnd
from harness.execute.launchers import _submitit
from harness.execute.queue import ANSWER, JobState, has_other_nodes, squeue

COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol")
"""Commands of Slurm that are used."""

MINUTES = 240
"""Time limit of a job where none is given; after it, the job is queued again."""

REQUEUES = 10_000
"""How often a job is queued again at its time limit."""

OURS = {
    **dict.fromkeys(("nodes", "ntasks", "ntasks_per_node", "array"), "--nodes and --jobs"),
    **dict.fromkeys(("gpus", "gpus_per_task", "gpus_per_node", "gres"), "--gpus"),
    "partition": "--partition",
    "time": "--time",
    **dict.fromkeys(
        ("output", "error", "open_mode", "signal", "wrap", "chdir", "export", "parsable", "wait"),
        "nothing: the launcher sets it",
    ),
}
"""Options of sbatch that ``--slurm`` does not take, and what is given in their place."""

NEVER = frozenset(
    {
        *("PartitionTimeLimit", "PartitionNodeLimit", "PartitionConfig", "BadConstraints"),
        *("AccountNotAllowed", "QOSNotAllowed", "InvalidAccount", "InvalidQOS", "InactiveLimit"),
    }
)
"""Reasons of waiting jobs that only another submission ends."""

CLOSED = frozenset({"PartitionDown", "PartitionInactive"})
"""Reasons that an administrator may end; before training they count as a refusal."""


@dataclass(frozen=True)
class SlurmJobs:
    """Launcher that runs each worker as a job of a Slurm cluster."""

    name: str = "slurm"
    shares_machine: bool = False
    on_cluster: bool = True
    takes: frozenset[str] = frozenset({"nodes", "partition", "minutes", "gpus", "slurm"})

    def check(self, options: LaunchOptions) -> None:
        """Check that Slurm and submitit are there, and the options of sbatch; see ``TakesOptions``.

        Raises:
            UserError: something is missing, or an option is not taken.
        """
        lacking = [command for command in COMMANDS if shutil.which(command) is None]
        if lacking:
            raise UserError(
                f"--launcher slurm needs Slurm's commands, and {lacking[0]} is not found: run this"
                " on a login node of the cluster, or install them (Debian: apt-get install"
                " slurm-client); --launcher submitit-local uses this machine alone."
            )
        packages.require("submitit")
        for key, _ in options.cluster.slurm:
            if key in OURS:
                raise UserError(f"--slurm does not take {key}; give {OURS[key]}.")
        nodes = options.cluster.nodes
        if nodes is not None and options.jobs % nodes:
            fitting = options.jobs // nodes * nodes
            raise UserError(
                f"--jobs {options.jobs} cannot be shared out to --nodes {nodes} evenly; give --jobs"
                f" {' or '.join(str(n) for n in (fitting, fitting + nodes) if n)}."
            )
        self.threads(options)

    def threads(self, options: LaunchOptions) -> int | None:
        """Return the CPUs of a worker that ``--slurm cpus_per_task=N`` names, None without it.

        Raises:
            UserError: it is no number of CPUs.
        """
        value = dict(options.cluster.slurm).get("cpus_per_task")
        if value is None:
            return None
        if not str(value).isascii() or not str(value).isdigit() or not 0 < int(value) <= 4096:
            raise UserError(f"--slurm cpus_per_task={value} is no number of CPUs from 1 to 4096.")
        return int(value)

    def several_hosts(self) -> bool:
        """Whether the cluster has other nodes than this host; see ``KnowsHosts``."""
        return has_other_nodes()

    def run_workers(self, work: Work) -> tuple[WorkerEnd, ...]:
        """Submit the workers as a job array and wait for them; see ``Launcher``."""
        return _submitit.run_workers(self, work)

    def executor(self, work: Work, folder: Path, tasks: int, minutes: int | None) -> Any:
        """Return submitit's executor for Slurm; see ``Engine``."""
        import submitit

        options, threads = work.cluster, work.config.threads
        executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=REQUEUES)
        gpus = "gpus_per_node" if tasks == 1 else "gpus_per_task"
        root = str(Path(harness.__file__).resolve().parent.parent)
        more = {key: value for key, value in options.slurm if key != "cpus_per_task"}
        executor.update_parameters(
            job_name="harness",
            partition=options.partition,
            time=minutes or options.minutes or MINUTES,
            nodes=1,
            ntasks_per_node=tasks,
            cpus_per_task=threads,
            # A step does not inherit the number of CPUs from its job since Slurm 22.05.
            srun_args=[f"--cpus-per-task={threads}"],
            stderr_to_stdout=True,
            wckey=None,
            setup=[
                f"export PYTHONPATH={shlex.quote(root)}${{PYTHONPATH:+:$PYTHONPATH}}",
                f"export OMP_NUM_THREADS={threads}",
            ],
            additional_parameters={"requeue": True, **more},
            **({} if options.gpus is None else {gpus: options.gpus}),
        )
        return executor

    def queue(self, submitted: Sequence[Any]) -> Mapping[str, JobState] | None:
        """Return this user's jobs; see ``Engine``."""
        del submitted
        return squeue()

    def refused(self, state: JobState, *, probe: bool) -> bool:
        """Whether a job waits for what will not come; see ``Engine``."""
        waits = state.state == "PENDING"
        return waits and (state.reason in NEVER or (probe and state.reason in CLOSED))

    def explain(self, message: str) -> str:
        """Return the partitions with their time limits, where it is about these."""
        if "artition" not in message and "imit" not in message:
            return ""
        command = ["sinfo", "--noheader", "--format=%R (%a, at most %l)"]
        with_limits = _output(command).splitlines()
        known = f"; there are {', '.join(with_limits)}" if with_limits else ""
        return f"{known}; choose with --partition and --time"

    def cancel(self, submitted: Sequence[Any]) -> None:
        """Cancel jobs; each worker writes its checkpoint first."""
        _output(["scancel", *sorted({job.job_id.partition("_")[0] for job in submitted})])


def _output(command: Sequence[str]) -> str:
    """Return what a command of Slurm prints; nothing where it fails."""
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=ANSWER, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


LAUNCHER: Launcher = SlurmJobs()
