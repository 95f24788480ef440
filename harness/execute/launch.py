"""Launchers: interface of the ways to run a command's workers, and the launchers by name.

A launcher is a module of ``launchers/`` that defines ``LAUNCHER``, named after its file ("-" for
"_"), or a plug-in's: a file with ``LAUNCHER``, or an entry point "launcher.NAME" of an installed
package.
A worker elsewhere is the command line ``python -m harness ARGUMENTS --worker``, which reads a
``WorkerConfig`` (one line of JSON) from its standard input; workers share the run store, where
claims keep a stage from being trained twice. A launcher only places workers: which stage each of
them trains, and what happens to the stage of one that dies, is settled by claims.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Protocol, Self, runtime_checkable

from msgspec import Meta

from harness import files, ranges
from harness.errors import UserError, listed
from harness.execute.cluster import OPTION_OF, ClusterOptions
from harness.sources import offers

HERE, LOCAL = "here", "local"
"""Default launchers: this process for one job, local processes for several."""

Part = Literal["all", "shipped", "own"]
"""Stages that a worker trains: all, those of this project's code alone, or those with a user's."""

LOST = 75
"""Exit code of a worker whose GPU failed: it has to be replaced by a new process (EX_TEMPFAIL)."""

RENEW = 76
"""Exit code of a worker in which a user's code has left something behind: another one goes on."""


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """Settings that a command passes to each worker in addition to the command line.

    Attributes:
        threads: number of threads that a worker computes with.
        failed: digests by key of the failed records that are trained again; records that fail
            later are not.
        lost: by study, the numbers of the trials that had failed before the command; trials that
            fail later count towards the number that is wanted.
        part: the stages that it trains.
        follow_input: stop the worker at the end of its standard input, which closes when the
            command's process ends; False where the input is a file.
    """

    threads: int
    failed: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, Sequence[int]] = field(default_factory=dict)
    part: Part = "all"
    follow_input: bool = True

    def to_line(self) -> bytes:
        """Return the settings as one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Return the settings that ``to_line`` wrote."""
        return files.decode(line, cls, "the configuration on standard input")


@dataclass(frozen=True, kw_only=True)
class WorkerEnd:
    """How a worker ended.

    Attributes:
        code: its exit code: 0, 1 if a stage failed, ``LOST`` if its GPU did, ``RENEW``, or minus
            the number of the signal that ended it.
        trained: number of stages that it trained; None if unknown.
        pid: its process id on this machine; None elsewhere.
    """

    code: int
    trained: int | None = None
    pid: int | None = None

    @property
    def died(self) -> bool:
        """Whether it ended before its work was finished."""
        return self.code not in (0, 1, LOST, RENEW)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A command's work, which any number of workers can share.

    Attributes:
        arguments: the command line's words after ``harness``, without the launcher's options.
        config: passed to every worker.
        count: number of workers, at least 1.
        here: runs the work in this process and returns how it ended.
        store: the run store, absolute; a launcher's own files are in its folder ``jobs``.
        ended: is told of a process of this machine as soon as it has ended.
        devices: value of ``CUDA_VISIBLE_DEVICES`` of each worker, in order; empty where workers
            see what this process sees, or what the launcher gives them.
        cluster: options of launchers for clusters.
    """

    arguments: Sequence[str]
    config: WorkerConfig
    count: int
    here: Callable[[], WorkerEnd]
    store: Path
    ended: Callable[[WorkerEnd], None] = lambda end: None
    devices: Sequence[str] = ()
    cluster: ClusterOptions = field(default_factory=ClusterOptions)


@runtime_checkable
class Launcher(Protocol):
    """Interface of a way to start workers."""

    @property
    def shares_machine(self) -> bool:
        """Whether the workers share this machine's memory and cores."""

    def run_workers(self, work: Work) -> Sequence[WorkerEnd]:
        """Start the workers, wait until all have ended, and return how each ended, in order.

        Raises:
            Stopped: the command was interrupted or terminated; the workers have ended.
        """


@runtime_checkable
class TakesOptions(Protocol):
    """What a launcher has, besides the interface above, that takes options of its own."""

    @property
    def takes(self) -> frozenset[str]:
        """Names of the options that it takes: fields of ``ClusterOptions``, and "devices"."""

    def check(self, options: LaunchOptions) -> None:
        """Check, before anything is planned, that the launcher can be used with its options.

        Raises:
            UserError: what it needs is not installed, or an option cannot be used.
        """

    def threads(self, options: LaunchOptions) -> int | None:
        """Return the threads that each worker computes with; None for the default."""


@runtime_checkable
class KnowsHosts(Protocol):
    """What a launcher has, besides the interface above, whose workers may all run on this host."""

    def several_hosts(self) -> bool:
        """Whether workers may run on other hosts than the command."""


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """Options of how a command starts its work.

    Attributes:
        jobs: largest number of workers.
        arguments: see ``Work``.
        launcher: name of the launcher; None for "here" with one job, "local" with several.
        devices: names of the CUDA devices over which the workers are spread, as
            ``CUDA_VISIBLE_DEVICES`` names them; empty where none are chosen.
        cluster: options of launchers for clusters.

    Raises:
        UserError: several jobs are requested of launcher "here", there is no such launcher, or it
            does not take an option.
    """

    jobs: Annotated[int, Meta(ge=1, le=1024)] = 1
    arguments: Sequence[str] = ()
    launcher: str | None = None
    devices: tuple[str, ...] = ()
    cluster: ClusterOptions = field(default_factory=ClusterOptions)

    def __post_init__(self) -> None:
        """Check that the launcher exists, takes the options and can run as many jobs."""
        ranges.check(self)
        launcher = find(self.name)
        takes = launcher.takes if isinstance(launcher, TakesOptions) else frozenset[str]()
        given = (*self.cluster.given, *(("devices",) if self.devices else ()))
        if left := [OPTION_OF[name] for name in given if name not in takes]:
            others = ", ".join(OPTION_OF[name] for name in OPTION_OF if name in takes)
            raise UserError(
                f"--launcher {self.name} does not take {listed(left)}; it takes {others or 'none'}"
                " of the options of devices and clusters (docs/cluster.md)."
            )
        if isinstance(launcher, TakesOptions):
            launcher.check(self)
        if self.name == HERE and self.jobs > 1:
            raise UserError(
                f"--launcher {HERE} runs in this process only; leave --jobs {self.jobs} out, or"
                f" give --launcher {LOCAL}."
            )

    @property
    def name(self) -> str:
        """Name of the launcher that is used."""
        return self.launcher or (HERE if self.jobs == 1 else LOCAL)

    @property
    def several_hosts(self) -> bool:
        """Whether workers may run on other hosts than the command."""
        launcher = find(self.name)
        if isinstance(launcher, KnowsHosts):
            return launcher.several_hosts()
        return not launcher.shares_machine


def launchers() -> dict[str, Launcher]:
    """Return all launchers by name: this package's, then those of plug-ins."""
    return {**built_in(), **plugged().values}


def plugged() -> offers.Loaded:
    """Return the launchers of plug-ins."""
    return offers.loaded("launcher", built_in(), (Launcher,))


@functools.cache
def built_in() -> dict[str, Launcher]:
    """Return the launchers of this package by name."""
    modules = [p.stem for p in sorted((Path(__file__).parent / "launchers").glob("[!_]*.py"))]
    return {
        name.replace("_", "-"): importlib.import_module(f"{__package__}.launchers.{name}").LAUNCHER
        for name in modules
    }


def shared_cores(jobs: int) -> int:
    """Return the threads of each of so many workers that share this machine's cores."""
    import torch  # slow

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min((cores or 1) // jobs, torch.get_num_threads()))


def find(name: str) -> Launcher:
    """Return a launcher by name.

    Raises:
        UserError: there is none of that name, or there are several.
    """
    if name in (HERE, LOCAL) and not offers.of("launcher"):
        return built_in()[name]
    known, plugins = launchers(), plugged()
    if name not in known or name in plugins.problems:
        raise plugins.missing("launcher", name, known)
    return known[name]
