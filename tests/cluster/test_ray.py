"""Tables of a real Ray are those of one process, also where a worker is killed.

The short form trains few rows. ``HARNESS_RAY=whole`` trains the whole smoke Table 1 of one data
set, once by one process and once by Ray.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import prepared
from tests.cluster import runs
from tests.cluster.slurm import until

pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
pytestmark = [pytest.mark.ray, pytest.mark.slow]

WHOLE = os.environ.get("HARNESS_RAY") == "whole"
RUN = ("run", "table1", "--profile", "smoke", "--track", "off", "--datasets", "phantom-mri")
NO_WARMUP = ("--set", "recipe.warmup_epochs=0")
FEW = (*RUN, "--rows", "vit,swin,mae", "--set", "recipe.epochs=8", *NO_WARMUP)
TABLE = RUN if WHOLE else FEW
LONG = (*RUN, "--rows", "vit,swin", "--set", "recipe.epochs=900", *NO_WARMUP)
LIMIT = 3000 if WHOLE else 420
RAY = ("--launcher", "ray", "--jobs", "2")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two nodes on this machine, each with one CPU."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        handler = signal.getsignal(signal.SIGTERM)
        own = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0})
        try:
            own.add_node(num_cpus=1, num_gpus=0)
            yield own.address
        finally:
            own.shutdown()
            signal.signal(signal.SIGTERM, handler)


@pytest.fixture(autouse=True)
def no_process_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield
    runs.end_all()


def test_a_killed_worker_loses_nothing(cluster: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "ray"
    code, _, err = _run(one, *TABLE)
    assert code == 0, err
    process = runs.start(two, *TABLE, *RAY, RAY_ADDRESS=cluster)
    until(lambda: process.poll() is not None or len(runs.checkpoints(two)) > 1, LIMIT)
    killed = runs.owner(two, runs.checkpoints(two)[0])
    assert _task_of(killed).pid != process.pid
    os.kill(killed, signal.SIGKILL)
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    assert "2 nodes of Ray: is " in err
    assert "(Ray) ended by SIGKILL; 1 still running; its log is " in err
    alone, shared = runs.records(one), runs.records(two)
    assert shared.keys() == alone.keys()
    for key, record in shared.items():
        assert record["status"] == "done"
        assert record["result"] == alone[key]["result"]
        assert record["provenance"]["device"]["threads"] == 1
        assert "attempts" not in record["provenance"]
    assert f"{len(shared)} stages trained, 0 found done, 0 failed" in out
    # No epoch that a log names stands there twice, and every stage stands there.
    said = runs.epochs(two)
    assert set(said.values()) == {1}
    assert len({stage for stage, _ in said}) == len(shared)
    assert len(list((two / "runs/jobs").glob("ray-*_log.out"))) == 2
    assert not runs.claims(two)
    assert not list((two / "runs/jobs").glob("*.token"))


def test_a_killed_task_of_ray_stops_its_worker(cluster: str, tmp_path: Path) -> None:
    few = ("--rows", "vit,swin", "--set", "recipe.epochs=12", *NO_WARMUP)
    process = runs.start(tmp_path, *RUN, *few, *RAY, RAY_ADDRESS=cluster)
    until(lambda: process.poll() is not None or len(runs.checkpoints(tmp_path)) > 1)
    worker = runs.owner(tmp_path, runs.checkpoints(tmp_path)[0])
    os.kill(_task_of(worker).pid, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(worker))
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    assert "(Ray) ended without a result (" in err
    assert "2 stages trained, 0 found done, 0 failed" in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_command_ends_its_workers(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Here with Ray on this machine, which the command starts and ends."""
    process = runs.start(tmp_path, *LONG, *RAY)
    until(lambda: process.poll() is not None or len(runs.checkpoints(tmp_path)) > 1)
    workers = [runs.owner(tmp_path, path) for path in runs.checkpoints(tmp_path)]
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert err.splitlines()[-1].endswith("the same command continues from the last checkpoint.")
    assert "Traceback" not in err
    assert not [pid for pid in workers if psutil.pid_exists(pid)]
    assert not runs.claims(tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--jobs", "3"),
            "The Ray cluster has room for 2 of 3 workers with 1 CPU each: it has 2 CPUs and 0 GPUs"
            " on 2 nodes; give --jobs 2, or add nodes.",
        ),
        (
            ("--gpus", "2"),
            "has room for 0 of 2 workers with 1 CPU and 2 GPUs each: it has 2 CPUs and 0 GPUs on 2"
            " nodes; give fewer threads (OMP_NUM_THREADS) or --gpus",
        ),
    ],
)
def test_a_cluster_that_is_too_small_is_one_line(
    cluster: str, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    code, _, err = _run(tmp_path, *FEW, *RAY, *words, RAY_ADDRESS=cluster)
    assert code == 2, err
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "runs/records").exists()


def test_a_store_that_a_node_does_not_see_is_found_before_training(
    cluster: str, tmp_path: Path
) -> None:
    """The command alone sees a disk that is mounted over its store."""
    store = tmp_path / "runs"
    store.mkdir()
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
        pytest.skip("no mount namespace can be made here")
    prepared.ensure(tmp_path / "data")
    command = f'mount -t tmpfs none "{store}" && exec "$@"'
    ran = subprocess.run(
        [
            "unshare",
            "--mount",
            "sh",
            "-c",
            command,
            "sh",
            sys.executable,
            "-m",
            "harness",
            *FEW,
            *RAY,
        ],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "RAY_ADDRESS": cluster},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert ran.returncode == 2, ran.stderr
    assert f"The run store {store} cannot be used by node " in ran.stderr
    assert "No such file or directory" in ran.stderr
    assert "at the same path on every node" in ran.stderr
    assert "run as tasks" not in ran.stderr


def _run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    process = runs.start(folder, *arguments, **environment)
    out, err = process.communicate(timeout=LIMIT)
    return process.returncode, out, err


def _task_of(worker: int) -> psutil.Process:
    """Return the process of Ray in which a worker was started."""
    task = psutil.Process(worker).parent()
    assert task is not None
    assert "ray::" in " ".join(task.cmdline())
    return task
