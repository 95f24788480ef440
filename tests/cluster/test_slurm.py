"""Tables of a real Slurm are those of one process, also where jobs are cancelled or queued again.

The short form trains few rows. ``HARNESS_SLURM=whole`` trains the whole smoke Table 1 of one data
set, once by one process and once by Slurm.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import prepared
from tests.cluster import runs, slurm

pytest.importorskip("submitit", reason="submitit is not installed: pip install submitit")
WHY = slurm.missing()
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.skipif(WHY is not None, reason=str(WHY)),
]

WHOLE = os.environ.get("HARNESS_SLURM") == "whole"
RUN = ("run", "table1", "--profile", "smoke", "--track", "off")
SHORT = (*RUN, "--datasets", "phantom-mri", "--rows", "vit,swin,mae")
EPOCHS = ("--set", "recipe.epochs=8", "--set", "recipe.warmup_epochs=0")
TABLE = (*RUN, "--datasets", "btmd") if WHOLE else (*SHORT, *EPOCHS)
LIMIT = 3000 if WHOLE else 420
SLURM = ("--launcher", "slurm", "--jobs", "2")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with (
        slurm.started(tmp_path_factory.mktemp("slurm")) as environment,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


STARTED: list[subprocess.Popen[str]] = []
"""Processes of the test that runs."""


@pytest.fixture(autouse=True)
def no_process_left(cluster: None) -> Iterator[None]:
    yield
    for process in STARTED:
        if process.poll() is None:  # the test has failed
            process.kill()
            process.communicate()
    STARTED.clear()


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    if not (folder / "data").exists():
        prepared.ensure(folder / "data")
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


def _run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    out, err = (process := _start(folder, *arguments)).communicate(timeout=LIMIT)
    return process.returncode, out, err


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    return {p.stem: json.loads(p.read_text()) for p in (folder / "runs/records").iterdir()}


def _queue() -> dict[str, str]:
    """Return the state of each job that has not ended."""
    lines = slurm.ask("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
    found: dict[str, str] = {}
    for line in lines:
        name, state = line.split()
        found[name] = state
    return found


def test_a_cancelled_job_and_a_drained_node_lose_nothing(cluster: None, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "slurm"
    code, out, err = _run(one, *TABLE)
    assert code == 0, err
    process = _start(two, *TABLE, *SLURM)
    slurm.until(lambda: process.poll() is not None or len(_checkpoints(two)) > 1, LIMIT)
    jobs = sorted(name for name, state in _queue().items() if state == "RUNNING")
    assert len(jobs) == 2, jobs
    lines = _harness_status(two)
    assert all(
        re.search(rf"^job +{job} \(slurm\): RUNNING on \S+ for ", lines, re.M) for job in jobs
    )

    slurm.ask("scancel", jobs[0])
    slurm.until(lambda: jobs[0] not in _queue())
    node = slurm.ask("sinfo", "--noheader", "--format=%n")
    slurm.ask("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
    slurm.ask("scontrol", "requeue", jobs[1])
    slurm.until(lambda: _queue().get(jobs[1]) == "PENDING")
    slurm.until(lambda: not runs.claims(two))  # what it trained is free
    assert re.search(rf"{jobs[1]} \(slurm\): PENDING", _harness_status(two))
    slurm.ask("scontrol", "update", f"NodeName={node}", "State=RESUME")

    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    assert f"(job {jobs[0]}) ended without a result; 1 still running" in err
    alone, shared = _records(one), _records(two)
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
    assert not runs.claims(two)
    assert _queue() == {}
    assert "slurm" not in _harness_status(two)


def _checkpoints(folder: Path) -> list[Path]:
    return list((folder / "runs").glob("checkpoints/*.pt"))


def _harness_status(folder: Path) -> str:
    code, out, err = _run(folder, "status")
    assert code == 0, err
    return out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_command_cancels_its_jobs(
    cluster: None, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    long = ("--set", "recipe.epochs=900", "--set", "recipe.warmup_epochs=0", "--rows", "vit,swin")
    process = _start(tmp_path, *RUN, "--datasets", "phantom-mri", *long, *SLURM)
    slurm.until(lambda: process.poll() is not None or len(_checkpoints(tmp_path)) == 2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert err.splitlines()[-1].endswith("the same command continues from the last checkpoint.")
    assert _queue() == {}
    assert not runs.claims(tmp_path)
    assert not list((tmp_path / "runs/jobs").glob("*.submitted.json"))


def test_sigterm_and_the_time_limit_queue_a_job_again(cluster: None, tmp_path: Path) -> None:
    """As preemption does (SIGTERM), and as Slurm tells of the end of a job's time (SIGUSR2)."""
    process = _start(tmp_path, *SHORT, *EPOCHS, "--rows", "vit,swin", *SLURM)
    slurm.until(lambda: process.poll() is not None or len(_checkpoints(tmp_path)) == 2)
    first, second = sorted(_queue())
    slurm.ask("scancel", "--signal=TERM", first)
    slurm.ask("scancel", "--signal=USR2", second)
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    assert "2 stages trained, 0 found done, 0 failed" in out
    assert "ended" not in err
    for name in (first, second):
        log = (tmp_path / f"runs/jobs/{name}_0_log.out").read_text()
        assert log.count("Starting with JobEnvironment") == 2, log
    said = runs.epochs(tmp_path)
    assert set(said.values()) == {1}


def test_workers_share_a_node_of_their_job(cluster: None, tmp_path: Path) -> None:
    short = ("--set", "recipe.epochs=2", "--set", "recipe.warmup_epochs=0", "--rows", "vit,swin")
    code, out, err = _run(
        tmp_path, *RUN, "--datasets", "phantom-mri", *short, *SLURM, "--nodes", "1", "--time", "9"
    )
    assert code == 0, err
    assert "2 stages trained" in out
    assert "2 workers are submitted as 1 jobs" in err
    (one, two) = sorted((tmp_path / "runs/jobs").glob("*_[01]_log.out"))[-2:]
    assert one.name.split("_")[0] == two.name.split("_")[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--partition", "nowhere"),
            "The jobs are refused: sbatch: error: invalid partition specified: nowhere; sbatch:"
            " error: Batch job submission failed: Invalid partition name specified; there are main"
            " (up, at most 1-00:00:00), short (up, at most 10:00); choose with --partition",
        ),
        (("--partition", "short", "--time", "1:00:00"), "would never start: Slurm says Partition"),
        (("--slurm", "no_such_option=1"), "unrecognized option '--no-such-option=1'"),
        (("--gpus", "1"), "The jobs are refused: "),
    ],
)
def test_what_slurm_refuses_is_one_line(
    cluster: None, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    code, _, err = _run(tmp_path, *SHORT, *EPOCHS, *SLURM, *words)
    assert code == 2, err
    assert message in err
    assert len([line for line in err.splitlines() if "harness:" in line or "Error" in line]) == 1
    assert "Traceback" not in err
    assert not (tmp_path / "runs/records").exists()
    slurm.until(lambda: _queue() == {})


def test_a_store_that_nodes_do_not_see_is_found_before_training(
    cluster: None, tmp_path: Path
) -> None:
    """The command alone sees a disk that is mounted over its store."""
    store = tmp_path / "runs"
    store.mkdir()
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
        pytest.skip("no mount namespace can be made here")
    command = f'mount -t tmpfs none "{store}" && exec "$@"'
    harness = [sys.executable, "-m", "harness", *SHORT, *EPOCHS, *SLURM]
    prepared.ensure(tmp_path / "data")
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command, "sh", *harness],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert ran.returncode == 2, ran.stderr
    assert f"The run store {store} cannot be used by jobs: the probe, job" in ran.stderr
    assert "at the same path on every node" in ran.stderr
    assert "workers are submitted" not in ran.stderr
    slurm.until(lambda: _queue() == {})
