"""Copy finished runs from the run store to MLflow; records are authoritative.

MLflow is a view of the records: no failure of it ends a command, and the next call makes good what
is missing. A run is copied after its record is written. Each call compares all runs of a table or
study with what the server has, by one search, and writes those that are missing there, changed or
incomplete: a database may have been replaced, a server wiped, runs deleted. An MLflow run that an
interrupted copy has left RUNNING is deleted and written again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.report import tracking_ledger, tracking_names, tracking_server
from harness.report.tracking_ledger import STATUSES, Mirror
from harness.store import form
from harness.store.claim import claim

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

BATCH = 1000
"""Metrics in one call, MLflow's limit."""

SHOWN = 3
"""Runs that are named in the warning about runs that were not mirrored."""

PAGE = 1000
"""Runs in one answer to a search."""


@dataclass(frozen=True, kw_only=True)
class Mirrored:
    """What a call of ``mirror`` did.

    Attributes:
        written: number of runs that were written.
        failures: why each run or file that could not be written failed, by its name.
        busy: whether another process is writing, so that nothing was done.
    """

    written: int = 0
    failures: Mapping[str, str] = field(default_factory=dict)
    busy: bool = False


def publish(
    table: str,
    profile: str,
    runs: Sequence[Mirror],
    table_artifacts: Sequence[Path],
    *,
    folder: Path,
    kind: str = "table",
) -> Mirrored | None:
    """Call ``mirror`` and warn of what failed, in one line; return None if MLflow failed.

    For commands whose work is not tracking: it goes on, and a later call makes the loss good.
    """
    try:
        mirrored = mirror(table, profile, runs, table_artifacts, folder=folder, kind=kind)
    except UserError as error:
        tracking_server.announce(f"not mirrored: {error}")
        return None
    warn(mirrored)
    return mirrored


def warn(mirrored: Mirrored) -> None:
    """Name in one line what could not be mirrored, and why."""
    if mirrored.failures:
        named = [f"{name} ({why})" for name, why in mirrored.failures.items()][:SHOWN]
        rest = len(mirrored.failures) - SHOWN
        more = f", and {rest} more" if rest > 0 else ""
        tracking_server.announce(
            f"{len(mirrored.failures)} not mirrored to MLflow: {', '.join(named)}{more}."
            " The records hold them; `harness track` tries again."
        )


def mirror(
    table: str,
    profile: str,
    runs: Sequence[Mirror],
    table_artifacts: Sequence[Path],
    *,
    folder: Path,
    kind: str = "table",
) -> Mirrored:
    """Write a table's runs to MLflow as children of one parent run.

    Idempotent: a child with the same key and digest is left, another one with the same name and key
    is replaced, and none is left RUNNING. A run that MLflow does not accept is skipped. A damaged
    database of the run store is set aside and written anew, with all runs that were given.

    Args:
        table: name of the table or study.
        profile: name of the profile.
        runs: all runs of the table, also those that were written before.
        table_artifacts: files that are attached to the parent run.
        folder: the run store.
        kind: "table", or "sweep" for a study, whose runs are trials.

    Raises:
        UserError: mlflow is not installed, or its server or database cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with claim(folder, "mlflow") as ours:
        if not ours:
            return Mirrored(busy=True)  # the next command writes what that process lacks
        tracking_server.prepare(folder)
        job = _Job(table, profile, kind, folder, runs, table_artifacts)
        try:
            try:
                mirrored = job.run()
            except Exception as error:
                if not tracking_server.is_damaged(folder, error):
                    raise
                tracking_server.set_aside(folder, error)
                mirrored = job.run()
        except UserError:
            raise
        except Exception as error:  # MLflow passes on whatever its drivers and servers raise
            raise tracking_server.unusable(folder, error) from error
        kept = [run for run in runs if run.name not in mirrored.failures]
        tracking_ledger.note(folder, table, profile, kept)
    return mirrored


@dataclass(frozen=True)
class _Job:
    """One comparison of a table's runs with MLflow; see ``mirror``."""

    table: str
    profile: str
    kind: str
    folder: Path
    runs: Sequence[Mirror]
    table_artifacts: Sequence[Path]

    def run(self) -> Mirrored:
        """Write what the server lacks."""
        client, experiment = tracking_server.connect(self.folder)
        parent = self._parent(client, experiment)
        present: dict[str, list[Run]] = {}
        for child in _search(client, experiment, f"tags.`mlflow.parentRunId` = '{parent}'"):
            present.setdefault(child.data.tags.get("harness.name", ""), []).append(child)
        former = _former(self.folder)
        written, failures = 0, {}
        for run in self.runs:
            others = present.get(tracking_names.text(run.name), [])
            keys = {run.key, *former.get(run.key, ())}
            named = [other for other in others if other.data.tags.get("harness.key") in keys]
            try:
                written += _child(client, experiment, parent, run, named)
            except Exception as error:  # noqa: BLE001  # reported; the other runs go on
                failures[run.name] = self._reason(client, experiment, error)
        for path in self.table_artifacts:
            try:
                client.log_artifact(parent, str(path), "table")
            except Exception as error:  # noqa: BLE001  # reported; the other files go on
                failures[path.name] = self._reason(client, experiment, error)
        client.set_terminated(parent)
        return Mirrored(written=written, failures=failures)

    def _reason(self, client: MlflowClient, experiment: str, error: Exception) -> str:
        """Return why one run or file failed; raise the error if it concerns all of them."""
        if tracking_server.ends_all(error) or tracking_server.is_damaged(self.folder, error):
            raise error
        # A write that MLflow always accepts tells whether the server is still there.
        client.set_experiment_tag(experiment, "harness.written", str(int(time.time())))
        return tracking_server.reason(error, tracking_server.uri_of(self.folder))

    def _parent(self, client: MlflowClient, experiment: str) -> str:
        """Return the id of the parent run of the table, created if there is none.

        The names are compared here: a filter of MLflow has no form for a quote in a name.
        """
        tags = {
            "harness.table": tracking_names.text(self.table),
            "harness.profile": tracking_names.text(self.profile),
            "harness.kind": self.kind,
        }
        for run in _search(client, experiment, f"tags.`harness.kind` = '{self.kind}'"):
            if tags.items() <= run.data.tags.items():
                client.update_run(run.info.run_id, status="RUNNING")
                return str(run.info.run_id)
        name = tracking_names.text(f"{self.table} ({self.profile})", tracking_names.NAME_LIMIT)
        return str(client.create_run(experiment, tags=tags, run_name=name).info.run_id)


def _child(
    client: MlflowClient, experiment: str, parent: str, run: Mirror, others: Sequence[Run]
) -> int:
    """Write one run as a child of the parent run; return 0 if it is there already, else 1.

    Args:
        client: the client.
        experiment: id of the experiment.
        parent: id of the parent run.
        run: the run.
        others: existing children with the run's name and key.
    """
    kept = False
    for other in others:
        done = other.info.status in STATUSES.values()
        if done and not kept and other.data.tags.get("harness.digest") == run.digest:
            kept = True
        else:
            client.delete_run(other.info.run_id)
    if kept:
        return 0
    named = {f"harness.{name}": value for name, value in run.tags.items()}
    tags = {**named, "mlflow.parentRunId": parent, "harness.name": run.name, "harness.key": run.key}
    accepted = {tracking_names.key(n): tracking_names.text(v) for n, v in tags.items()}
    name = tracking_names.text(run.name, tracking_names.NAME_LIMIT)
    run_id = client.create_run(experiment, tags=accepted, run_name=name).info.run_id
    try:
        _log(client, run_id, run)
        for path in run.artifacts:
            client.log_artifact(run_id, str(path))
        # Last, so that an interrupted copy has no digest and is replaced by the next call.
        client.set_tag(run_id, "harness.digest", run.digest)
        client.set_terminated(run_id, STATUSES[run.status])
    except Exception as error:
        if not tracking_server.ends_all(error):
            with contextlib.suppress(Exception):  # the first error is the one that is reported
                client.delete_run(run_id)
        raise
    return 1


def _log(client: MlflowClient, run_id: str, run: Mirror) -> None:
    from mlflow.entities import Metric, Param

    limit = tracking_names.PARAMETER_LIMIT
    params = [
        Param(tracking_names.key(name), tracking_names.text(str(value), limit))
        for name, value in run.parameters.items()
    ]
    for begin in range(0, len(params), 100):
        client.log_batch(run_id, params=params[begin : begin + 100])
    metrics = [Metric(tracking_names.key(n), value, 0, 0) for n, value in run.metrics.items()]
    metrics += [
        Metric(tracking_names.key(name), value, 0, int(figures["epoch"]))
        for figures in run.history
        for name, value in figures.items()
        if name != "epoch"
    ]
    for begin in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[begin : begin + BATCH])


def _search(client: MlflowClient, experiment: str, filter_string: str) -> list[Run]:
    """Return all runs that a filter finds, whatever their number."""
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment], filter_string=filter_string, max_results=PAGE, page_token=token
        )
        runs += page
        token = page.token
        if not token:
            return runs


def _former(folder: Path) -> dict[str, set[str]]:
    """Return, by present key, the former keys that migrations of the store replaced."""
    former: dict[str, set[str]] = {}
    for old, new in form.former_keys(folder).items():
        former.setdefault(new, set()).add(old)
    return former
