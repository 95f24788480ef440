"""Whose MLflow run is RUNNING: the claims of processes that log live, and the end of dead ones.

A process that logs live holds a claim of its own, whose name is a tag of every run that it has
open. Where the claim's owner has died the run is ended KILLED, by the next command.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import sqlite3
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from harness import sqlite
from harness.report import tracking_names, tracking_server
from harness.store import claim

if TYPE_CHECKING:
    from mlflow.entities import Run

PREFIX = "mlflow-live-"
"""Begins the names of the claims."""

OWNER, STORE = "harness.owner", "harness.store"
"""Tags: the claim of the process that has the run open, and the run store that it is of."""

PAGE = 1000
"""Runs in one answer to a search."""


def new() -> str:
    """Return the name of a new claim."""
    return PREFIX + uuid.uuid4().hex[:16]


def store_of(folder: Path) -> str:
    """Return a hash that tells run stores apart which share a server."""
    place = f"{socket.gethostname()}:{folder.resolve()}".encode("utf-8", "surrogateescape")
    return hashlib.sha256(place).hexdigest()[:16]


def is_held(run: Run, living: Collection[str], ours: str = "") -> bool:
    """Whether another living process has a run open."""
    owner = run.data.tags.get(OWNER, "")
    return run.info.status == "RUNNING" and owner != ours and owner in living


def is_abandoned(run: Run, living: Collection[str], store: str) -> bool:
    """Whether a run of this store is RUNNING although no living process has it open."""
    tags = run.data.tags
    running = run.info.status == "RUNNING" and tags.get(STORE) == store
    return running and tags.get(OWNER) not in living


def end_abandoned(folder: Path) -> int:
    """End the runs KILLED that killed processes have left RUNNING; return their number.

    Without any, nothing is imported and no server is asked. It is done by one process at a time.

    Raises:
        UserError: mlflow is not installed.
        Exception: whatever MLflow and the packages that it uses raise.
    """
    dead = _dead(folder)
    if not dead and not _any_abandoned(folder):
        return 0
    with claim.claim(folder, "mlflow") as ours:
        if not ours:
            return 0
        ended = _end(folder)
    for name in dead:
        with claim.hold(folder, name):
            pass  # a claim that is taken over is removed when it is given back
    return ended


def _end(folder: Path) -> int:
    tracking_server.prepare(folder)
    client = tracking_server.client(folder)
    if client is None:
        return 0
    living, store, ended = claim.living(folder), store_of(folder), 0
    last = _last_seen(folder)
    named = f"name LIKE '{tracking_names.EXPERIMENT}%'"
    for experiment in client.search_experiments(filter_string=named):
        token = None
        while True:
            page = client.search_runs(
                [experiment.experiment_id],
                filter_string="attributes.status = 'RUNNING'",
                max_results=PAGE,
                page_token=token,
            )
            for run in page:
                if is_abandoned(run, living, store):
                    seen = last.get(run.data.tags.get(OWNER, ""))
                    at = None if seen is None else max(seen, run.info.start_time)
                    client.set_terminated(run.info.run_id, "KILLED", end_time=at)
                    ended += 1
            token = page.token
            if not token:
                break
    return ended


def _last_seen(folder: Path) -> dict[str, int]:
    """Return when each process that logs live last renewed its claim, in ms since 1970."""
    found = {}
    for path in folder.glob(f"claims/{PREFIX}*.json"):
        with contextlib.suppress(OSError):
            found[path.stem] = int(1000 * path.stat().st_mtime)
    return found


def _dead(folder: Path) -> list[str]:
    """Return the claims of processes that were killed while they logged."""
    names = [path.stem for path in folder.glob(f"claims/{PREFIX}*.json")]
    if not names:
        return []
    living = claim.living(folder)
    return [name for name in names if name not in living]


def _any_abandoned(folder: Path) -> bool:
    """Whether the store's own database has a run that no living process has open."""
    path = tracking_server.local_file(folder)
    if path is None or not path.exists():
        return False
    query = (
        "SELECT DISTINCT tags.value FROM runs JOIN tags ON runs.run_uuid = tags.run_uuid"
        " WHERE runs.status = 'RUNNING' AND runs.lifecycle_stage = 'active' AND tags.key = ?"
    )
    with contextlib.suppress(sqlite3.Error, OverflowError):
        connection = sqlite.connect(path, 1)
        try:
            owners = {owner for (owner,) in connection.execute(query, (OWNER,))}
        finally:
            connection.close()
        return bool(owners and owners - claim.living(folder))
    return False
