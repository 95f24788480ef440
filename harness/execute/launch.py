"""Launchers start all work: they run a command's workers and report how each of them ended.

A launcher is a module of ``launchers/`` that defines ``LAUNCHER``, named after its file, or an
entry point "launcher.NAME" of an installed package. A worker elsewhere is the command line
``python -m harness ARGUMENTS --worker``, which reads a ``WorkerConfig`` (one line of JSON) from
its standard input; workers share the run store, where claims keep a stage from being trained twice.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, Self

from harness.errors import UserError, unknown
from harness.sources import plugins

HERE, LOCAL = "here", "local"
"""The launchers that ``--jobs`` chooses between: this process for one job, else processes."""


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """What a command tells each of its workers beside the words of the command line.

    Attributes:
        threads: that a worker computes with.
        failed: digests of failed records by key: they are tried again, later failures are not.
        lost: numbers of the trials that had failed, by study; later failures take a trial's place.
        follow_input: the end of a worker's standard input means that the command has gone, and
            stops the worker; False where the input is a file.
    """

    threads: int
    failed: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, Sequence[int]] = field(default_factory=dict)
    follow_input: bool = True

    def to_line(self) -> bytes:
        """Return one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read what ``to_line`` wrote."""
        return cls(**json.loads(line))


@dataclass(frozen=True, kw_only=True)
class WorkerEnd:
    """How a worker ended.

    Attributes:
        code: its exit code: 0, or 1 where something failed to train; negative is a signal's number.
        trained: how many stages it trained, where that is known.
    """

    code: int
    trained: int | None = None

    @property
    def died(self) -> bool:
        """Whether it ended before its work did."""
        return self.code not in (0, 1)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A command's work, which any number of workers may share.

    Attributes:
        arguments: the command line's words after ``harness``, without the launcher's options.
        config: goes to every worker.
        count: of workers, at least 1.
        here: does the work in this process.
    """

    arguments: Sequence[str]
    config: WorkerConfig
    count: int
    here: Callable[[], WorkerEnd]


class Launcher(Protocol):
    """A way to start workers."""

    @property
    def shares_machine(self) -> bool:
        """Whether the workers share this machine's memory and cores."""

    def run_workers(self, work: Work) -> Sequence[WorkerEnd]:
        """Start the workers, wait until all have ended, and return how, in their order.

        Raises:
            Stopped: the command was asked to stop; the workers have been stopped, too.
        """


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """How a command starts its work.

    Attributes:
        jobs: workers at most.
        arguments: see ``Work``.
        launcher: a name; None for this process where it is one job, else for local processes.

    Raises:
        UserError: one process cannot do several jobs at once, or there is no such launcher.
    """

    jobs: int = 1
    arguments: Sequence[str] = ()
    launcher: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be started."""
        find(self.name)
        if self.name == HERE and self.jobs > 1:
            raise UserError(
                f"--launcher {HERE} is this process alone; leave --jobs {self.jobs} out, or give"
                f" --launcher {LOCAL}."
            )

    @property
    def name(self) -> str:
        """The launcher's name."""
        return self.launcher or (HERE if self.jobs == 1 else LOCAL)


@functools.cache
def launchers() -> dict[str, Launcher]:
    """Return all launchers by name."""
    names = [p.stem for p in sorted((Path(__file__).parent / "launchers").glob("[!_]*.py"))]
    known: dict[str, Launcher] = {
        name: importlib.import_module(f"{__package__}.launchers.{name}").LAUNCHER for name in names
    }
    known |= {n: plugins.load(entry) for n, entry in plugins.entries("launcher").items()}
    return known


def find(name: str) -> Launcher:
    """Return a launcher by name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in launchers():
        raise unknown("launcher", name, launchers())
    return launchers()[name]
