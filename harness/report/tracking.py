"""Copy finished runs from the run store to MLflow; records are authoritative.

A run is copied after its record is written. An MLflow run that an interrupted copy has left RUNNING
is deleted and written again by the next call. The local database is created under a temporary name
and renamed once it is complete. A ledger file beside the records lists what was copied to which
server, so that a call with nothing to do need not import mlflow (2 s).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import files
from harness.errors import UserError
from harness.store import form
from harness.store.claim import claim

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "msmae-harness"
"""Name of the MLflow experiment of all runs."""

LEDGER = "mlflow-mirrored.json"
"""File beside the records: digests of the copied runs, by server and run."""

DATABASE = "mlflow.db"
"""Local database in the run store."""

BATCH = 1000
"""Metrics in one call, MLflow's limit."""

PARAMETER_LIMIT = 6000
"""Characters of a parameter's value, MLflow's limit."""

STATUSES = {"done": "FINISHED", "failed": "FAILED", "pruned": "KILLED"}
"""MLflow's status of a run, by the record's status."""


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """A finished run as it is written to MLflow.

    Attributes:
        table: name of the table or study.
        name: name of the run.
        key: the run's key; MLflow runs are found by it.
        status: a key of ``STATUSES``.
        parameters: settings by name.
        metrics: final values by name.
        history: values of every epoch; each item contains "epoch".
        tags: further facts by name.
        artifacts: files that are attached.
        digest: changes when the run's contents change.
    """

    table: str
    name: str
    key: str
    status: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    history: Sequence[Mapping[str, float]]
    tags: Mapping[str, str]
    artifacts: Sequence[Path]
    digest: str


def tracking_uri(folder: Path) -> str:
    """Return MLFLOW_TRACKING_URI, or a SQLite file in the run store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _file_uri(folder / DATABASE)


def _file_uri(path: Path) -> str:
    return f"sqlite:///{path.resolve()}"


def _absent(folder: Path) -> bool:
    """Whether the local database is to be used and does not exist yet."""
    path = folder / DATABASE
    return tracking_uri(folder) == _file_uri(path) and not path.exists()


def pending(runs: Sequence[Mirror], folder: Path) -> list[Mirror]:
    """Return the runs that the ledger does not list with their digest; does not import mlflow."""
    mirrored = {} if _absent(folder) else _ledger(folder).get(_server(folder), {})
    return [run for run in runs if mirrored.get(_name(run)) != run.digest]


def _name(run: Mirror) -> str:
    return f"{run.table}/{run.tags.get('profile', '')}/{run.name}/{run.key}"


def _server(folder: Path) -> str:
    """Return a hash that identifies the tracking server; its URL may contain a password."""
    return hashlib.sha256(tracking_uri(folder).encode()).hexdigest()[:16]


def _ledger(folder: Path) -> dict[str, dict[str, str]]:
    try:
        ledger: dict[str, dict[str, str]] = json.loads((folder / LEDGER).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}  # mirroring again is idempotent
    return ledger


def mirror(
    table: str,
    profile: str,
    runs: Sequence[Mirror],
    table_artifacts: Sequence[Path],
    *,
    folder: Path,
    kind: str = "table",
) -> int:
    """Write a table's runs to MLflow as children of one parent run; return how many were written.

    Idempotent: a child with the same key and digest is left, another one with the same name and key
    is replaced, and none is left RUNNING.

    Args:
        table: name of the table or study.
        profile: name of the profile.
        runs: the runs to write.
        table_artifacts: files that are attached to the parent run.
        folder: the run store.
        kind: "table", or "sweep" for a study, whose runs are trials.

    Raises:
        UserError: mlflow is not installed or its store cannot be reached.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with claim(folder, "mlflow") as ours:
        if not ours:
            return 0  # another process is writing; the next command writes what that one lacks
        ledger = _ledger(folder)
        if _absent(folder):
            ledger.pop(_server(folder), None)
        with _client(folder) as (client, experiment):
            parent = _parent(client, experiment, kind, table, profile)
            former = _former(folder)
            written = sum(_child(client, experiment, parent, run, former) for run in runs)
            for path in table_artifacts:
                client.log_artifact(parent, str(path), "table")
            client.set_terminated(parent)
        ledger.setdefault(_server(folder), {}).update({_name(run): run.digest for run in runs})
        files.write_json(folder / LEDGER, ledger)
    return written


@contextlib.contextmanager
def _client(folder: Path) -> Iterator[tuple[MlflowClient, str]]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise UserError(
            "mlflow is not installed; `pip install mlflow`, or run with --track off."
        ) from error
    _silence_migrations()
    uri = tracking_uri(folder)
    local = uri.startswith("sqlite:")
    location = (folder.resolve() / "mlartifacts").as_uri() if local else None
    try:
        if _absent(folder):
            _make_database(folder)
        client = MlflowClient(tracking_uri=uri)
        existing = client.get_experiment_by_name(EXPERIMENT)
        if existing is not None:
            experiment = existing.experiment_id
        else:
            experiment = client.create_experiment(EXPERIMENT, artifact_location=location)
        yield client, experiment
    except (MlflowException, OSError, SQLAlchemyError) as error:
        reason = str(error).partition("\n")[0]
        hint = (
            f" A damaged {folder / DATABASE} can be removed: it is written anew from the records."
        )
        raise UserError(
            f"MLflow at {uri.partition('://')[0]} cannot be used: {reason}."
            " Set MLFLOW_TRACKING_URI, or run with --track off; `harness track` mirrors later."
            f"{hint if uri == _file_uri(folder / DATABASE) else ''}"
        ) from error


def _make_database(folder: Path) -> None:
    """Create the local database under a temporary name and rename it once it is complete.

    The caller holds the claim "mlflow", so no other process creates it at the same time.
    """
    from mlflow import MlflowClient

    temporary = folder / f"{DATABASE}.new"
    for leftover in folder.glob(f"{temporary.name}*"):
        leftover.unlink()
    MlflowClient(tracking_uri=_file_uri(temporary)).search_experiments()
    temporary.replace(folder / DATABASE)


def _silence_migrations() -> None:
    """Hide the log messages of database migrations."""
    import logging

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _parent(client: MlflowClient, experiment: str, kind: str, table: str, profile: str) -> str:
    """Return the id of the parent run of a table, created if there is none."""
    tags = {"harness.table": table, "harness.profile": profile, "harness.kind": kind}
    existing = _search(client, experiment, tags)
    if existing:
        client.update_run(existing[0].info.run_id, status="RUNNING")
        return str(existing[0].info.run_id)
    name = f"{table} ({profile})"
    return str(client.create_run(experiment, tags=tags, run_name=name).info.run_id)


def _former(folder: Path) -> dict[str, set[str]]:
    """Return, by present key, the former keys that migrations of the store replaced."""
    former: dict[str, set[str]] = {}
    for old, new in form.former_keys(folder).items():
        former.setdefault(new, set()).add(old)
    return former


def _child(
    client: MlflowClient,
    experiment: str,
    parent: str,
    run: Mirror,
    former: Mapping[str, set[str]],
) -> int:
    """Write one run as a child of the parent run; return 0 if it is there already, else 1."""
    keys = {run.key, *former.get(run.key, ())}
    identity = {"mlflow.parentRunId": parent, "harness.name": run.name}
    for other in _search(client, experiment, identity):
        tags, status = other.data.tags, other.info.status
        if tags.get("harness.key") not in keys:
            continue
        if tags.get("harness.digest") == run.digest and status in STATUSES.values():
            return 0
        client.delete_run(other.info.run_id)
    named = {f"harness.{name}": value for name, value in run.tags.items()}
    tags = {**named, **identity, "harness.key": run.key}  # the next call searches for these
    created = client.create_run(experiment, tags=tags, run_name=run.name)
    run_id = created.info.run_id
    _log(client, run_id, run)
    for path in run.artifacts:
        client.log_artifact(run_id, str(path))
    # Last, so that an interrupted copy has no digest and is replaced by the next call.
    client.set_tag(run_id, "harness.digest", run.digest)
    client.set_terminated(run_id, STATUSES[run.status])
    return 1


def _log(client: MlflowClient, run_id: str, run: Mirror) -> None:
    from mlflow.entities import Metric, Param

    params = [Param(n, str(v)[:PARAMETER_LIMIT]) for n, v in run.parameters.items()]
    for begin in range(0, len(params), 100):
        client.log_batch(run_id, params=params[begin : begin + 100])
    metrics = [Metric(name, value, 0, 0) for name, value in run.metrics.items()]
    metrics += [
        Metric(name, value, 0, int(figures["epoch"]))
        for figures in run.history
        for name, value in figures.items()
        if name != "epoch"
    ]
    for begin in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[begin : begin + BATCH])


def _search(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> list[Run]:
    terms = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
    return list(client.search_runs([experiment], filter_string=" and ".join(terms)))
