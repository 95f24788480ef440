"""Stages in MLflow while they train: begun, given each epoch's figures, and ended, by a thread.

The training only appends to a list; a thread of its own imports mlflow, asks the server and writes
at most every ``EVERY`` seconds. Where it fails, it tries again after ``PAUSE`` seconds with all
that is not written; what it never writes is written from the records at the end of the command.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from harness import provenance
from harness.errors import UserError
from harness.interrupt import GRACE
from harness.plan.plan import StageRun
from harness.report import (
    tracking,
    tracking_names,
    tracking_owner,
    tracking_plan,
    tracking_runs,
    tracking_server,
)
from harness.report.tracking_job import Job, search
from harness.report.tracking_ledger import Mirror
from harness.report.tracking_plan import Source
from harness.store import claim
from harness.store.record import Record, Records

if TYPE_CHECKING:
    from mlflow import MlflowClient

EVERY = 2.0
"""Seconds between two writes."""

PAUSE = 15.0
"""Seconds until another attempt after a failure."""

WAIT = 30.0
"""Seconds that the thread waits for another process that writes to MLflow."""

LAST = 30.0
"""Seconds that the end of a command waits for the thread."""

SYSTEM = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
"""MLflow's own variable: load of processors, memory, disk and GPU are logged, too."""

Value = tuple[int, int, Mapping[str, float]]
"""Milliseconds since 1970, epoch and figures."""


@dataclass(kw_only=True)
class _Open:
    """A stage that this process trains.

    Attributes:
        step: the stage.
        begun: when, in seconds since 1970.
        values: figures that are not written yet.
        run_id: of its MLflow run, once there is one.
        known: epochs that the run has from an earlier process.
        ended: whether the training is over.
        record: what it has left; None where it was interrupted.
        monitor: logs the load of the machine; None unless it was asked for.
    """

    step: StageRun
    begun: float = field(default_factory=time.time)
    values: list[Value] = field(default_factory=list)
    run_id: str = ""
    known: frozenset[int] = frozenset()
    ended: bool = False
    record: Record | None = None
    monitor: Any = None

    def opened(self, run_id: str, known: frozenset[int]) -> None:
        """Keep the MLflow run and the epochs that it has."""
        self.run_id, self.known = run_id, known

    def lost(self) -> None:
        """Look for the MLflow run again."""
        self.run_id = ""

    def finish(self, record: Record | None) -> None:
        """Keep that the training is over."""
        self.ended, self.record = True, record

    def watch_machine(self, uri: str) -> None:
        """Log the load of the machine where the user has asked MLflow for it."""
        if self.monitor is not None or os.environ.get(SYSTEM, "").lower() not in ("true", "1"):
            return
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self.monitor = SystemMetricsMonitor(self.run_id, resume_logging=True, tracking_uri=uri)
        self.monitor.start()

    def leave_machine(self) -> None:
        """Stop logging the load of the machine."""
        if self.monitor is not None:
            self.monitor.finish()
            self.monitor = None


class Live:
    """A watch (see ``harness.execute.watch``) that shows stages in MLflow while they train."""

    def __init__(self, source: Source) -> None:
        """Start nothing: the thread begins with the first stage.

        Args:
            source: the plan whose stages are trained.
        """
        self._source = source
        self._folder = source.plan.options.runs
        self._owner = tracking_owner.new()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._stages: list[_Open] = []
        self._thread: threading.Thread | None = None
        self._client: MlflowClient | None = None
        self._above: set[str] = set()
        self._interrupted = False
        self._retry_at = 0.0
        self._said = False

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write what is left, within limits; after a signal, within ``GRACE`` seconds."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(LAST if error is None else GRACE)

    def begin(self, step: StageRun) -> None:
        """Show a stage as RUNNING."""
        with self._lock:
            self._stages.append(_Open(step=step))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True, name="mlflow")
            self._thread.start()
        self._wake.set()

    def epoch(self, step: StageRun, epoch: int, figures: Mapping[str, float]) -> None:
        """Log the figures of a finished epoch (0-based)."""
        value = (int(1000 * time.time()), epoch, dict(figures))
        with self._lock:
            for stage in self._of(step):
                stage.values.append(value)

    def end(self, step: StageRun, record: Record | None) -> None:
        """Complete the run of a stage and end it; it is KILLED where it was interrupted."""
        with self._lock:
            for stage in self._of(step):
                stage.finish(record)
        self._wake.set()

    def _of(self, step: StageRun) -> Iterator[_Open]:
        return (s for s in self._stages if s.step.key == step.key and not s.ended)

    def _work(self) -> None:
        """Write until the command is over; the thread's own function, which raises nothing."""
        try:
            with claim.claim(self._folder, self._owner):
                closing = False
                while not closing:
                    self._wake.wait(EVERY)
                    self._wake.clear()
                    closing = self._closing
                    if time.monotonic() >= self._retry_at:
                        self._attempt()
                self._end_interrupted()
        except Exception as error:  # noqa: BLE001  # the training goes on, whatever it is
            self._say(error)

    def _attempt(self) -> None:
        """Write what all stages lack; after a failure, look for their runs again, and later."""
        with self._lock:
            stages = list(self._stages)
        try:
            for stage in stages:
                self._write(stage)
            self._retry_at = 0.0
        except Exception as error:  # noqa: BLE001  # whatever MLflow and its drivers raise
            self._retry_at = time.monotonic() + PAUSE
            for stage in stages:
                stage.lost()
            self._say(error)

    def _end_interrupted(self) -> None:
        """End the runs of rows and of the table that an interrupted command leaves open."""
        if self._client is not None and self._interrupted and not self._retry_at:
            for run_id in sorted(self._above):
                self._kill(self._client, run_id)

    def _say(self, error: Exception) -> None:
        """Say once why stages are not shown."""
        if not self._said:
            self._said = True
            tracking_server.announce(f"stages are not shown live: {self._reason(error)}")

    def _reason(self, error: Exception) -> str:
        if isinstance(error, UserError):
            return str(error)
        return str(tracking_server.unusable(self._folder, error))

    def _write(self, stage: _Open) -> None:
        """Write what a stage's run lacks."""
        if not stage.run_id:
            self._open(stage)
        client = self._client
        assert client is not None
        with self._lock:
            values, ended = list(stage.values), stage.ended
        self._log(client, stage, values)
        with self._lock:
            del stage.values[: len(values)]
        if not ended:
            return
        stage.leave_machine()
        if stage.record is None:
            self._kill(client, stage.run_id)
            self._interrupted = True
        else:
            self._complete(stage, stage.record)
        with self._lock:
            self._stages.remove(stage)

    def _log(self, client: MlflowClient, stage: _Open, values: list[Value]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(tracking_names.key(name), value, at, epoch)
            for at, epoch, figures in values
            if epoch not in stage.known
            for name, value in figures.items()
            if name != "epoch"
        ]
        tracking_runs.log_metrics(client, stage.run_id, metrics)

    def _complete(self, stage: _Open, record: Record) -> None:
        """End a stage's run with its record, and the runs of rows that are complete with it."""
        plan = self._source.plan
        records = Records(self._folder)
        made = [tracking_plan.stage(self._source, stage.step, record)]
        made += [
            tracking_plan.row(self._source, cell, record, records)
            for cell in tracking_plan.cells(plan)
            if cell.run.key() == stage.step.key
        ]
        job = self._job(made[1:] + made[:1])
        mirrored = tracking.carry_out(job, WAIT)
        if mirrored.busy:
            raise TimeoutError("another process has been writing to MLflow all the time")

    def _job(self, runs: list[Mirror]) -> Job:
        plan = self._source.plan
        profile = plan.options.profile.name
        return Job(plan.name, profile, "table", self._folder, runs, (), self._owner)

    def _open(self, stage: _Open) -> None:
        """Find or make the runs of a stage, of its row and of the table, and let them be RUNNING.

        The first call takes seconds: mlflow is imported and its database may be made.
        """
        tracking_server.prepare(self._folder)
        with tracking.writer(self._folder, WAIT) as ours:
            if not ours:
                raise TimeoutError("another process has been writing to MLflow all the time")
            of_row, of_stage = self._begun(stage)
            job = self._job([of_row, of_stage])
            client, experiment = job.connect()
            self._client = client
            table = job.table_run(client, experiment)
            record = Records(self._folder).read(of_row.key)
            done = record is not None and record.status == "done"
            row = self._continued(client, experiment, of_row, table, done=done)
            run_id = self._continued(client, experiment, of_stage, row)
            client.set_tag(row, f"harness.stage.{of_stage.name}", run_id)
            self._above |= {row, table}
        had = tracking_runs.logged(client, client.get_run(run_id))
        stage.opened(run_id, frozenset(epoch for _, epoch, _ in had))
        stage.watch_machine(tracking_server.uri_of(self._folder))

    def _begun(self, stage: _Open) -> tuple[Mirror, Mirror]:
        """Return the runs of a stage's row, the first that needs it, and of the stage."""
        commit, dirty = provenance.commit()
        commit = f"{commit}+changes" if dirty else commit
        key = stage.step.key
        cell = next(
            c
            for c in tracking_plan.cells(self._source.plan)
            if key in {s.key for s in tracking_plan.steps(c)}
        )
        of_row = tracking_plan.row(self._source, cell, None)
        of_stage = tracking_plan.stage(self._source, stage.step, None)
        return (
            replace(of_row, commit=commit, begun=stage.begun),
            replace(of_stage, commit=commit, begun=stage.begun),
        )

    def _continued(
        self,
        client: MlflowClient,
        experiment: str,
        run: Mirror,
        parent: str,
        *,
        done: bool = False,
    ) -> str:
        """Return the id of a run, RUNNING and ours: one that was interrupted, else a new one.

        Args:
            client: the client.
            experiment: id of the experiment.
            run: the run.
            parent: id of the run that it is nested in.
            done: take also one that is finished, as it is.
        """
        for other in search(client, experiment, f"tags.`harness.key` = '{run.key}'"):
            if other.data.tags.get("harness.name") != run.identity[0]:
                continue
            run_id = str(other.info.run_id)
            if other.info.status == "FINISHED" and done:
                return run_id
            if other.info.status != "FINISHED" and tracking_runs.agrees(other, run):
                if tracking_runs.DIGEST in other.data.tags:
                    client.delete_tag(run_id, tracking_runs.DIGEST)
                tags = {tracking_owner.OWNER: self._owner, "mlflow.parentRunId": parent}
                tags |= tracking_runs.marks_of(run, other.data.tags)
                for name, value in tags.items():
                    client.set_tag(run_id, name, value)
                client.update_run(run_id, status="RUNNING")
                return run_id
        run_id = tracking_runs.begin(
            client, experiment, run, parent, folder=self._folder, owner=self._owner
        )
        tracking_runs.describe(client, run_id, run)
        return run_id

    def _kill(self, client: MlflowClient, run_id: str) -> None:
        """End a run KILLED that is RUNNING and still this process's."""
        run = client.get_run(run_id)
        if run.info.status == "RUNNING" and run.data.tags.get(tracking_owner.OWNER) == self._owner:
            client.set_terminated(run_id, "KILLED")
