"""One run in MLflow: it is begun, continued, given what it lacks, and ended.

A run that is finished has the tag ``harness.digest``, which is written last; without it, what an
interrupted process has written is completed, or written anew where it is not what the record says.
"""

from __future__ import annotations

import getpass
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.report import tracking_names, tracking_owner
from harness.report.tracking_ledger import STATUSES, Mirror

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

BATCH = 1000
"""Metrics in one call, MLflow's limit."""

PARAMETERS = 100
"""Parameters in one call, MLflow's limit."""

DIGEST = "harness.digest"
"""Tag of a run that is complete."""

LENGTH = 36
"""Characters of the digest of a data set, MLflow's limit."""

Point = tuple[str, int, float]
"""Name, epoch and value of a metric."""


def tags_of(run: Mirror, folder: Path) -> dict[str, str]:
    """Return a run's tags by MLflow's names, without those of its parent and its digest."""
    tags = {f"harness.{name}": value for name, value in run.tags.items()}
    tags |= {
        "harness.kind": run.kind,
        "harness.table": run.table,
        "harness.name": run.name,
        "harness.key": run.key,
        tracking_owner.STORE: tracking_owner.store_of(folder),
    }
    tags |= marks_of(run, {})
    safe = {tracking_names.key(n): tracking_names.text(v) for n, v in tags.items()}
    return safe | source_of(run)


def source_of(run: Mirror) -> dict[str, str]:
    """Return MLflow's own tags of what made a run, and who."""
    tags = {
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": tracking_names.text(run.command or f"harness {run.table}"),
        "mlflow.user": tracking_names.text(_user()),
    }
    # A release has a version in the place of a commit.
    if found := re.match(r"[0-9a-f]{40}", run.commit):
        tags["mlflow.source.git.commit"] = found.group()
    return tags


def marks_of(run: Mirror, present: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that may change while the run does not, given those that it has."""
    marks = {f"harness.{name}": value for name, value in run.marks.items()}
    if run.rows:
        known = filter(None, present.get("harness.rows", "").split(", "))
        marks["harness.rows"] = ", ".join(sorted({*known, *run.rows}))
    return {tracking_names.key(n): tracking_names.text(v) for n, v in marks.items()}


def begin(
    client: MlflowClient, experiment: str, run: Mirror, parent: str, *, folder: Path, owner: str
) -> str:
    """Make a run with its tags, parameters and data set, and return its id.

    Args:
        client: the client.
        experiment: id of the experiment.
        run: the run.
        parent: id of the run that it is nested in.
        folder: the run store.
        owner: claim of this process, "" where the run is ended at once.
    """
    tags = tags_of(run, folder) | {"mlflow.parentRunId": parent}
    if owner:
        tags[tracking_owner.OWNER] = owner
    name = tracking_names.text(run.shown, tracking_names.NAME_LIMIT)
    made = client.create_run(
        experiment, start_time=_milliseconds(run.begun), tags=tags, run_name=name
    )
    return str(made.info.run_id)


def describe(client: MlflowClient, run_id: str, run: Mirror) -> None:
    """Log a run's parameters and its data set; equal ones that it has already do not matter."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    limit = tracking_names.PARAMETER_LIMIT
    params = [
        Param(tracking_names.key(name), tracking_names.text(str(value), limit))
        for name, value in run.parameters.items()
    ]
    for first in range(0, len(params), PARAMETERS):
        client.log_batch(run_id, params=params[first : first + PARAMETERS])
    if run.data is not None:
        source = f'{{"uri": "{run.data.name}", "split": "{run.data.split}"}}'
        dataset = Dataset(
            name=run.data.name,
            digest=run.data.fingerprint[:LENGTH],
            source_type="harness data",
            source=source,
        )
        tag = InputTag("mlflow.data.context", "training")
        client.log_inputs(run_id, datasets=[DatasetInput(dataset, [tag])])


def points(run: Mirror) -> Iterator[Point]:
    """Yield the values of every epoch by MLflow's names."""
    for figures in run.history:
        for name, value in figures.items():
            if name != "epoch":
                yield tracking_names.key(name), int(figures["epoch"]), value


def logged(client: MlflowClient, existing: Run) -> set[Point]:
    """Return the values that a run has, but those that describe the machine."""
    return {(m.key, m.step, m.value) for m in _history(client, existing)}


def _history(client: MlflowClient, existing: Run) -> list[Metric]:
    names = [name for name in existing.data.metrics if not name.startswith("system/")]
    run_id = existing.info.run_id
    return [metric for name in names for metric in client.get_metric_history(run_id, name)]


def log(
    client: MlflowClient, run_id: str, run: Mirror, had: frozenset[Point] = frozenset()
) -> None:
    """Write what a run lacks of its parameters and values; ``had`` are the values it has.

    The epochs of a run that is copied are spread evenly between its begin and its end.
    """
    from mlflow.entities import Metric

    describe(client, run_id, run)
    end = _milliseconds(run.ended) or int(1000 * time.time())
    begin = _milliseconds(run.begun) or end
    finals = [(tracking_names.key(name), 0, value) for name, value in run.metrics.items()]
    metrics = [Metric(n, v, end, e) for n, e, v in finals if (n, e, v) not in had]
    epochs = max(1, len(run.history))
    for name, epoch, value in points(run):
        if (name, epoch, value) not in had:
            at = begin + (end - begin) * (epoch + 1) // epochs
            metrics.append(Metric(name, value, min(at, end), epoch))
    log_metrics(client, run_id, metrics)


def log_metrics(client: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
    """Log values in calls of allowed length."""
    for first in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[first : first + BATCH])


def complete(client: MlflowClient, run_id: str, run: Mirror, existing: Run | None) -> bool:
    """Write what a run lacks, end it, and return True; False if it holds what is not the run's.

    Args:
        client: the client.
        run_id: of the MLflow run.
        run: what it shall hold.
        existing: the MLflow run, where it was not made just now.
    """
    had: frozenset[Point] = frozenset()
    ended = _milliseconds(run.ended)
    if existing is not None:
        there = _history(client, existing)
        had = frozenset((m.key, m.step, m.value) for m in there)
        if ended is not None:  # a training that was interrupted ended later than it lasted
            ended = max(ended, existing.info.start_time, *(m.timestamp for m in there), 0)
        finals = {(tracking_names.key(n), 0, v) for n, v in run.metrics.items()}
        if had - finals - set(points(run)) or not agrees(existing, run):
            return False
    log(client, run_id, run, *([had] if had else []))
    for path in run.artifacts:
        client.log_artifact(run_id, str(path))
    # Last, so that an interrupted copy has no digest and is completed by the next call.
    client.set_tag(run_id, DIGEST, run.digest)
    client.set_terminated(run_id, STATUSES[run.status], end_time=ended)
    return True


def agrees(existing: Run, run: Mirror) -> bool:
    """Whether the parameters that a run has are those that it shall have; they cannot change."""
    limit = tracking_names.PARAMETER_LIMIT
    wanted = {
        tracking_names.key(name): tracking_names.text(str(value), limit)
        for name, value in run.parameters.items()
    }
    return all(wanted.get(name) == value for name, value in existing.data.params.items())


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(1000 * seconds)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"  # a process without an entry in the list of users
