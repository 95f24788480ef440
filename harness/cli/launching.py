"""Options of how stages are trained: workers, devices, launchers and what clusters are asked."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

from harness.cli.options import names, whole
from harness.errors import UserError
from harness.execute import devices, starting
from harness.execute.cluster import minutes_of, plain, sbatch_option
from harness.execute.launch import LaunchOptions
from harness.plan.settings import LAUNCHING as NAMES
from harness.plan.settings import MOST_JOBS, Settings
from harness.store.result import Steps

LAUNCHING = tuple(f"--{name.replace('_', '-')}" for name in NAMES)
"""Options of how the work is started; they are not passed to workers."""


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
        " submitit-local (the same on this machine), ray (tasks of a Ray cluster), or one of an"
        " installed package",
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
    """Return the options of how the command's work is started; see ``starting.of``.

    Args:
        args: the command line.
        arguments: its words for a worker.

    Raises:
        UserError: as by ``starting.of``.
    """
    if args.worker:
        return LaunchOptions()
    settings = Settings(**{name: getattr(args, name) for name in NAMES if name != "slurm"})
    return starting.of(replace(settings, slurm=tuple(args.slurm)), arguments)


def _devices(text: str) -> tuple[str, ...]:
    parsed = names(text)
    _checked(devices.check_names, parsed)
    return parsed


def _time(text: str) -> str:
    _checked(minutes_of, text)
    return text


def _plain(text: str) -> str:
    """Parse a word that is written into a job's script."""
    _checked(plain, text)
    return text


def _sbatch(text: str) -> str:
    _checked(sbatch_option, text)
    return text


def _checked(check: Callable[[Any], object], value: object) -> None:
    """Run a check of a value, whose error becomes the parser's."""
    try:
        check(value)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from error
