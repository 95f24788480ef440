"""What MLflow holds of a run store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.report import tracking_names, tracking_server


def client_of(folder: Path) -> Any:
    """Return a client of the store's server."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking_server.uri_of(folder))


def runs(folder: Path) -> list[Any]:
    """Return the runs of all tables and studies."""
    client = client_of(folder)
    ours = f"name LIKE '{tracking_names.EXPERIMENT}%'"
    found = [e.experiment_id for e in client.search_experiments(filter_string=ours)]
    assert found
    return list(client.search_runs(found))


def nested(folder: Path, kind: str | None = None) -> list[Any]:
    """Return the runs in the runs of tables and studies, or those of one kind."""
    inner = [run for run in runs(folder) if "mlflow.parentRunId" in run.data.tags]
    return [run for run in inner if kind in (None, run.data.tags["harness.kind"])]
