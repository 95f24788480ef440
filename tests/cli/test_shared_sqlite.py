"""Files of SQLite that several hosts would write to are refused before anything is trained."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness import mounts, sqlite
from harness.execute import queue
from harness.execute.launch import LaunchOptions
from harness.report import tracking_server
from harness.sweep import storage
from tests import prepared
from tests.conftest import Harness
from tests.sweep.sweeps import QUICK, SWEEP

RUN = ("run", "table1", "--profile", "smoke", "--datasets", "phantom-mri", "--rows", "vit")
SWEEP_WORDS = ("sweep", "small.py", *QUICK, "--trials", "1")
ONE_EPOCH = ("--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0")


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, of which Linux says that it is on NFS."""
    table = tmp_path.with_name(f"{tmp_path.name}-mounts")
    table.write_text(
        f"22 1 254:0 / / rw - ext4 /dev/vda rw\n40 22 0:40 / {tmp_path} rw - nfs4 server:/home rw\n"
    )
    monkeypatch.setattr(mounts, "TABLE", table)
    (tmp_path / "small.py").write_text(SWEEP)
    prepared.ensure(tmp_path / "data")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "what", "server"),
    [
        (RUN, "MLflow's database", "`mlflow server --host 0.0.0.0 "),
        (("track", *RUN[1:]), "MLflow's database", "`mlflow server --host 0.0.0.0 "),
        (SWEEP_WORDS, "The Optuna storage", "`docker compose -f docs/compose.yaml up -d`"),
        ((*SWEEP_WORDS, "--track", "off"), "The Optuna storage", "--storage postgresql+psycopg://"),
        ((*SWEEP_WORDS, "--storage", "sqlite:////tmp/a.db"), "MLflow's database", "MLFLOW_TRACK"),
    ],
)
def test_a_file_on_a_network_is_refused_in_one_line(
    network: Path, harness: Harness, words: Sequence[str], what: str, server: str
) -> None:
    code, _, err = harness(*words)
    assert code == 2
    last = err.splitlines()[-1]
    assert f"{what} ({network}/runs/" in last
    assert f"it is on a file system of a network (nfs4, mounted at {network})" in last
    assert server in last
    assert "set HARNESS_SQLITE_SHARED=1" in last
    assert not (network / "runs/records").exists()
    assert not list(network.glob("runs/*.db"))


def test_who_knows_the_locks_goes_on(
    network: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = harness(*RUN, *ONE_EPOCH, "--track", "off")  # no database is used
    assert code == 0, err
    monkeypatch.setenv(sqlite.TRUSTED, "yes")
    assert harness("track", *RUN[1:], *ONE_EPOCH)[0] == 2
    monkeypatch.setenv(sqlite.TRUSTED, "1")
    code, _, err = harness("track", *RUN[1:], *ONE_EPOCH)
    assert code == 0, err
    assert (network / "runs/mlflow.db").exists()


def test_servers_and_memory_are_no_files(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("postgresql+psycopg://a@b/c", "sqlite://", "sqlite:///:memory:", "sqlite"):
        storage.check_place(url, several_hosts=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    tracking_server.check_place(network / "runs", several_hosts=True)


def _programs(folder: Path, patch: pytest.MonkeyPatch, nodes: str, code: int = 0) -> None:
    """Put programs of Slurm on the path, of which ``sinfo`` names nodes."""
    folder.mkdir()
    for name in ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo"):
        path = folder / name
        path.write_text(f"#!/bin/sh\nprintf '{nodes}'\nexit {code}\n")
        path.chmod(0o755)
    patch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_jobs_on_other_nodes_make_a_local_file_shared(
    tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: pip install submitit")
    _programs(tmp_path / "bin", monkeypatch, "node1\\nnode2\\n")
    prepared.ensure(tmp_path / "data")
    code, _, err = harness(*RUN, "--launcher", "slurm", "--jobs", "2")
    assert code == 2
    assert "MLflow's database" in err.splitlines()[-1]
    assert "hold between hosts: the workers run on other hosts. Start a server" in err


@pytest.mark.parametrize(
    ("nodes", "code", "others"),
    [
        ("this\\nthis\\n", 0, False),  # a line for each partition
        ("this.example.org\\n", 0, False),
        ("this\\nthat\\n", 0, True),
        ("that\\n", 0, True),
        ("", 1, True),  # Slurm does not say
    ],
)
def test_a_cluster_of_this_host_alone_has_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodes: str, code: int, others: bool
) -> None:
    _programs(tmp_path / "bin", monkeypatch, nodes, code)
    monkeypatch.setattr("socket.gethostname", lambda: "this.lab.org")
    assert queue.has_other_nodes() is others


def test_launchers_of_this_machine_have_one_host() -> None:
    for options in (LaunchOptions(), LaunchOptions(jobs=2), LaunchOptions(launcher="local")):
        assert not options.several_hosts
