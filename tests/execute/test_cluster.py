"""Launchers through submitit: options, what is refused before anything is planned, and local jobs.

A real Slurm is in ``tests/cluster``; here its commands are imitated by scripts.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness import packages
from harness.errors import UserError
from harness.execute import launch, queue
from harness.execute.cluster import ClusterOptions, minutes_of
from harness.execute.launch import LaunchOptions
from harness.execute.launchers.ray import Size, address
from harness.execute.launchers.slurm import COMMANDS
from harness.interrupt import held
from harness.store import form, jobs
from harness.store.jobs import Submission
from tests import prepared
from tests.conftest import Harness

SHORT = (
    *("run", "table1", "--profile", "smoke", "--datasets", "phantom-mri", "--track", "off"),
    *("--set", "recipe.warmup_epochs=0"),
)
SLURM = ("run", "table1", "--profile", "smoke", "--launcher", "slurm")
needs_submitit = pytest.mark.skipif(
    not packages.is_installed("submitit"), reason="submitit is not installed"
)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with Slurm's commands, which do nothing, and are the only ones that are found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in COMMANDS:
        _script(folder / name, "exit 0")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        *(("90", 90), ("0:30", 1), ("1:30", 2), ("1:30:00", 90), ("1:00:01", 61)),
        *(("1-0", 1440), ("1-12", 2160), ("1-0:30", 1470), ("2-01:02:03", 2943)),
    ],
)
def test_time_limits_are_read_as_slurm_reads_them(text: str, minutes: int) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize("text", ["", "0", "0:00", "-5", "1h", "1:2:3:4", "1-", "1-2-3", "9" * 9])
def test_no_time_limits(text: str) -> None:
    with pytest.raises(UserError, match="is no time limit; give minutes"):
        minutes_of(text)


def test_without_slurm_a_line_says_what_to_install(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, err = harness(*SLURM)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "needs Slurm's commands, and sbatch is not found" in err
    assert "apt-get install slurm-client" in err


@pytest.mark.parametrize("launcher", ["slurm", "submitit-local"])
def test_without_submitit_a_line_says_what_to_install(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, commands: Path, launcher: str
) -> None:
    found = packages.is_installed
    monkeypatch.setattr(packages, "is_installed", lambda name: name != "submitit" and found(name))
    code, out, err = harness(*SLURM, "--launcher", launcher)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert 'need submitit, which is not installed: pip install "submitit>=1.5"' in err


RAY = ("run", "table1", "--profile", "smoke", "--launcher", "ray")


def test_without_ray_a_line_says_what_to_install(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = packages.is_installed
    monkeypatch.setattr(packages, "is_installed", lambda name: name != "ray" and found(name))
    code, out, err = harness(*RAY)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert 'need ray, which is not installed: pip install "ray>=2.40"' in err


def test_ray_takes_gpus_alone(harness: Harness) -> None:
    code, out, err = harness(*RAY, "--nodes", "2", "--gpus", "1")
    assert (code, out) == (2, "")
    assert "--launcher ray does not take --nodes; it takes --gpus of the options" in err


def test_an_address_at_which_no_ray_answers_is_one_line(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = packages.is_installed
    monkeypatch.setattr(packages, "is_installed", lambda name: name == "ray" or found(name))
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    prepared.ensure(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    code, _, err = harness(*SHORT, "--rows", "vit", "--launcher", "ray")
    assert code == 2, err
    assert len(err.splitlines()) == 1
    assert "No Ray cluster can be used at RAY_ADDRESS=127.0.0.1:1; start one there" in err
    assert "Connection refused" in err


@pytest.mark.parametrize(
    ("cpus", "gpus", "has", "room"),
    [
        *((1, 0, {"CPU": 2.0}, 2), (2, 0, {"CPU": 3.0, "GPU": 4.0}, 1), (1, 1, {"CPU": 9.0}, 0)),
        *((2, 1, {"CPU": 16.0, "GPU": 4.0}, 4), (2, 2, {"CPU": 16.0, "GPU": 3.0}, 1)),
    ],
)
def test_room_of_a_node_of_ray(cpus: int, gpus: int, has: dict[str, float], room: int) -> None:
    assert Size(cpus=cpus, gpus=gpus).fitting({"Resources": has}) == room


@pytest.mark.parametrize(("value", "name"), [("", None), ("local", None), ("auto", "auto")])
def test_the_address_of_ray(monkeypatch: pytest.MonkeyPatch, value: str, name: str | None) -> None:
    monkeypatch.setenv("RAY_ADDRESS", value)
    assert address() == name


def test_a_signal_that_is_held_is_handled_at_the_end() -> None:
    order: list[str] = []
    interrupted = signal.getsignal(signal.SIGINT)
    before = signal.signal(signal.SIGTERM, lambda *_: order.append("handled"))
    try:
        with held():
            signal.signal(signal.SIGINT, lambda *_: None)  # as a library does
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            order.append("inside")
        order.append("behind")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert order == ["inside", "handled", "behind"]
    assert signal.getsignal(signal.SIGINT) is interrupted


@needs_submitit
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--devices", "0"), "no CUDA device is found here"),
        (("--slurm", "partition=x"), "--slurm does not take partition; give --partition."),
        (("--slurm", "array=0-9"), "--slurm does not take array; give --nodes and --jobs."),
        (("--slurm", "gres=gpu:1"), "--slurm does not take gres; give --gpus."),
        (("--slurm", "cpus-per-task=two"), "cpus_per_task=two is no number of CPUs"),
        (("--slurm", "=x"), "'=x' is no option of sbatch; give KEY=VALUE"),
        (("--slurm", "a=1\n#SBATCH --uid=0"), "is no name"),
        (("--partition", "a\nb"), "is no name"),
        (("--time", "soon"), "'soon' is no time limit"),
        (("--nodes", "0"), "'0' is not allowed"),
        (("--gpus", "many"), "'many' is not allowed"),
        (("--jobs", "5", "--nodes", "2"), "evenly; give --jobs 4 or 6."),
        (("--nodes", "2"), "--jobs 1 cannot be shared out to --nodes 2 evenly; give --jobs 2."),
        (
            ("--launcher", "submitit-local", "--gpus", "1", "--partition", "x"),
            "does not take --partition, --gpus; it takes --time, --devices",
        ),
        (("--launcher", "local", "--nodes", "1"), "--launcher local does not take --nodes"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    harness: Harness,
    monkeypatch: pytest.MonkeyPatch,
    commands: Path,
    words: Sequence[str],
    message: str,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    code, out, err = harness(*SLURM, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


@needs_submitit
def test_cpus_of_a_worker_are_its_threads(commands: Path) -> None:
    launcher = launch.find("slurm")
    assert isinstance(launcher, launch.TakesOptions)
    options = LaunchOptions(
        launcher="slurm", cluster=ClusterOptions(slurm=(("cpus_per_task", "6"),))
    )
    assert launcher.threads(options) == 6
    assert launcher.threads(LaunchOptions(launcher="slurm")) is None


def test_the_queue_is_read(commands: Path) -> None:
    lines = ["7_0|RUNNING|1:02|n1|None", "7_1|PENDING|0:00||Nodes are DOWN, DRAINED|x"]
    _script(commands / "squeue", "\n".join(f"echo '{line}'" for line in lines))
    found = queue.squeue() or {}
    assert found["7_0"].said() == "RUNNING on n1 for 1:02"
    assert found["7_1"].said() == "PENDING (Nodes are DOWN, DRAINED|x)"
    _script(commands / "squeue", "echo no; exit 1")
    assert queue.squeue() is None


def test_status_shows_the_jobs_that_have_not_ended(harness: Harness, commands: Path) -> None:
    runs = Path("runs")
    form.mark(runs)
    kept = jobs.keep(
        runs,
        Submission(launcher="slurm", jobs=("7_0", "7_1"), host="login", pid=1, submitted=0.0),
    )
    (kept.parent / f"damaged{jobs.SUFFIX}").write_text("{")
    _script(commands / "squeue", "echo '7_1|PENDING|0:00||Resources'")
    code, out, _ = harness("status")
    assert code == 0
    assert out.splitlines()[0] == "job      7_1 (slurm): PENDING (Resources)"
    assert "7_0" not in out
    (job,) = json.loads(harness("status", "--json")[1])["jobs"]
    assert (job["name"], job["state"], job["node"]) == ("7_1", "PENDING", None)
    _script(commands / "squeue", "exit 1")
    out = harness("status")[1]
    assert "job      7_0 (slurm): submitted from login; squeue does not answer here" in out
    kept.unlink()
    assert "job " not in harness("status")[1]


def _local(folder: Path, *words: str) -> subprocess.Popen[str]:
    prepared.ensure(folder / "data")
    return subprocess.Popen(
        [sys.executable, "-m", "harness", *SHORT, "--launcher", "submitit-local", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@needs_submitit
@pytest.mark.slow
def test_local_jobs_train_each_stage_once(tmp_path: Path) -> None:
    process = _local(tmp_path, "--jobs", "2", "--set", "recipe.epochs=1", "--rows", "vit,swin,mae")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "4 stages trained, 0 found done, 0 failed" in out
    logs = list((tmp_path / "runs/jobs").glob("*_log.out"))
    assert len(logs) == 2
    lines = [line for log in logs for line in log.read_text().splitlines()]
    ends = Counter(
        found[1] for line in lines if (found := re.match(r"\[.+\] (.+): epoch 1/1", line))
    )
    assert len(ends) == 4
    assert set(ends.values()) == {1}
    assert not list((tmp_path / "runs/claims").iterdir())
    assert not list((tmp_path / "runs/jobs").glob("*.token"))


@needs_submitit
@pytest.mark.slow
def test_a_signal_stops_local_jobs_after_their_checkpoint(tmp_path: Path) -> None:
    process = _local(tmp_path, "--jobs", "2", "--set", "recipe.epochs=400", "--rows", "vit,swin")
    limit = time.monotonic() + 120
    while len(list(tmp_path.glob("runs/checkpoints/*.pt"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1].endswith("the same command continues from the last checkpoint.")
    assert "Traceback" not in err
    assert not list((tmp_path / "runs/claims").iterdir())


@needs_submitit
@pytest.mark.slow
def test_a_crash_in_a_local_job_is_a_failed_stage(tmp_path: Path) -> None:
    process = _local(tmp_path, "--jobs", "2", "--set", "recipe.epochs=200", "--rows", "vit,swin")
    limit = time.monotonic() + 120
    while not (claims := list(tmp_path.glob("runs/checkpoints/*.pt"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.1)
    claim = tmp_path / f"runs/claims/{claims[0].stem}.json"
    owner = json.loads(claim.read_text())
    assert owner["host"] == socket.gethostname()
    os.kill(owner["pid"], signal.SIGSEGV)
    record = tmp_path / f"runs/records/{claims[0].stem}.json"
    while not record.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.1)
    assert json.loads(record.read_text())["error"].startswith("its process ended by SIGSEGV")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
