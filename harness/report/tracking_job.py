"""One comparison of a table's runs with MLflow, which writes what is missing there or changed.

The run of the table comes first, then the runs that are nested in it, each after its parent.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.report import (
    tracking_model,
    tracking_names,
    tracking_owner,
    tracking_runs,
    tracking_server,
)
from harness.report.tracking_ledger import STATUSES, Identity, Mirror
from harness.store import claim, form

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000
"""Runs in one answer to a search."""

FEW = 8
"""Keys up to which MLflow is asked for each, not for all runs of an experiment."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a comparison did.

    Attributes:
        written: number of runs that were written.
        failures: why each run or file that could not be written failed, by its name.
        skipped: keys of the runs that another process has open.
    """

    written: int = 0
    failures: Mapping[str, str] = field(default_factory=dict)
    skipped: Sequence[str] = ()


@dataclass(frozen=True)
class Job:
    """One comparison of a table's runs with MLflow.

    Attributes:
        table: name of the table or study.
        profile: name of the profile.
        kind: "table", or "sweep" for a study.
        folder: the run store.
        runs: each after the run that it is nested in.
        table_artifacts: files that are attached to the table's run.
        owner: claim of this process, which goes on logging to the table's run; ``runs`` are then
            not all of the table's. "" for all.
    """

    table: str
    profile: str
    kind: str
    folder: Path
    runs: Sequence[Mirror] = ()
    table_artifacts: Sequence[Path] = ()
    owner: str = ""

    def connect(self) -> tuple[MlflowClient, str]:
        """Return a client and the id of the experiment."""
        return tracking_server.connect(
            self.folder, tracking_names.experiment(self.table, self.profile)
        )

    def run(self) -> Done:
        """Write what the server lacks."""
        client, experiment = self.connect()
        parent = self.table_run(client, experiment)
        living = claim.living(self.folder)
        present = self._present(client, experiment)
        if not self.owner:
            self._end_abandoned(client, present, living)
        ids = {identity: found[0].info.run_id for identity, found in present.items()}
        written, failures, skipped = 0, {}, []
        for run in self.runs:
            others = present.get(run.identity, [])
            if any(tracking_owner.is_held(other, living, self.owner) for other in others):
                skipped.append(run.key)
                continue
            under = parent if run.under is None else ids.get(_text(run.under), parent)
            place = _Place(client, experiment, under, self.folder)
            try:
                ids[run.identity], new = place.put(run, others, self._children(present, others))
                written += new
            except Exception as error:  # noqa: BLE001  # reported; the other runs go on
                failures[run.shown] = self._reason(client, experiment, error)
        for run in self.runs:
            self._name_stages(client, run, ids, present)
        for path in self.table_artifacts:
            try:
                client.log_artifact(parent, str(path), "table")
            except Exception as error:  # noqa: BLE001  # reported; the other files go on
                failures[path.name] = self._reason(client, experiment, error)
        if not self.owner:
            self._end_table(client, parent, living)
        return Done(written=written, failures=failures, skipped=skipped)

    def _present(self, client: MlflowClient, experiment: str) -> dict[Identity, list[Run]]:
        """Return the runs that MLflow has by name and present key, all or those that matter."""
        former = _former(self.folder)
        keys = {run.key for run in self.runs}
        keys |= {key for run in self.runs for _, key in run.stages.values()}
        keys |= {run.under[1] for run in self.runs if run.under is not None}
        found: dict[Identity, list[Run]] = {}
        if self.owner and len(keys) <= FEW:
            keys |= {old for key in keys for old in former.get(key, ())}
            filters = [f"tags.`harness.key` = '{key}'" for key in sorted(keys)]
        else:
            filters = [""]
        present = {old: key for key, olds in former.items() for old in olds}
        for filter_string in filters:
            for run in search(client, experiment, filter_string):
                key = run.data.tags.get("harness.key", "")
                identity = (run.data.tags.get("harness.name", ""), present.get(key, key))
                found.setdefault(identity, []).append(run)
        return found

    def _end_abandoned(
        self, client: MlflowClient, present: Mapping[Identity, Sequence[Run]], living: set[str]
    ) -> None:
        """End the runs that a killed process left, and that no record completes."""
        ours = {run.identity for run in self.runs}
        store = tracking_owner.store_of(self.folder)
        for identity, found in present.items():
            for run in found:
                is_run = "mlflow.parentRunId" in run.data.tags
                dead = is_run and tracking_owner.is_abandoned(run, living, store)
                if dead and identity not in ours:
                    client.set_terminated(run.info.run_id, "KILLED")

    def _children(
        self, present: Mapping[Identity, Sequence[Run]], others: Sequence[Run]
    ) -> list[Run]:
        """Return the runs that are nested in some runs."""
        parents = {other.info.run_id for other in others}
        return [
            run
            for found in present.values()
            for run in found
            if run.data.tags.get("mlflow.parentRunId") in parents
        ]

    def _name_stages(
        self,
        client: MlflowClient,
        run: Mirror,
        ids: Mapping[Identity, str],
        present: Mapping[Identity, Sequence[Run]],
    ) -> None:
        """Let a run's tags name the runs of its stages."""
        run_id = ids.get(run.identity)
        had = {r.info.run_id: r.data.tags for r in present.get(run.identity, [])}
        for phase, identity in run.stages.items():
            stage, tag = ids.get(_text(identity)), f"harness.stage.{phase}"
            if run_id and stage and had.get(run_id, {}).get(tag) != stage:
                client.set_tag(run_id, tag, stage)

    def _reason(self, client: MlflowClient, experiment: str, error: Exception) -> str:
        """Return why one run or file failed; raise the error if it concerns all of them."""
        if tracking_server.ends_all(error) or tracking_server.is_damaged(self.folder, error):
            raise error
        # A write that MLflow always accepts tells whether the server is still there.
        client.set_experiment_tag(experiment, "harness.written", str(int(time.time())))
        return tracking_server.reason(error, tracking_server.uri_of(self.folder))

    def table_run(self, client: MlflowClient, experiment: str) -> str:
        """Return the id of the run of the table, created if there is none, and RUNNING now.

        The names are compared here: a filter of MLflow has no form for a quote in a name.
        """
        tags = {
            "harness.table": tracking_names.text(self.table),
            "harness.profile": tracking_names.text(self.profile),
            "harness.kind": self.kind,
        }
        own = {tracking_owner.OWNER: self.owner} if self.owner else {}
        for run in search(client, experiment, f"tags.`harness.kind` = '{self.kind}'"):
            if tags.items() <= run.data.tags.items():
                run_id = str(run.info.run_id)
                client.update_run(run_id, status="RUNNING")
                for tag, value in own.items():
                    client.set_tag(run_id, tag, value)
                return run_id
        source = tracking_runs.source_of(self.runs[0]) if self.runs else {}
        begun = min((run.begun for run in self.runs if run.begun is not None), default=None)
        made = client.create_run(
            experiment,
            start_time=None if begun is None else int(1000 * begun),
            tags=tags | own | source | {tracking_owner.STORE: tracking_owner.store_of(self.folder)},
            run_name=tracking_names.text(
                f"{self.table} ({self.profile})", tracking_names.NAME_LIMIT
            ),
        )
        return str(made.info.run_id)

    def _end_table(self, client: MlflowClient, run_id: str, living: set[str]) -> None:
        """End the run of the table, unless another process goes on with it."""
        run = client.get_run(run_id)
        if not tracking_owner.is_held(run, living):
            ended = max((r.ended for r in self.runs if r.ended is not None), default=None)
            last = None if ended is None else max(int(1000 * ended), int(run.info.start_time))
            client.set_terminated(run_id, "FINISHED", end_time=last)


@dataclass(frozen=True)
class _Place:
    """Where a run is written: client, experiment, the run that it is nested in, and the store."""

    client: MlflowClient
    experiment: str
    parent: str
    folder: Path

    def put(self, run: Mirror, others: Sequence[Run], children: Sequence[Run]) -> tuple[str, int]:
        """Write a run; return its id in MLflow, and 0 if it was there already, else 1.

        Args:
            run: the run.
            others: MLflow's runs with its name and key.
            children: MLflow's runs that are nested in these.
        """
        whole = [other for other in others if _is_whole(other, run)]
        if whole:
            run_id, new = str(whole[0].info.run_id), 0
            self._refresh(run, whole[0], {})
        else:
            run_id, new = self._written(run, others), 1
        for child in children:
            if child.data.tags["mlflow.parentRunId"] != run_id:
                self.client.set_tag(child.info.run_id, "mlflow.parentRunId", run_id)
        for other in others:
            if other.info.run_id != run_id:
                self.client.delete_run(other.info.run_id)
        if run.model is not None:
            tracking_model.log(self.client, self.experiment, run_id, run)
        return run_id, new

    def _refresh(self, run: Mirror, existing: Run, facts: Mapping[str, str]) -> None:
        """Set the tags of a complete run that have changed; ``facts`` are those of its record."""
        tags = existing.data.tags
        marks = tracking_runs.marks_of(run, tags)
        wanted = {**facts, **marks, "mlflow.parentRunId": self.parent}
        for name, value in wanted.items():
            if tags.get(name) != value:
                self.client.set_tag(existing.info.run_id, name, value)

    def _written(self, run: Mirror, others: Sequence[Run]) -> str:
        """Complete an MLflow run that has no digest yet, or else write another one."""
        for other in others:
            incomplete = tracking_runs.DIGEST not in other.data.tags
            if (incomplete or other.info.status == "RUNNING") and tracking_runs.complete(
                self.client, other.info.run_id, run, other
            ):
                self._refresh(run, other, tracking_runs.tags_of(run, self.folder))
                return str(other.info.run_id)
        run_id = tracking_runs.begin(
            self.client, self.experiment, run, self.parent, folder=self.folder, owner=""
        )
        try:
            tracking_runs.complete(self.client, run_id, run, None)
        except Exception as error:
            if not tracking_server.ends_all(error):
                with contextlib.suppress(Exception):  # the first error is the one reported
                    self.client.delete_run(run_id)
            raise
        return run_id


def _is_whole(other: Run, run: Mirror) -> bool:
    done = other.info.status in STATUSES.values()
    return done and other.data.tags.get(tracking_runs.DIGEST) == run.digest


def _text(identity: Identity) -> Identity:
    name, key = identity
    return (tracking_names.text(name), tracking_names.text(key))


def search(client: MlflowClient, experiment: str, filter_string: str) -> list[Run]:
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
