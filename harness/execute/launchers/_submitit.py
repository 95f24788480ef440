"""Workers as jobs of submitit: a probe, the jobs, and how each of them ends."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.console import note
from harness.errors import UserError, shown
from harness.execute.launch import Work, WorkerEnd
from harness.execute.launchers._job import (
    SAME_PATH,
    Probe,
    Task,
    Token,
    WorkerJob,
    answer,
    token_in,
)
from harness.execute.launchers.local import PATIENCE
from harness.execute.queue import JobState
from harness.interrupt import Stopped
from harness.store import form, jobs
from harness.store.jobs import Submission

if TYPE_CHECKING:
    pass

INTERVAL = 0.5
"""Seconds between two looks for results."""

POLL = 5.0
"""Seconds between two questions about the queue."""

SETTLE = 15.0
"""Seconds that a result may take to appear on a shared folder after its job has ended."""

PROBE_MINUTES = 5
"""Time limit of the probe."""

Job = Any
"""A job of submitit."""


class Engine(Protocol):
    """What differs between the places where submitit runs jobs."""

    @property
    def name(self) -> str:
        """Name of the launcher."""

    @property
    def on_cluster(self) -> bool:
        """Whether jobs are queued, and may run on other machines."""

    def executor(self, work: Work, folder: Path, tasks: int, minutes: int | None) -> Any:
        """Return submitit's executor.

        Args:
            work: the work, with the cluster's options.
            folder: of logs and of submitit's own files.
            tasks: number of workers of each job.
            minutes: time limit of each job; None for the one of the options.
        """

    def queue(self, submitted: Sequence[Job]) -> Mapping[str, JobState] | None:
        """Return the jobs that have not ended; None where this is not known at the moment."""

    def refused(self, state: JobState, *, probe: bool) -> bool:
        """Whether a waiting job cannot be started as it was asked for."""

    def explain(self, message: str) -> str:
        """Return what to do about a submission that was refused, as the end of a sentence."""

    def cancel(self, submitted: Sequence[Job]) -> None:
        """Tell jobs to stop."""


@dataclass
class _Waiting:
    """A worker whose result is not there yet, and since when its job is not in the queue."""

    number: int
    job: Job
    task: Job
    missing: float | None = None

    def see(self, state: JobState | None) -> None:
        """Note whether the job is in the queue, and if not, since when."""
        self.missing = None if state is not None else self.missing or time.monotonic()


def run_workers(engine: Engine, work: Work) -> tuple[WorkerEnd, ...]:
    """Submit the workers, wait for all of them, and return how each ended; see ``Launcher``.

    Raises:
        UserError: the cluster refuses the jobs, or the run store is not visible where they run.
        Stopped: the command was interrupted or terminated; the jobs are cancelled.
    """
    form.mark(work.store)
    with token_in(work.store) as token:
        if engine.on_cluster:
            _probe(engine, work, token)
        return _run(engine, work, token)


def _run(engine: Engine, work: Work, token: Token) -> tuple[WorkerEnd, ...]:
    """Submit the workers and wait for them."""
    nodes = min(work.cluster.nodes or work.count, work.count)
    tasks = work.count // nodes
    outer = os.environ.get("CUDA_VISIBLE_DEVICES")
    task = Task(
        arguments=tuple(work.arguments),
        config=work.config,
        token=token,
        on_cluster=engine.on_cluster,
        device=outer,
    )
    if engine.on_cluster:
        task = replace(task, device=None)  # the cluster says which
    own = [replace(task, device=device) for device in work.devices] or [task] * nodes
    executor = engine.executor(work, token.path.parent, tasks, None)
    submitted = _submit(engine, executor, [WorkerJob(one) for one in own])
    waiting = [
        _Waiting(number, job, job.task(rank))
        for number, (job, rank) in enumerate(((j, r) for j in submitted for r in range(tasks)), 1)
    ]
    name, log = submitted[0].job_id.partition("_")[0], submitted[0].paths.stdout
    note(
        f"{len(waiting)} workers are submitted as {len(submitted)} jobs ({name}); their logs are in"
        f" {log.parent}, `harness status` shows the queue, and Ctrl-C cancels them."
    )
    return _wait(engine, work, submitted, waiting)


def _submit(engine: Engine, executor: Any, calls: Sequence[Callable[[], Any]]) -> list[Job]:
    """Submit calls as jobs.

    Raises:
        UserError: the cluster refuses them.
    """
    import submitit

    try:
        with contextlib.redirect_stderr(io.StringIO()):  # it prints what the exception says, too
            found: list[Job] = executor.submit_array(calls)
            return found
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = "; ".join(lines) or type(error).__name__
        raise UserError(
            f"The jobs are refused: {shown(reason)}{engine.explain(reason)}."
        ) from error


def _probe(engine: Engine, work: Work, token: Token) -> None:
    """Run a job that reads the token and writes an answer beside it.

    Raises:
        UserError: it cannot, or the cluster refuses it.
    """
    limit = min(PROBE_MINUTES, work.cluster.minutes or PROBE_MINUTES)
    executor = engine.executor(replace(work, count=1), token.path.parent, 1, limit)
    (job,) = _submit(engine, executor, [Probe(token=token)])
    note(f"job {job.job_id} looks whether {work.store} is visible where the workers will run")
    results: list[object] = []
    one = _Waiting(0, job, job)
    _until(engine, [job], [one], lambda _, result: results.append(result), probe=True)
    log = job.paths.stdout
    if answer(token.path).is_file():
        return
    what = "ended without an answer" if results == [None] else f"failed: {results[0]}"
    there = f"its log is {log}" if log.is_file() else "it could not even write its log"
    raise UserError(
        f"The run store {work.store} cannot be used by jobs: the probe, job {job.job_id}, {what}"
        f" ({there}). {SAME_PATH}"
    )


def _wait(
    engine: Engine, work: Work, submitted: Sequence[Job], waiting: list[_Waiting]
) -> tuple[WorkerEnd, ...]:
    """Wait until all workers have ended, and return how each did, in order."""
    ends: dict[int, WorkerEnd] = {}

    def ended(one: _Waiting, result: object) -> None:
        end = _end(engine, one, result)
        ends[one.number] = end
        if end.died:
            left = f"; {len(waiting) - len(ends)} still running" if len(waiting) > len(ends) else ""
            why = "without a result" if result is None else f"with {end.code}"
            name = f"worker {one.number} (job {one.job.job_id})"
            note(f"{name} ended {why}{left}; its log is {one.task.paths.stdout}")
        work.ended(end)

    kept = _keep(engine, work.store, submitted) if engine.on_cluster else None
    try:
        _until(engine, submitted, list(waiting), ended, probe=False)
    finally:
        if kept is not None:
            kept.unlink(missing_ok=True)
    return tuple(ends[one.number] for one in waiting)


def _end(engine: Engine, one: _Waiting, result: object) -> WorkerEnd:
    if isinstance(result, tuple):
        code, pid = result
        return WorkerEnd(code=code, pid=None if engine.on_cluster else pid)
    if isinstance(result, str):
        note(f"worker {one.number} (job {one.job.job_id}): {result}")
    return WorkerEnd(code=-signal.SIGKILL)


def _keep(engine: Engine, store: Path, submitted: Sequence[Job]) -> Path:
    """Write down which jobs were submitted, for ``harness status``."""
    return jobs.keep(
        store,
        Submission(
            launcher=engine.name,
            jobs=[job.job_id for job in submitted],
            host=socket.gethostname(),
            pid=os.getpid(),
            submitted=time.time(),
        ),
    )


def _until(
    engine: Engine,
    submitted: Sequence[Job],
    waiting: list[_Waiting],
    ended: Callable[[_Waiting, object], None],
    *,
    probe: bool,
) -> None:
    """Wait for all workers; whatever ends the wait before cancels the jobs.

    Args:
        engine: where they run.
        submitted: all jobs.
        waiting: the workers; emptied.
        ended: is told of each that has ended, with its result: what it returned, a line where it
            has failed, or None where its job has left no result.
        probe: whether these are no workers, but the probe.
    """
    asked, told = float("-inf"), ""
    try:
        while waiting:
            for one in list(waiting):
                if one.task.paths.result_pickle.exists():
                    waiting.remove(one)
                    ended(one, _result(one.task))
            if waiting and time.monotonic() - asked >= POLL:
                queue = engine.queue([one.job for one in waiting])
                asked = time.monotonic()
                if queue is not None:
                    told = _look(engine, queue, waiting, told, probe=probe)
                    for one in _gone(waiting):
                        waiting.remove(one)
                        ended(one, None)
            if waiting:
                time.sleep(INTERVAL)
    except BaseException:
        _stop(engine, submitted)
        raise


def _look(
    engine: Engine,
    queue: Mapping[str, JobState],
    waiting: Sequence[_Waiting],
    told: str,
    *,
    probe: bool,
) -> str:
    """Note which jobs have left the queue, and print the states of the others where they changed.

    Returns:
        What was printed.

    Raises:
        UserError: a job waits for what will not come.
    """
    for one in waiting:
        state = queue.get(one.job.job_id)
        if state is not None and engine.refused(state, probe=probe):
            raise UserError(
                f"Job {one.job.job_id} would never start: Slurm says {state.reason}"
                f"{engine.explain(state.reason)}. The jobs are cancelled."
            )
        one.see(state)
    names = {one.job.job_id for one in waiting}
    states = Counter(
        state.state if state.reason == "None" or state.nodes else f"{state.state} ({state.reason})"
        for name, state in queue.items()
        if name in names
    )
    line = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    if line and line != told and engine.on_cluster:
        note(f"{'probe' if probe else 'workers'}: {line}")
    return line or told


def _gone(waiting: Sequence[_Waiting]) -> list[_Waiting]:
    """Return the workers whose jobs have left the queue for so long that no result will come."""
    now = time.monotonic()
    return [one for one in waiting if one.missing is not None and now - one.missing > SETTLE]


def _result(task: Job) -> object:
    """Return what a worker's job returned, or the last line of its failure."""
    error = task.exception()
    if error is None:
        return task.result()
    lines = [line for line in str(error).splitlines() if line.strip() and "---" not in line]
    problems = [line for line in lines if "Error" in line] or lines
    return shown(problems[-1])


def _stop(engine: Engine, submitted: Sequence[Job]) -> None:
    """Cancel all jobs, and wait a while until they have ended and given their claims back."""
    engine.cancel(submitted)
    limit = time.monotonic() + PATIENCE
    with contextlib.suppress(Stopped):  # a second signal does not wait
        while time.monotonic() < limit:
            queue = engine.queue(submitted)
            if queue is not None and not {job.job_id for job in submitted} & set(queue):
                return
            time.sleep(INTERVAL)
