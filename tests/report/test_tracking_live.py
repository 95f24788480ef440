"""Stages in MLflow while they train: live figures, kills, resumption, shared stages, failures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.interrupt import Stopped
from harness.progress import Progress
from harness.report import tracking_ledger, tracking_live, tracking_names, tracking_owner
from harness.store import claim
from tests.conftest import ROOT, Harness
from tests.report import tracked

pytestmark = pytest.mark.slow

RUN = ("run", "table1", "--profile", "smoke", "--datasets", "phantom-mri", "--rows", "resnet50")
EPOCHS = ("--set", "recipe.epochs=30", "--set", "recipe.warmup_epochs=1")
"""Enough that a stage lasts for some seconds after mlflow is imported."""

SHARED = """\
\"\"\"Two rows that differ in fine-tuning alone.\"\"\"
from harness.spec.table import Column, Row, Table
from harness.methods.msmae import paper
masked = paper.described()
EXPERIMENT = Table(title="Shared", source="", columns=(Column(dataset="phantom-mri"),), rows=(
    Row(name="sam", label="F-SAM", stages=masked),
    Row(name="plain", label="no F-SAM", stages=(masked[0], paper.finetune_plain()))))
"""

QUICK = ("--profile", "smoke", "--set", "recipe.epochs=2", "--set", "recipe.warmup_epochs=0")


def _start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", *RUN, *EPOCHS]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True
    )


def _stage(folder: Path) -> Any:
    """Return the run of the only stage, None while there is none."""
    if not (folder / "runs/mlflow.db").exists():
        return None
    client = tracked.client_of(folder / "runs")
    ours = f"name LIKE '{tracking_names.EXPERIMENT}%'"
    found = [e.experiment_id for e in client.search_experiments(filter_string=ours)]
    kind = "tags.`harness.kind` = 'stage'"
    return next(iter(client.search_runs(found, filter_string=kind) if found else []), None)


def _until(process: subprocess.Popen[str], fits: Callable[[Any], bool], folder: Path) -> Any:
    limit = time.monotonic() + 180
    while not ((run := _stage(folder)) is not None and fits(run)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.2)
    return run


def _steps(folder: Path, run_id: str, name: str = "loss/total") -> list[int]:
    history = tracked.client_of(folder / "runs").get_metric_history(run_id, name)
    return [metric.step for metric in history]


def _statuses(folder: Path) -> set[str]:
    return {run.info.status for run in tracked.runs(folder / "runs")}


def test_a_stage_is_seen_while_it_trains_and_a_killed_one_goes_on_in_its_run(
    tmp_path: Path, harness: Harness
) -> None:
    process = _start(tmp_path)
    run = _until(process, lambda run: "loss/total" in run.data.metrics, tmp_path)
    assert run.info.status == "RUNNING"
    assert not list((tmp_path / "runs/records").glob("*.json"))
    assert _statuses(tmp_path) == {"RUNNING"}  # the table and the row, too
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    seen = _steps(tmp_path, run.info.run_id)
    assert seen == list(range(len(seen)))
    assert _statuses(tmp_path) == {"RUNNING"}

    assert harness("status")[0] == 0  # any next command
    assert _statuses(tmp_path) == {"KILLED"}
    assert not list((tmp_path / "runs/claims").glob("mlflow-live-*"))

    assert harness(*RUN, *EPOCHS)[0] == 0
    again = _stage(tmp_path)
    assert again.info.run_id == run.info.run_id
    assert again.info.start_time == run.info.start_time
    assert again.info.end_time > run.info.start_time
    assert _statuses(tmp_path) == {"FINISHED"}
    assert sorted(_steps(tmp_path, run.info.run_id)) == list(range(30))  # none twice, none missing
    assert len(tracked.runs(tmp_path / "runs")) == 3
    record = json.loads(next((tmp_path / "runs/records").glob("*.json")).read_text())
    assert again.data.tags["harness.digest"]
    assert again.data.metrics["loss/total"] == record["result"]["history"][-1]["loss/total"]
    written = next((tmp_path / "runs/records").glob("*.json")).stat().st_mtime
    assert abs(again.info.end_time - 1000 * written) < 20_000
    code, out, _ = harness("track", *RUN[1:], *EPOCHS)
    assert (code, "MLflow has all 2 finished runs, nothing to mirror" in out) == (0, True)


def test_a_stage_of_two_rows_is_one_run_that_their_tags_name(
    tmp_path: Path, harness: Harness
) -> None:
    (tmp_path / "shared.py").write_text(SHARED)
    assert harness("run", "shared.py", *QUICK)[0] == 0
    rows = {run.data.tags["harness.row"]: run for run in tracked.nested(tmp_path / "runs", "run")}
    stages = tracked.nested(tmp_path / "runs", "stage")
    (pretraining,) = [run for run in stages if run.data.tags["harness.phase"] == "pretrain"]
    assert len(stages) == 3
    assert pretraining.data.tags["harness.rows"] == "plain, sam"
    for row in rows.values():
        assert row.data.tags["harness.stage.pretrain"] == pretraining.info.run_id
    own = {run.data.tags["harness.stage.finetune"] for run in rows.values()}
    assert own == {run.info.run_id for run in stages} - {pretraining.info.run_id}
    assert "loss/reconstruction" in pretraining.data.metrics
    assert _steps(tmp_path, pretraining.info.run_id) == [0, 1]
    parent = pretraining.data.tags["mlflow.parentRunId"]
    assert parent == rows["sam"].info.run_id
    (table,) = [
        r for r in tracked.runs(tmp_path / "runs") if r.data.tags["harness.kind"] == "table"
    ]
    assert {run.data.tags["mlflow.parentRunId"] for run in rows.values()} == {table.info.run_id}

    # Copied afterwards to another server, it looks the same.
    (tmp_path / "runs/mlflow.db").rename(tmp_path / "live.db")
    assert "5 runs mirrored" in harness("track", "shared.py", *QUICK)[1]
    copied = tracked.runs(tmp_path / "runs")

    def facts(runs: list[Any]) -> list[tuple[str, ...]]:
        named = ("harness.name", "harness.key", "harness.digest", "harness.rows")
        return sorted(
            (r.info.run_name, r.info.status, *(r.data.tags.get(n, "") for n in named)) for r in runs
        )

    assert facts(copied) == facts([table, *rows.values(), *stages])
    # A copy's duration is that of the training.
    for run in copied:
        assert run.info.end_time > run.info.start_time


def test_what_runs_are_trained_on_and_made_by_is_in_mlflows_own_fields(
    tmp_path: Path, harness: Harness
) -> None:
    published = ["btmd" if word == "phantom-mri" else word for word in RUN]  # a phantom stands in
    short = ("--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0")
    assert harness(*published, *short)[0] == 0
    (row,) = tracked.nested(tmp_path / "runs", "run")
    record = json.loads(next((tmp_path / "runs/records").glob("*.json")).read_text())
    assert row.info.run_name == "resnet50 / phantom-mri / paper split / smoke / seed 0"
    (given,) = row.inputs.dataset_inputs
    assert given.dataset.name == "phantom-mri"
    assert given.dataset.digest == record["definition"]["data"][:36]
    assert row.data.tags["mlflow.source.name"].startswith("harness run table1 --profile smoke")
    commit = record["provenance"]["commit"]
    assert row.data.tags.get("mlflow.source.git.commit", commit) == commit
    verdicts = {n: v for n, v in row.data.tags.items() if n.startswith("harness.verdict.")}
    assert set(verdicts.values()) == {"not comparable"}, row.data.tags  # generated images
    client = tracked.client_of(tmp_path / "runs")
    experiment = client.get_experiment(row.info.experiment_id)
    assert experiment.name == "msmae-harness: table1 (smoke)"
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_an_interrupted_stage_is_killed_at_once(
    tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def epoch(self: Progress, number: int, epochs: int, figures: dict[str, float]) -> None:
        if number == 1:
            raise Stopped(signal.SIGINT)

    monkeypatch.setattr(tracking_live, "GRACE", 60.0)  # a busy machine
    monkeypatch.setattr(Progress, "epoch", epoch)
    assert harness(*RUN, *EPOCHS)[0] == 130
    assert _statuses(tmp_path) == {"KILLED"}


def test_an_encoder_is_a_model_only_when_asked(tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "shared.py").write_text(SHARED)
    command = ("shared.py", *QUICK, "--rows", "plain")
    assert harness("run", *command)[0] == 0
    (before,) = [r for r in tracked.nested(tmp_path / "runs") if "pretrain" in r.info.run_name]
    assert not before.outputs or not before.outputs.model_outputs
    for _ in range(2):  # once and for all
        assert harness("track", *command, "--log-models")[0] == 0
    client = tracked.client_of(tmp_path / "runs")
    models = list(client.search_logged_models([before.info.experiment_id]))
    assert [model.source_run_id for model in models] == [before.info.run_id]
    (model,) = models
    assert model.status == "READY"
    folder = Path(model.artifact_location.removeprefix("file://"))
    from safetensors.torch import load_file

    (whole,) = [
        load_file(path)
        for path in (tmp_path / "runs/weights").iterdir()
        if path.stem == before.data.tags["harness.key"]
    ]
    encoder = load_file(folder / "encoder.safetensors")
    assert encoder.keys() == {n[8:] for n in whole if n.startswith("encoder.")}
    assert all((encoder[name] == whole[f"encoder.{name}"]).all() for name in encoder)
    from mlflow.models import Model

    signature = Model.load(str(folder / "MLmodel")).signature
    assert signature.inputs.to_dict()[0]["tensor-spec"]["shape"][:2] == (-1, 3)


def test_a_server_that_refuses_neither_ends_nor_slows_a_training(
    tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    code, out, err = harness(*RUN, "--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0")
    assert (code, "1 stage trained" in out) == (0, True)
    assert err.count("stages are not shown live: MLflow at http://127.0.0.1:1 cannot be") == 1
    assert not (tmp_path / "runs/claims").exists() or not list(
        (tmp_path / "runs/claims").glob("mlflow-live-*")
    )
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    later = ("track", *RUN[1:], "--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0")
    assert "2 runs mirrored" in harness(*later)[1]


def test_a_run_that_a_living_process_has_open_is_left_alone(store: Path) -> None:
    from harness.report import tracking
    from tests.report.mirrors import mirror

    run = mirror(store)
    assert tracking.mirror("table1", "smoke", [run], [], folder=store).written == 1
    client = tracked.client_of(store)
    (child,) = tracked.nested(store)
    owner = tracking_owner.new()
    for name, value in ((tracking_owner.OWNER, owner), ("harness.digest", "")):
        client.set_tag(child.info.run_id, name, value)
    client.update_run(child.info.run_id, status="RUNNING")
    with claim.claim(store, owner):
        assert tracking.mirror("table1", "smoke", [run], [], folder=store).written == 0
        assert tracking_owner.end_abandoned(store) == 0
        assert [r.info.status for r in tracked.nested(store)] == ["RUNNING"]
        assert tracking_ledger.pending([run], store) == [run]
    assert tracking_owner.end_abandoned(store) == 1
    assert [r.info.status for r in tracked.nested(store)] == ["KILLED"]


def test_a_run_that_is_completed_later_ends_when_its_training_did(
    tmp_path: Path, harness: Harness
) -> None:
    """A copy that was killed before its end is completed by the next command, hours later."""
    assert harness(*RUN, *QUICK)[0] == 0
    client = tracked.client_of(tmp_path / "runs")
    ended = {run.info.run_id: run.info.end_time for run in tracked.nested(tmp_path / "runs")}
    for run_id in ended:
        client.delete_tag(run_id, "harness.digest")
        client.set_terminated(run_id, "KILLED", end_time=ended[run_id] + 36_000_000)
    harness("track", *RUN[1:], *QUICK)
    for run in tracked.nested(tmp_path / "runs"):
        assert run.info.status == "FINISHED"
        assert abs(run.info.end_time - ended[run.info.run_id]) < 20_000


def test_probes_are_figures_of_their_row_and_no_runs(tmp_path: Path, harness: Harness) -> None:
    rows = ("run", "table1", "--profile", "smoke", "--datasets", "phantom-mri", "--rows", "mae")
    assert harness(*rows, *QUICK, "--probes")[0] == 0
    (row,) = tracked.nested(tmp_path / "runs", "run")
    probes = {name for name in row.data.metrics if name.startswith("probe/")}
    assert {"probe/linear/accuracy", "probe/knn/accuracy"} <= probes
    assert "last/accuracy" in row.data.metrics
    assert len(tracked.nested(tmp_path / "runs", "stage")) == 2
