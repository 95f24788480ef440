"""Options of how stages are trained: workers, devices, launchers and what clusters are asked."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import get_args

from harness.cli.options import names, whole
from harness.errors import UserError
from harness.execute import devices
from harness.execute.cluster import ClusterOptions, minutes_of
from harness.execute.launch import LaunchOptions
from harness.plan.settings import MOST_JOBS
from harness.ranges import said
from harness.store.result import Steps

LAUNCHING = (
    *("--jobs", "--launcher", "--devices", "--jobs-per-device"),
    *("--nodes", "--partition", "--time", "--gpus", "--slurm"),
)
"""Options of how the work is started; they are not passed to workers."""

DEVICE = re.compile(r"[0-9]{1,4}|(GPU|MIG)-[0-9A-Za-z][0-9A-Za-z/-]*", re.ASCII)
"""A device: its number among those that are visible, or its UUID."""

LONGEST = 1000
"""Characters of a value that is passed to a cluster."""


def add_execution(parser: argparse.ArgumentParser) -> None:
    """Add the options of how stages are trained: processes, devices, micro-batch, tracking."""
    parser.add_argument(
        "--jobs",
        type=whole(1, MOST_JOBS),
        metavar="N",
        help="processes that train at the same time, each with 1/N of the cores (default: 1, with"
        " --devices one for each device)",
    )
    parser.add_argument(
        "--devices",
        type=_devices,
        metavar="0,1|all",
        help="CUDA devices over which the processes are spread; each sees its own only",
    )
    parser.add_argument(
        "--jobs-per-device",
        type=whole(1, MOST_JOBS),
        metavar="N",
        help="processes of each device, in place of --jobs (default devices: all)",
    )
    parser.add_argument(
        "--launcher",
        metavar="NAME",
        help="how the work is started: here (in this process; default for one job), local"
        " (processes of this machine; default for several), slurm (jobs of a cluster),"
        " submitit-local (the same on this machine), or one of an installed package",
    )
    _add_cluster(parser)
    parser.add_argument(
        "--micro-batch",
        type=whole(1, 2**20),
        metavar="N",
        help="compute a batch's gradient N images at a time: less memory, the same numbers up to"
        " rounding",
    )
    parser.add_argument(
        "--evaluate-every",
        type=whole(1, 2**20),
        metavar="N",
        help="evaluate every Nth epoch, and the last one (default: the profile's, 10 under paper,"
        " else 1; --rule best and pruners evaluate every epoch)",
    )
    _add_steps(parser)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--track", choices=("on", "off"), default="on", help="log to MLflow while training"
    )


def _add_steps(parser: argparse.ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--steps",
        choices=get_args(Steps),
        default="eager",
        help="how a step's operations reach a GPU: one by one (eager, default), joined by"
        " torch.compile (compiled; also on a CPU), as one CUDA graph (captured), or as"
        " --deterministic",
    )
    how.add_argument(
        "--deterministic",
        dest="steps",
        action="store_const",
        const="deterministic",
        help="on a GPU only kernels that add up in one order, where there are such ones; slower"
        " (`python -m bench gpu` measures it). A CPU's numbers are deterministic without it",
    )


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add the options of launchers for clusters (docs/cluster.md)."""
    parser.add_argument(
        "--nodes",
        type=whole(1, MOST_JOBS),
        metavar="N",
        help="share the workers out to N jobs of one node each (default: a job for each worker)",
    )
    parser.add_argument("--partition", type=_plain, metavar="NAME", help="queue of the cluster")
    parser.add_argument(
        "--time",
        type=_time,
        metavar="LIMIT",
        help="of a job: minutes, or days-hours:minutes:seconds; it is queued again before that",
    )
    parser.add_argument(
        "--gpus", type=whole(1, MOST_JOBS), metavar="N", help="GPUs of each worker on a cluster"
    )
    parser.add_argument(
        "--slurm",
        type=_sbatch,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="further option of sbatch, as in account=lab; KEY alone for one without a value",
    )


def launch_options(args: argparse.Namespace, arguments: Sequence[str]) -> LaunchOptions:
    """Return the options of how the command's work is started.

    With ``--devices`` this process sees no other devices from now on.

    Args:
        args: the command line.
        arguments: its words for a worker.

    Raises:
        UserError: there is no such launcher or device, it can run only one job, or it does not
            take an option.
    """
    if args.worker:
        return LaunchOptions()
    if args.jobs is not None and args.jobs_per_device is not None:
        raise UserError(
            f"--jobs {args.jobs} is the number of all workers and --jobs-per-device"
            f" {args.jobs_per_device} that of each device; give one of them."
        )
    found: tuple[str, ...] = ()
    if args.devices is not None or args.jobs_per_device is not None:
        found = devices.chosen(args.devices or (devices.ALL,))
    jobs = args.jobs or max(1, len(found) * (args.jobs_per_device or 1))
    if jobs > MOST_JOBS:
        raise UserError(
            f"--jobs-per-device {args.jobs_per_device} makes {jobs} workers; {MOST_JOBS} are the"
            " most that a command starts."
        )
    options = LaunchOptions(
        jobs=jobs,
        launcher=args.launcher,
        arguments=arguments,
        devices=found[:jobs],
        cluster=ClusterOptions(
            nodes=args.nodes,
            partition=args.partition,
            minutes=args.time,
            gpus=args.gpus,
            slurm=tuple(args.slurm),
        ),
    )
    if found:
        devices.see_only(options.devices)
    return options


def _devices(text: str) -> tuple[str, ...]:
    parsed = names(text)
    if parsed != (devices.ALL,):
        for name in parsed:
            if DEVICE.fullmatch(name) is None:
                raise argparse.ArgumentTypeError(
                    f"{said(name)} is no device; give numbers as in 0,1, UUIDs (GPU-...), or all"
                )
    return parsed


def _time(text: str) -> int:
    try:
        return minutes_of(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from error


def _plain(text: str) -> str:
    """Parse a word that is written into a job's script."""
    if not text.strip() or len(text) > LONGEST or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{said(text)} is no name")
    return text


def _sbatch(text: str) -> tuple[str, str | bool]:
    key, sign, value = text.partition("=")
    name = key.strip().removeprefix("--").replace("-", "_")
    if re.fullmatch("[a-z][a-z0-9_]{0,40}", name) is None:
        raise argparse.ArgumentTypeError(
            f"{said(text)} is no option of sbatch; give KEY=VALUE, as in account=lab"
        )
    return (name, _plain(value)) if sign else (name, True)
