"""The mirror in MLflow: a real store, no duplicates, nothing left RUNNING, also after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.report import tracking, tracking_ledger, tracking_server
from tests.conftest import ROOT, Harness
from tests.report.mirrors import mirror

pytestmark = pytest.mark.slow


def _store(folder: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking_server.uri_of(folder))


def _runs(folder: Path) -> list[Any]:
    client = _store(folder)
    experiment = client.get_experiment_by_name(tracking_server.EXPERIMENT)
    return list(client.search_runs([experiment.experiment_id]))


def _children(folder: Path) -> Iterator[Any]:
    return (run for run in _runs(folder) if "mlflow.parentRunId" in run.data.tags)


def test_one_parent_a_table_and_one_child_a_run(tmp_path: Path) -> None:
    runs = [
        mirror(tmp_path),
        mirror(tmp_path, name="amt / btmd / seed 0", key="cd" * 32, status="failed"),
    ]
    table = tmp_path / "table1.md"
    table.write_text("| |")
    assert tracking.mirror("table1", "smoke", runs, [table], folder=tmp_path).written == 2
    found = _runs(tmp_path)
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    children = {run.data.tags["harness.name"]: run for run in _children(tmp_path)}
    assert len(parents) == 1
    assert parents[0].info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {
        parents[0].info.run_id
    }
    child = children["mae / btmd / seed 0"]
    assert child.info.status == "FINISHED"
    assert children["amt / btmd / seed 0"].info.status == "FAILED"
    assert child.data.params["pretrain.recipe.base_lr"] == "0.001"
    assert child.data.metrics == {"last/accuracy": 0.75, "loss/total": 1.5}
    assert child.data.tags["harness.commit"] == "c" * 40
    client = _store(tmp_path)
    history = client.get_metric_history(child.info.run_id, "loss/total")
    assert [(m.step, m.value) for m in history] == [(0, 2.0), (1, 1.5)]
    assert [f.path for f in client.list_artifacts(child.info.run_id)] == ["record.json"]
    assert [f.path for f in client.list_artifacts(parents[0].info.run_id, "table")] == [
        "table/table1.md"
    ]


def test_again_adds_nothing_and_changes_replace(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", PLAIN, str(tmp_path)], cwd=ROOT, check=True)
    run = mirror(tmp_path)
    assert tracking_ledger.pending([run], tmp_path) == []
    assert tracking.mirror("table1", "smoke", [run], [], folder=tmp_path).written == 0
    assert len(_runs(tmp_path)) == 2
    changed = replace(run, digest="2", metrics={"last/accuracy": 0.5})
    assert tracking_ledger.pending([changed], tmp_path) == [changed]
    assert tracking.mirror("table1", "smoke", [changed], [], folder=tmp_path).written == 1
    (child,) = _children(tmp_path)
    assert child.data.metrics["last/accuracy"] == 0.5


def test_a_lost_ledger_makes_no_duplicates(tmp_path: Path) -> None:
    run = mirror(tmp_path)
    tracking.mirror("table1", "smoke", [run], [], folder=tmp_path)
    (tmp_path / tracking_ledger.LEDGER).write_text("{ trunc")
    assert tracking_ledger.pending([run], tmp_path) == [run]
    assert tracking.mirror("table1", "smoke", [run], [], folder=tmp_path).written == 0
    assert len(_runs(tmp_path)) == 2


def test_another_server_gets_its_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = mirror(tmp_path)
    tracking.mirror("table1", "smoke", [run], [], folder=tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    assert tracking_ledger.pending([run], tmp_path) == [run]
    assert tracking.mirror("table1", "smoke", [run], [], folder=tmp_path).written == 1
    assert (tmp_path / "elsewhere.db").exists()
    # an address may hold a secret
    assert "elsewhere" not in (tmp_path / tracking_ledger.LEDGER).read_text()


KILLED = """
import sys
from pathlib import Path
from harness.report import tracking as track
from tests.report.mirrors import mirror
folder = Path(sys.argv[1])
finish = track._log
def slow(client, run_id, run):
    finish(client, run_id, run)
    (folder / "inside").write_text("")
    import time
    time.sleep(60)
track._log = slow
track.mirror("table1", "smoke", [mirror(folder)], [], folder=folder)
"""


def test_a_kill_in_the_middle_leaves_nothing_running(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT)
    limit = time.monotonic() + 60
    while not (tmp_path / "inside").exists():
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert {run.info.status for run in _runs(tmp_path)} == {"RUNNING"}
    assert tracking.mirror("table1", "smoke", [mirror(tmp_path)], [], folder=tmp_path).written == 1
    assert [run.info.status for run in _runs(tmp_path)] == ["FINISHED", "FINISHED"]


def test_a_server_that_cannot_be_reached_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    with pytest.raises(
        UserError, match="cannot be used.*`harness track` mirrors later.*--track off"
    ):
        tracking.mirror("table1", "smoke", [mirror(tmp_path)], [], folder=tmp_path)


def test_the_command_mirrors_later_and_only_once(tmp_path: Path, harness: Harness) -> None:
    select = ["table1", "--profile", "smoke", "--datasets", "phantom-mri", "--rows", "resnet50"]
    select += ["--set", "recipe.epochs=1"]

    def said(*arguments: str) -> str:
        code, out, err = harness(*arguments)
        assert code == 0, err
        return out

    said("run", *select, "--track", "off")
    assert not (tmp_path / "runs/mlflow.db").exists()
    assert "1 runs mirrored" in said("track", *select)
    assert "MLflow has all 1 finished runs, nothing to mirror" in said("track", *select)
    assert "mirrored" not in said("run", *select)
    statuses = [run.info.status for run in _runs(tmp_path / "runs")]
    assert statuses == ["FINISHED", "FINISHED"]
    (child,) = _children(tmp_path / "runs")
    artifacts = _store(tmp_path / "runs").list_artifacts(child.info.run_id)
    assert [a.path.endswith(".json") for a in artifacts] == [True]
    assert not (tmp_path / "mlruns").exists()


PLAIN = """
import sys
from pathlib import Path
from harness.report import tracking as track
from tests.report.mirrors import mirror
track.mirror("table1", "smoke", [mirror(Path(sys.argv[1]))], [], folder=Path(sys.argv[1]))
"""


def test_a_kill_while_the_database_is_made_leaves_no_half_of_it(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", PLAIN, str(tmp_path)], cwd=ROOT)
    limit = time.monotonic() + 60
    made = tmp_path / f"{tracking_server.DATABASE}.new"
    while not (made.exists() and made.stat().st_size > 50_000):  # some of the tables
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.0005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / tracking_server.DATABASE).exists()
    assert tracking.mirror("table1", "smoke", [mirror(tmp_path)], [], folder=tmp_path).written == 1
    assert len(list(_children(tmp_path))) == 1
    assert not list(tmp_path.glob("*.new*"))


def test_a_database_that_was_removed_is_written_anew(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", PLAIN, str(tmp_path)], cwd=ROOT, check=True)
    run = mirror(tmp_path)
    assert tracking_ledger.pending([run], tmp_path) == []
    (tmp_path / tracking_server.DATABASE).unlink()
    other = mirror(tmp_path, "amt / btmd / seed 0", key="cd" * 32)
    assert tracking_ledger.pending([run, other], tmp_path) == [run, other]
    assert tracking.mirror("table1", "smoke", [other], [], folder=tmp_path).written == 1
    assert tracking_ledger.pending([run, other], tmp_path) == [run]
