"""Launch options made from settings: workers, devices and what is asked of a cluster."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UserError
from harness.execute import devices
from harness.execute.cluster import ClusterOptions, minutes_of, plain, sbatch_option
from harness.execute.launch import LaunchOptions
from harness.plan.settings import MOST_JOBS, Settings


def of(settings: Settings, arguments: Sequence[str]) -> LaunchOptions:
    """Return the options of how a command's work is started.

    Where the settings name devices, this process sees no others from now on.

    Args:
        settings: those of ``LAUNCHING`` are read.
        arguments: words of the command line for a worker.

    Raises:
        UserError: there is no such launcher or device, it can run only one job, or it does not
            take an option.
    """
    if settings.jobs is not None and settings.jobs_per_device is not None:
        raise UserError(
            f"--jobs {settings.jobs} is the number of all workers and --jobs-per-device"
            f" {settings.jobs_per_device} that of each device; give one of them."
        )
    cluster = ClusterOptions(
        nodes=settings.nodes,
        partition=None if settings.partition is None else plain(settings.partition),
        minutes=None if settings.time is None else minutes_of(settings.time),
        gpus=settings.gpus,
        slurm=tuple(map(sbatch_option, settings.slurm)),
    )
    found: tuple[str, ...] = ()
    if settings.devices is not None or settings.jobs_per_device is not None:
        wanted = settings.devices or (devices.ALL,)
        devices.check_names(wanted)
        found = devices.chosen(wanted)
    jobs = settings.jobs or max(1, len(found) * (settings.jobs_per_device or 1))
    if jobs > MOST_JOBS:
        raise UserError(
            f"--jobs-per-device {settings.jobs_per_device} makes {jobs} workers; {MOST_JOBS} are"
            " the most that a command starts."
        )
    options = LaunchOptions(
        jobs=jobs,
        launcher=settings.launcher,
        arguments=arguments,
        devices=found[:jobs],
        cluster=cluster,
    )
    if found:
        devices.see_only(options.devices)
    return options
