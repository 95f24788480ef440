"""What MLflow is known to have: a ledger beside the records, and a look into a local database.

Importing mlflow takes 2 s. A command that has nothing new to copy therefore first looks at a ledger
file beside the records, which lists what was copied to which server. The run store's own database
is read directly, so that a loss is noticed at once; another server is asked again if that was not
done for ``RECHECK`` seconds, and always by ``harness track``.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import files, sqlite
from harness.errors import Damaged
from harness.report import tracking_names, tracking_server

LEDGER = "mlflow-mirrored.json"
"""File beside the records: digests of the copied runs, by server and run."""

RECHECK = 86400.0
"""Seconds after which a server is compared again by a command that has nothing new for it."""

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


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What the ledger says of one server.

    Attributes:
        compared: times of the last comparisons, in seconds since 1970, by table and profile.
        runs: digests of the runs that the server has, by name.
    """

    compared: Mapping[str, float] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)


def pending(runs: Sequence[Mirror], folder: Path) -> list[Mirror]:
    """Return the runs that MLflow may lack, as far as is known without importing mlflow."""
    copied = _read(folder).get(_server(folder), Copied())
    missing = [run for run in runs if copied.runs.get(_name(run)) != run.digest]
    local = tracking_server.local_file(folder)
    if local is None:
        now = time.time()
        times = [copied.compared.get(_page(run.table, _profile(run)), -RECHECK) for run in runs]
        return missing if all(0 <= now - then < RECHECK for then in times) else list(runs)
    existing = _in_database(local) if len(missing) < len(runs) else set()
    return [run for run in runs if run in missing or _identity(run) not in existing]


def note(folder: Path, table: str, profile: str, runs: Sequence[Mirror]) -> None:
    """Note in the ledger that the server has these runs of a table."""
    ledger, server = _read(folder), _server(folder)
    known = ledger.get(server, Copied())
    ledger[server] = Copied(
        compared={**known.compared, _page(table, profile): time.time()},
        runs={**known.runs, **{_name(run): run.digest for run in runs}},
    )
    content = {name: {"compared": c.compared, "runs": c.runs} for name, c in ledger.items()}
    files.write_json(folder / LEDGER, content)


def _read(folder: Path) -> dict[str, Copied]:
    """Return the ledger, empty if it cannot be read: mirroring again is idempotent."""
    with contextlib.suppress(Damaged, OSError):
        return files.read_as(folder / LEDGER, dict[str, Copied])
    return {}


def _profile(run: Mirror) -> str:
    return run.tags.get("profile", "")


def _page(table: str, profile: str) -> str:
    return tracking_names.text(f"{table}/{profile}")


def _name(run: Mirror) -> str:
    return tracking_names.text(f"{run.table}/{_profile(run)}/{run.name}/{run.key}")


def _identity(run: Mirror) -> tuple[str, ...]:
    """Return table, profile, name, key and digest of a run, as the tags of MLflow hold them."""
    words = (run.table, _profile(run), run.name, run.key, run.digest)
    return tuple(map(tracking_names.text, words))


def _in_database(path: Path) -> set[tuple[str, ...]]:
    """Return the identities of the finished runs in MLflow's own database, see ``_identity``.

    Read without mlflow, whose import takes 2 s. Where a version of MLflow has other tables, or the
    file is locked or damaged, nothing is found, and mlflow itself is asked.
    """
    query = (
        "SELECT runs.run_uuid, runs.status, tags.key, tags.value FROM runs"
        " JOIN experiments ON runs.experiment_id = experiments.experiment_id"
        " JOIN tags ON runs.run_uuid = tags.run_uuid"
        " WHERE experiments.name = ? AND experiments.lifecycle_stage = 'active'"
        " AND runs.lifecycle_stage = 'active'"
    )
    runs: dict[str, dict[str, str]] = {}
    try:
        connection = sqlite.connect(path, 1)
        try:
            for run, status, name, value in connection.execute(
                query, (tracking_server.EXPERIMENT,)
            ):
                runs.setdefault(run, {"status": status})[name] = value
        finally:
            connection.close()
    except (sqlite3.Error, OverflowError):
        return set()
    found = set()
    for tags in runs.values():
        parent = runs.get(tags.get("mlflow.parentRunId", ""), {})
        if {tags["status"], parent.get("status")} <= {*STATUSES.values()}:
            words = (parent.get("harness.table", ""), parent.get("harness.profile", ""))
            own = ("harness.name", "harness.key", "harness.digest")
            found.add((*words, *(tags.get(name, "") for name in own)))
    return found


def _server(folder: Path) -> str:
    """Return a hash that identifies the tracking server; its URL may contain a password."""
    uri = tracking_server.uri_of(folder).encode("utf-8", "surrogateescape")
    return hashlib.sha256(uri).hexdigest()[:16]
