"""Launcher "ray": the workers are tasks of a Ray cluster, one for each.

``RAY_ADDRESS`` names an existing cluster; without it Ray is started on this machine for as long as
the command runs. Ray only places the workers: a task that is lost is not repeated, because its
stage goes on in another worker, by claims.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
from harness import packages
from harness.console import note
from harness.errors import UserError, shown
from harness.execute import devices, launch
from harness.execute.launch import Launcher, LaunchOptions, Work, WorkerEnd
from harness.execute.launchers._job import (
    SAME_PATH,
    LoggedWorker,
    Probe,
    Task,
    Token,
    answer,
    call,
    token_in,
)
from harness.execute.launchers.local import INTERVAL, PATIENCE
from harness.interrupt import Stopped, held
from harness.store import form
from harness.wording import counted

ADDRESS = "RAY_ADDRESS"
"""Variable that names a cluster, as Ray reads it."""

ANSWER = 10.0
"""Seconds within which a cluster accepts a connection."""

PROBE = 120.0
"""Seconds within which every node answers the probe."""

SETTLE = 30.0
"""Seconds after which a worker that has not started is said to wait."""

OBJECTS = 100 * 2**20
"""Bytes of Ray's object store on this machine: only exit codes are in it."""

PASSED = ("HARNESS_", "MLFLOW_")
"""Beginnings of the names of variables that workers on other machines get from the command."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """What one worker needs: CPUs, one for each thread, and GPUs."""

    cpus: int
    gpus: int

    def fitting(self, node: Mapping[str, Any]) -> int:
        """Return how many workers a node has room for, by its description as Ray gives it."""
        has = node["Resources"]
        by_cpus = int(has.get("CPU", 0) // self.cpus)
        return min(by_cpus, int(has.get("GPU", 0) // self.gpus)) if self.gpus else by_cpus

    def __str__(self) -> str:
        """Return the size in words."""
        cpus = counted(self.cpus, "CPU")
        return f"{cpus} and {counted(self.gpus, 'GPU')}" if self.gpus else cpus


@dataclass(frozen=True)
class RayTasks:
    """Launcher that runs each worker as a task of a Ray cluster, or of Ray on this machine."""

    takes: frozenset[str] = frozenset({"gpus"})

    @property
    def shares_machine(self) -> bool:
        """Whether the workers share this machine's memory; those with a GPU each have its own."""
        return address() is None and devices.count() == 0

    def check(self, options: LaunchOptions) -> None:
        """Check that Ray is installed; see ``TakesOptions``."""
        packages.require("ray")

    def threads(self, options: LaunchOptions) -> int | None:
        """Return a worker's share of this machine's cores, None on a cluster."""
        return launch.shared_cores(options.jobs) if address() is None else None

    def run_workers(self, work: Work) -> tuple[WorkerEnd, ...]:
        """Start the workers as tasks and wait for them; see ``Launcher``.

        Raises:
            UserError: there is no such cluster, it is too small, or the run store is not visible
                on one of its nodes.
            Stopped: the command was interrupted or terminated; the workers have ended.
        """
        form.mark(work.store)
        with _connected(work) as ray:
            nodes, size = _room(ray, work)
            if address() is not None:
                _probe(ray, work, nodes)
            with token_in(work.store) as token:
                return _wait(ray, work, _submit(ray, work, size, token))


def address() -> str | None:
    """Return the address of the cluster that the environment names; None for this machine."""
    given = os.environ.get(ADDRESS, "").strip()
    return None if given in ("", "local") else given


@contextmanager
def _connected(work: Work) -> Iterator[Any]:
    """Connect to the cluster, or start Ray on this machine, and yield Ray's module.

    Raises:
        UserError: that is not possible.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would send figures of its use
    where = address()
    if where is not None:
        _reach(where)
    # Ray installs a handler of SIGTERM, and its calls lose the exception of ours.
    with held():
        import ray

        if ray.is_initialized():
            raise UserError("This process is connected to Ray already; call ray.shutdown() before.")
        own: dict[str, Any] = {
            "num_cpus": work.count * work.config.threads,
            "object_store_memory": OBJECTS,
            "include_dashboard": False,
        }
        try:
            ray.init(
                address=where or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": _environment()},
                **(own if where is None else {}),
            )
        except (OSError, RuntimeError, ValueError) as error:
            what = "Ray cannot be started here" if where is None else _no_cluster(where)
            raise UserError(f"{what}: {_reason(error)}.") from error
    try:
        yield ray
    finally:
        with held():
            ray.shutdown()


def _reach(where: str) -> None:
    """Check that something answers at an address: Ray's own attempt lasts minutes.

    Raises:
        UserError: nothing does.
    """
    found = re.fullmatch(r"(?:ray://)?\[?([^/\[\]]+)\]?:([0-9]{1,5})", where)
    if found is None:
        return
    try:
        socket.create_connection((found[1], int(found[2])), timeout=ANSWER).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"{_no_cluster(where)}: {_reason(error)}.") from error


def _no_cluster(where: str) -> str:
    return (
        f"No Ray cluster can be used at {ADDRESS}={shown(where)}; start one there (ray start"
        " --head), or unset the variable to start Ray on this machine"
    )


def _reason(error: BaseException) -> str:
    """Return the last line of an exception, in which Ray names the error of a task."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shown(lines[-1].rstrip(".") if lines else type(error).__name__)


def _environment() -> dict[str, str]:
    """Return the variables of workers: where this package is, and what it is told by variables."""
    root = str(Path(harness.__file__).resolve().parent.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {name: value for name, value in os.environ.items() if name.startswith(PASSED)}
    return {**own, "PYTHONPATH": path}


def _room(ray: Any, work: Work) -> tuple[list[Mapping[str, Any]], Size]:
    """Return the nodes that workers fit on, and the size of a worker.

    Each has one GPU where the cluster has GPUs and no number is given.

    Raises:
        UserError: the nodes together have room for fewer workers.
    """
    with held():
        alive = [node for node in ray.nodes() if node["Alive"]]
    all_cpus = int(sum(node["Resources"].get("CPU", 0) for node in alive))
    all_gpus = int(sum(node["Resources"].get("GPU", 0) for node in alive))
    gpus = work.cluster.gpus if work.cluster.gpus is not None else min(all_gpus, 1)
    size = Size(cpus=work.config.threads, gpus=gpus)
    room = sum(size.fitting(node) for node in alive)
    if room < work.count:
        smaller = "fewer threads (OMP_NUM_THREADS)" + (" or --gpus" if gpus > 1 else "")
        raise UserError(
            f"The Ray cluster has room for {room} of {counted(work.count, 'worker')} with {size}"
            f" each: it has {counted(all_cpus, 'CPU')} and {counted(all_gpus, 'GPU')} on"
            f" {counted(len(alive), 'node')}; give"
            f" {f'--jobs {room}' if room else smaller}, or add nodes."
        )
    return [node for node in alive if size.fitting(node)], size


def _probe(ray: Any, work: Work, nodes: Sequence[Mapping[str, Any]]) -> None:
    """Have every node read a token from the run store and write an answer beside it.

    Raises:
        UserError: one cannot.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    note(f"{counted(len(nodes), 'node')} of Ray: is {work.store} visible there?")
    with ExitStack() as stack:
        asked = []
        for node in nodes:
            token = stack.enter_context(token_in(work.store))
            place = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
            with held():
                remote = ray.remote(call).options(
                    num_cpus=0, max_retries=0, scheduling_strategy=place, name="harness probe"
                )
                asked.append(
                    (node["NodeManagerHostname"], token, remote.remote(Probe(token=token)))
                )
        ready = _ready(ray, [ref for *_, ref in asked], PROBE)
        for host, token, ref in asked:
            failed = f"it has not answered for {PROBE:.0f} s"
            if ref in ready:
                result = _result(ray, ref)
                failed = f"it failed: {result}" if isinstance(result, Exception) else ""
                if not failed and not answer(token.path).is_file():
                    failed = "its answer is not seen here"
            if failed:
                raise UserError(
                    f"The run store {work.store} cannot be used by node {host} of the Ray cluster,"
                    f" where a probe has looked for it: {failed}. {SAME_PATH}"
                )


def _ready(ray: Any, refs: Sequence[Any], seconds: float) -> list[Any]:
    """Return the tasks that have ended, after all have, or some time."""
    limit = time.monotonic() + seconds
    while True:
        with held():
            ready: list[Any] = ray.wait(list(refs), num_returns=len(refs), timeout=0)[0]
        if len(ready) == len(refs) or time.monotonic() > limit:
            return ready
        time.sleep(INTERVAL)


class _Failed(Exception):
    """A task has no result; the message is the reason."""


def _result(ray: Any, ref: Any) -> object:
    """Return what a task has returned, or, as an exception, why it has not."""
    with held():
        try:
            return ray.get(ref)
        except Exception as error:  # noqa: BLE001 (the task's own, or one of Ray's)
            return _Failed(_reason(error))


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """A worker that was handed to Ray."""

    number: int
    ref: Any
    log: Path


def _submit(ray: Any, work: Work, size: Size, token: Token) -> list[_Placed]:
    """Hand the workers to Ray."""
    task = Task(
        arguments=tuple(work.arguments),
        config=work.config,
        token=token,
        on_cluster=True,
        device=None if size.gpus else "",  # Ray says which GPUs a task has
    )
    placed = []
    for number in range(1, work.count + 1):
        log = token.path.with_name(f"ray-{token.path.stem[:8]}-{number}_log.out")
        with held():
            remote = ray.remote(call).options(
                num_cpus=size.cpus,
                num_gpus=size.gpus,
                max_retries=0,
                scheduling_strategy="SPREAD",
                name=f"harness worker {number}",
            )
            ref = remote.remote(LoggedWorker(task=task, log=log))
        placed.append(_Placed(number=number, ref=ref, log=log))
    where = address()
    cluster = "Ray on this machine" if where is None else f"the Ray cluster {shown(where)}"
    note(
        f"{counted(len(placed), 'worker')} with {size} each run as tasks of {cluster}; their logs"
        f" are {placed[0].log.with_name(f'ray-{token.path.stem[:8]}-*')}, and Ctrl-C ends them."
    )
    return placed


def _wait(ray: Any, work: Work, placed: Sequence[_Placed]) -> tuple[WorkerEnd, ...]:
    """Wait until all workers have ended, and return how each did; what ends the wait ends them."""
    ends: dict[int, WorkerEnd] = {}
    late: float | None = time.monotonic() + SETTLE
    try:
        while running := [one for one in placed if one.number not in ends]:
            ready = _ready(ray, [one.ref for one in running], 0)
            for one in running:
                if one.ref in ready:
                    left = len(placed) - len(ends) - 1
                    ends[one.number] = _ended(one, _result(ray, one.ref), left)
                    work.ended(ends[one.number])
            if late is not None and time.monotonic() > late:
                late = None
                if waiting := [one for one in running if not one.log.exists()]:
                    note(f"{counted(len(waiting), 'worker')} still waiting for CPUs or GPUs in use")
            time.sleep(INTERVAL)
    except BaseException:
        _stop(ray, [one.ref for one in placed if one.number not in ends])
        raise
    return tuple(ends[one.number] for one in placed)


def _ended(one: _Placed, result: object, left: int) -> WorkerEnd:
    """Return how a worker ended, and say it where it died."""
    if isinstance(result, tuple):
        code, pid = result
        end = WorkerEnd(code=code, pid=pid if address() is None else None)
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with {code}"
    else:
        end = WorkerEnd(code=-signal.SIGKILL)
        how = f"without a result ({result})"
    if end.died:
        others = f"; {left} still running" if left else ""
        note(f"worker {one.number} (Ray) ended {how}{others}; its log is {one.log}")
    return end


def _stop(ray: Any, refs: Sequence[Any]) -> None:
    """Tell workers to stop, and wait a while until they have given their claims back."""
    with contextlib.suppress(Stopped):  # a second signal does not wait
        for ref in refs:
            with held():
                ray.cancel(ref)
        _ready(ray, refs, PATIENCE + 1)


LAUNCHER: Launcher = RayTasks()
