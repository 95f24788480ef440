"""The mirror in MLflow: a real store, no duplicates, nothing left RUNNING, also after a kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.report import tracking, tracking_ledger, tracking_server
from tests.conftest import ROOT, Harness
from tests.report.mirrors import mirror
from tests.report.tracked import client_of, nested, runs

pytestmark = pytest.mark.slow


def test_one_parent_a_table_and_one_child_a_run(store: Path) -> None:
    mirrors = [
        mirror(store),
        mirror(store, name="amt / btmd / seed 0", key="cd" * 32, status="failed"),
    ]
    table = store / "table1.md"
    table.write_text("| |")
    assert tracking.mirror("table1", "smoke", mirrors, [table], folder=store).written == 2
    found = runs(store)
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    children = {run.data.tags["harness.name"]: run for run in nested(store)}
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
    client = client_of(store)
    history = client.get_metric_history(child.info.run_id, "loss/total")
    assert [(m.step, m.value) for m in history] == [(0, 2.0), (1, 1.5)]
    assert [f.path for f in client.list_artifacts(child.info.run_id)] == ["record.json"]
    assert [f.path for f in client.list_artifacts(parents[0].info.run_id, "table")] == [
        "table/table1.md"
    ]


def test_again_adds_nothing_and_changes_replace(store: Path) -> None:
    run = mirror(store)
    assert tracking.mirror("table1", "smoke", [run], [], folder=store).written == 1
    assert tracking_ledger.pending([run], store) == []
    assert tracking.mirror("table1", "smoke", [run], [], folder=store).written == 0
    assert len(runs(store)) == 2
    changed = replace(run, digest="2", metrics={"last/accuracy": 0.5})
    assert tracking_ledger.pending([changed], store) == [changed]
    assert tracking.mirror("table1", "smoke", [changed], [], folder=store).written == 1
    (child,) = nested(store)
    assert child.data.metrics["last/accuracy"] == 0.5


def test_a_lost_ledger_makes_no_duplicates(store: Path) -> None:
    run = mirror(store)
    tracking.mirror("table1", "smoke", [run], [], folder=store)
    (store / tracking_ledger.LEDGER).write_text("{ trunc")
    assert tracking_ledger.pending([run], store) == [run]
    assert tracking.mirror("table1", "smoke", [run], [], folder=store).written == 0
    assert len(runs(store)) == 2


def test_another_server_gets_its_own_copy(
    store: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = mirror(store)
    tracking.mirror("table1", "smoke", [run], [], folder=store)
    shutil.copy(empty_database, store / "elsewhere.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/elsewhere.db")
    assert tracking_ledger.pending([run], store) == [run]
    assert tracking.mirror("table1", "smoke", [run], [], folder=store).written == 1
    # an address may hold a secret
    assert "elsewhere" not in (store / tracking_ledger.LEDGER).read_text()


KILLED = """
import sys
from pathlib import Path
from harness.report import tracking, tracking_runs
from tests.report.mirrors import mirror
folder = Path(sys.argv[1])
finish = tracking_runs.log
def slow(client, run_id, run):
    finish(client, run_id, run)
    (folder / "inside").write_text("")
    import time
    time.sleep(60)
tracking_runs.log = slow
tracking.mirror("table1", "smoke", [mirror(folder)], [], folder=folder)
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
    assert {run.info.status for run in runs(tmp_path)} == {"RUNNING"}
    assert tracking.mirror("table1", "smoke", [mirror(tmp_path)], [], folder=tmp_path).written == 1
    assert [run.info.status for run in runs(tmp_path)] == ["FINISHED", "FINISHED"]


def test_a_server_that_cannot_be_reached_is_one_line(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store / "file").write_text("")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/file/mlflow.db")
    with pytest.raises(
        UserError, match="cannot be used.*`harness track` mirrors later.*--track off"
    ):
        tracking.mirror("table1", "smoke", [mirror(store)], [], folder=store)


def test_the_command_mirrors_later_and_only_once(tmp_path: Path, harness: Harness) -> None:
    select = ["table1", "--profile", "smoke", "--datasets", "phantom-mri", "--rows", "resnet50"]
    select += ["--set", "recipe.epochs=1"]

    def said(*arguments: str) -> str:
        code, out, err = harness(*arguments)
        assert code == 0, err
        return out

    said("run", *select, "--track", "off")
    assert not (tmp_path / "runs/mlflow.db").exists()
    assert "2 runs mirrored" in said("track", *select)
    assert "MLflow has all 2 finished runs, nothing to mirror" in said("track", *select)
    assert "mirrored" not in said("run", *select)
    statuses = [run.info.status for run in runs(tmp_path / "runs")]
    assert statuses == ["FINISHED"] * 3  # of the table, the row and its stage
    (child,) = nested(tmp_path / "runs", "run")
    artifacts = client_of(tmp_path / "runs").list_artifacts(child.info.run_id)
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
    while not any(p.stat().st_size > 50_000 for p in tmp_path.glob("*.new")):  # some tables
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.0005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / tracking_server.DATABASE).exists()
    assert tracking.mirror("table1", "smoke", [mirror(tmp_path)], [], folder=tmp_path).written == 1
    assert len(list(nested(tmp_path))) == 1
    assert not list(tmp_path.glob("*.new*"))


def test_a_database_that_was_removed_is_written_anew_whenever_it_is(store: Path) -> None:
    run = mirror(store)
    other = mirror(store, "amt / btmd / seed 0", key="cd" * 32)
    for _ in range(2):  # in one process, as in a long sweep
        assert tracking.mirror("table1", "smoke", [run], [], folder=store).written == 1
        assert tracking_ledger.pending([run], store) == []
        (store / tracking_server.DATABASE).unlink()
        assert tracking_ledger.pending([run, other], store) == [run, other]
    assert tracking.mirror("table1", "smoke", [other], [], folder=store).written == 1
    assert tracking_ledger.pending([run, other], store) == [run]
