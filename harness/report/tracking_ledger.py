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
from typing import Any, Literal

from harness import files, sqlite
from harness.errors import Damaged
from harness.report import tracking_names, tracking_server

LEDGER = "mlflow-mirrored.json"
"""File beside the records: digests of the copied runs, by server and run."""

RECHECK = 86400.0
"""Seconds after which a server is compared again by a command that has nothing new for it."""

STATUSES = {"done": "FINISHED", "failed": "FAILED", "pruned": "KILLED"}
"""MLflow's status of a run, by the record's status."""


Kind = Literal["run", "stage", "trial"]
"""What an MLflow run stands for: a row's run for one seed, one of its stages, a sweep's trial."""

Identity = tuple[str, str]
"""Name and key of a run, by which it is found in MLflow."""


@dataclass(frozen=True, kw_only=True)
class DataInput:
    """The data set that a run is trained on.

    Attributes:
        name: of the data set.
        fingerprint: SHA-256 over its prepared files.
        split: how it is divided.
    """

    name: str
    fingerprint: str
    split: str


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """An encoder that is logged as a model.

    Attributes:
        path: file of the stage's final weights.
        digest: SHA-256 of the file.
        side: pixels of the images' side.
    """

    path: Path
    digest: str
    side: int


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
        kind: what the run stands for.
        title: shown in place of the name; "" for the name.
        under: the run that it is nested in; None for that of the table or study.
        stages: its stages, which the run's tags name, by phase.
        marks: tags that can change while the run does not, such as verdicts.
        rows: rows of the table that need it; MLflow's run names all that ever did.
        command: that trains it; "" where unknown.
        commit: of the sources that trained it; "" where unknown.
        data: that it was trained on.
        begun: seconds since 1970; None where unknown.
        ended: likewise.
        model: its encoder, where that is to be logged.
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
    kind: Kind = "run"
    title: str = ""
    under: Identity | None = None
    stages: Mapping[str, Identity] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[str] = ()
    command: str = ""
    commit: str = ""
    data: DataInput | None = None
    begun: float | None = None
    ended: float | None = None
    model: ModelFile | None = None

    @property
    def identity(self) -> Identity:
        """Name and key, as the tags of MLflow hold them."""
        return (tracking_names.text(self.name), tracking_names.text(self.key))

    @property
    def shown(self) -> str:
        """Name of the run in MLflow's pages and in messages."""
        return self.title or self.name

    @property
    def profile(self) -> str:
        """Name of the profile."""
        return self.tags.get("profile", "")


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
        times = [copied.compared.get(_page(run.table, run.profile), -RECHECK) for run in runs]
        return missing if all(0 <= now - then < RECHECK for then in times) else list(runs)
    existing = _in_database(local) if len(missing) < len(runs) else set()
    return [run for run in runs if run in missing or _identity(run) not in existing]


def note(
    folder: Path, table: str, profile: str, runs: Sequence[Mirror], *, compared: bool = True
) -> None:
    """Note in the ledger that the server has these runs of a table, and was ``compared`` now."""
    ledger, server = _read(folder), _server(folder)
    known = ledger.get(server, Copied())
    times = {_page(table, profile): time.time()} if compared else {}
    ledger[server] = Copied(
        compared={**known.compared, **times},
        runs={**known.runs, **{_name(run): run.digest for run in runs}},
    )
    content = {name: {"compared": c.compared, "runs": c.runs} for name, c in ledger.items()}
    files.write_json(folder / LEDGER, content)


def _read(folder: Path) -> dict[str, Copied]:
    """Return the ledger, empty if it cannot be read: mirroring again is idempotent."""
    with contextlib.suppress(Damaged, OSError):
        return files.read_as(folder / LEDGER, dict[str, Copied])
    return {}


def _page(table: str, profile: str) -> str:
    return tracking_names.text(f"{table}/{profile}")


def _name(run: Mirror) -> str:
    return tracking_names.text(f"{run.table}/{run.profile}/{run.name}/{run.key}")


def _identity(run: Mirror) -> tuple[str, ...]:
    """Return table, profile, name, key and digest of a run, as the tags of MLflow hold them."""
    words = (run.table, run.profile, run.name, run.key, run.digest)
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
        " WHERE experiments.name LIKE ? AND experiments.lifecycle_stage = 'active'"
        " AND runs.lifecycle_stage = 'active'"
    )
    runs: dict[str, dict[str, str]] = {}
    try:
        connection = sqlite.connect(path, 1)
        try:
            for run, status, name, value in connection.execute(
                query, (f"{tracking_names.EXPERIMENT}%",)
            ):
                runs.setdefault(run, {"status": status})[name] = value
        finally:
            connection.close()
    except (sqlite3.Error, OverflowError):
        return set()
    own = ("harness.table", "harness.profile", "harness.name", "harness.key", "harness.digest")
    return {
        tuple(tags.get(name, "") for name in own)
        for tags in runs.values()
        if "harness.digest" in tags and _has_ended(runs, tags)
    }


def _has_ended(runs: Mapping[str, Mapping[str, str]], tags: Mapping[str, str]) -> bool:
    """Whether a run and all that it is nested in exist and have ended."""
    parent = tags.get("mlflow.parentRunId")
    if tags.get("status") not in STATUSES.values():
        return False
    return parent is None or _has_ended(runs, runs.get(parent, {}))


def _server(folder: Path) -> str:
    """Return a hash that identifies the tracking server; its URL may contain a password."""
    uri = tracking_server.uri_of(folder).encode("utf-8", "surrogateescape")
    return hashlib.sha256(uri).hexdigest()[:16]
