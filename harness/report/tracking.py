"""Mirror finished runs to MLflow: the records are the truth, MLflow a view of them.

A run is mirrored after its record is written, so nothing is ever half known: what a kill leaves
RUNNING is removed and written again by the next call. The local database appears with all its
tables or not at all. A ledger beside the records remembers what was mirrored where, so that a call
with nothing to do does not import mlflow (2 s).
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
LEDGER = "mlflow-mirrored.json"
DATABASE = "mlflow.db"
BATCH = 1000
"""Metrics in one call, MLflow's limit."""

PARAMETER_LIMIT = 6000
"""Characters of a parameter's value, MLflow's limit."""

STATUSES = {"done": "FINISHED", "failed": "FAILED", "pruned": "KILLED"}
"""MLflow's words for how a run ended."""


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """One finished run of a table, as MLflow shows it; ``history`` has "epoch" in every item."""

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
    """Whether the local database is the one that is used, and does not exist."""
    path = folder / DATABASE
    return tracking_uri(folder) == _file_uri(path) and not path.exists()


def pending(runs: Sequence[Mirror], folder: Path) -> list[Mirror]:
    """Return the runs that the ledger does not know in this state; imports nothing heavy."""
    known = {} if _absent(folder) else _ledger(folder).get(_place(folder), {})
    return [run for run in runs if known.get(_name(run)) != run.digest]


def _name(run: Mirror) -> str:
    return f"{run.table}/{run.tags.get('profile', '')}/{run.name}/{run.key}"


def _place(folder: Path) -> str:
    """Name the tracking server without its address: it may hold a password."""
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
    """Mirror a table's runs: one parent run, one child a run; return how many were written.

    ``kind`` tells tables from sweeps, whose runs are trials.

    Idempotent: a child with the same key and digest stays, any other of the same name is
    replaced, and nothing is left RUNNING.

    Raises:
        UserError: mlflow is not installed or its store cannot be reached.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with claim(folder, "mlflow") as ours:
        if not ours:
            return 0  # the process that is mirroring now, or the next command, writes them
        ledger = _ledger(folder)
        if _absent(folder):
            ledger.pop(_place(folder), None)
        with _client(folder) as (client, experiment):
            parent = _parent(client, experiment, kind, table, profile)
            former = _former(folder)
            written = sum(_child(client, experiment, parent, run, former) for run in runs)
            for path in table_artifacts:
                client.log_artifact(parent, str(path), "table")
            client.set_terminated(parent)
        ledger.setdefault(_place(folder), {}).update({_name(run): run.digest for run in runs})
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
    _quieten()
    uri = tracking_uri(folder)
    local = uri.startswith("sqlite:")
    location = (folder.resolve() / "mlartifacts").as_uri() if local else None
    try:
        if _absent(folder):
            _make_database(folder)
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            experiment = found.experiment_id
        else:
            experiment = client.create_experiment(EXPERIMENT, artifact_location=location)
        yield client, experiment
    except (MlflowException, OSError, SQLAlchemyError) as error:
        reason = str(error).partition("\n")[0]
        again = (
            f" A damaged {folder / DATABASE} can be removed: it is written anew from the records."
        )
        raise UserError(
            f"MLflow at {uri.partition('://')[0]} cannot be used: {reason}."
            " Set MLFLOW_TRACKING_URI, or run with --track off; `harness track` mirrors later."
            f"{again if uri == _file_uri(folder / DATABASE) else ''}"
        ) from error


def _make_database(folder: Path) -> None:
    """Make the local database under another name: a kill while it is made leaves no half of it.

    The caller holds the claim on mirroring.
    """
    from mlflow import MlflowClient

    made = folder / f"{DATABASE}.new"
    for leftover in folder.glob(f"{made.name}*"):
        leftover.unlink()
    MlflowClient(tracking_uri=_file_uri(made)).search_experiments()
    made.replace(folder / DATABASE)


def _quieten() -> None:
    """Keep the database's migration log off the terminal."""
    import logging

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _parent(client: MlflowClient, experiment: str, kind: str, table: str, profile: str) -> str:
    tags = {"harness.table": table, "harness.profile": profile, "harness.kind": kind}
    found = _search(client, experiment, tags)
    if found:
        client.update_run(found[0].info.run_id, status="RUNNING")
        return str(found[0].info.run_id)
    name = f"{table} ({profile})"
    return str(client.create_run(experiment, tags=tags, run_name=name).info.run_id)


def _former(folder: Path) -> dict[str, set[str]]:
    """Return the keys that migrations replaced by those that they became."""
    found: dict[str, set[str]] = {}
    for old, new in form.former_keys(folder).items():
        found.setdefault(new, set()).add(old)
    return found


def _child(
    client: MlflowClient,
    experiment: str,
    parent: str,
    run: Mirror,
    former: Mapping[str, set[str]],
) -> int:
    keys = {run.key, *former.get(run.key, ())}
    place = {"mlflow.parentRunId": parent, "harness.name": run.name}
    for other in _search(client, experiment, place):
        tags, status = other.data.tags, other.info.status
        if tags.get("harness.key") not in keys:
            continue
        if tags.get("harness.digest") == run.digest and status in STATUSES.values():
            return 0
        client.delete_run(other.info.run_id)
    named = {f"harness.{name}": value for name, value in run.tags.items()}
    tags = {**named, **place, "harness.key": run.key}  # by which it is found again
    made = client.create_run(experiment, tags=tags, run_name=run.name)
    run_id = made.info.run_id
    _log(client, run_id, run)
    for path in run.artifacts:
        client.log_artifact(run_id, str(path))
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
