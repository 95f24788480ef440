"""Options of launchers that place workers on other machines: nodes, partition, time, GPUs."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Annotated

from msgspec import Meta

from harness import ranges
from harness.errors import UserError
from harness.ranges import said

Some = Annotated[int, Meta(ge=1, le=1024)]
"""A number of nodes or of GPUs."""

LONGEST = 1000
"""Characters of a value that is passed to a cluster."""


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """What a command asks of a cluster; a launcher says which of these it takes.

    Attributes:
        nodes: number of jobs of one node each, to which the workers are shared out; None for a job
            of its own for each worker.
        partition: queue of the cluster; None for its default.
        minutes: time limit of a job; None for the launcher's default.
        gpus: number of GPUs of each worker; None for none, or for what the launcher finds.
        slurm: further options of ``sbatch`` with their values, True for those without one.
    """

    nodes: Some | None = None
    partition: str | None = None
    minutes: Annotated[int, Meta(ge=1, le=10**6)] | None = None
    gpus: Some | None = None
    slurm: tuple[tuple[str, str | bool], ...] = ()

    def __post_init__(self) -> None:
        """Check the numbers."""
        ranges.check(self)

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the options that differ from their defaults."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) != f.default)


def sbatch_option(text: str) -> tuple[str, str | bool]:
    """Return the name of an option of sbatch and its value, True where it has none.

    Args:
        text: KEY=VALUE, or KEY alone.

    Raises:
        UserError: it is no such text.
    """
    key, sign, value = text.partition("=")
    name = key.strip().removeprefix("--").replace("-", "_")
    if re.fullmatch("[a-z][a-z0-9_]{0,40}", name) is None:
        raise UserError(f"{said(text)} is no option of sbatch; give KEY=VALUE, as in account=lab.")
    return (name, plain(value)) if sign else (name, True)


def plain(text: str) -> str:
    """Return a word that may be written into a job's script.

    Raises:
        UserError: it is none.
    """
    if not text.strip() or len(text) > LONGEST or not text.isprintable():
        raise UserError(f"{said(text)} is no name.")
    return text


OPTION_OF = {
    "nodes": "--nodes",
    "partition": "--partition",
    "minutes": "--time",
    "gpus": "--gpus",
    "slurm": "--slurm",
    "devices": "--devices",
}
"""The command line's word for each option that a launcher may take."""


def minutes_of(text: str) -> int:
    """Return the minutes of a time limit as Slurm writes it, rounded up.

    Forms are minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes and
    days-hours:minutes:seconds.

    Raises:
        UserError: it is no such time, or none at all.
    """
    days, dash, rest = text.rpartition("-")
    parts = [*(days.split("-") if dash else []), *rest.split(":")]
    seconds = 0
    if all(re.fullmatch("[0-9]{1,7}", part) for part in parts) and len(rest.split(":")) <= 3:
        numbers = [int(part) for part in rest.split(":")]
        if dash:
            hours, minutes, left = [*numbers, 0, 0][:3]
            seconds = ((24 * int(days) + hours) * 60 + minutes) * 60 + left if days.isdigit() else 0
        elif len(numbers) == 3:
            seconds = (60 * numbers[0] + numbers[1]) * 60 + numbers[2]
        else:
            seconds = 60 * numbers[0] + sum(numbers[1:])
    if not 0 < seconds <= 60 * 10**6:
        raise UserError(
            f"{said(text)} is no time limit; give minutes, as in 90, or days-hours:minutes:seconds,"
            " as in 1:30:00 or 1-12:00:00."
        )
    return -(-seconds // 60)
