"""Launchers: found by name, the only way to start work, and easily written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.errors import UserError
from harness.execute import launch
from harness.execute.launch import LaunchOptions, Work, WorkerConfig, WorkerEnd
from harness.store.record import Records
from tests import prepared

TINY = (
    *("--profile", "smoke", "--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0"),
    *("--track", "off"),
)
RUN = ("run", "table1", *TINY, "--datasets", "phantom-mri", "--rows", "vit")


class _Batch:
    """A launcher as for a cluster: each worker's input is a file, and memory is not shared."""

    shares_machine = False

    def __init__(self, *, dying: bool = False) -> None:
        self.seen: list[Work] = []
        self.dying = dying

    def run_workers(self, work: Work) -> Sequence[WorkerEnd]:
        self.seen.append(work)
        if self.dying:
            return [WorkerEnd(code=-9)] * work.count
        config = Path("config.json")
        config.write_bytes(replace(work.config, follow_input=False).to_line())
        with config.open() as stream:
            ended = subprocess.run(
                [sys.executable, "-m", "harness", *work.arguments, "--worker"],
                stdin=stream,
                check=False,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        return [WorkerEnd(code=ended.returncode)]


@pytest.fixture
def folder(own_folder: Path) -> Path:
    prepared.ensure(own_folder / "data")
    return own_folder


def _known(monkeypatch: pytest.MonkeyPatch, launcher: launch.Launcher) -> None:
    known = {**launch.launchers(), "batch": launcher}
    monkeypatch.setattr(launch, "launchers", lambda: known)


def test_the_launchers_that_ship() -> None:
    assert set(launch.launchers()) >= {"here", "local"}
    assert [LaunchOptions(jobs=n).name for n in (1, 2)] == ["here", "local"]
    assert LaunchOptions(launcher="local").name == "local"


def test_this_process_has_one_job() -> None:
    with pytest.raises(UserError, match="this process only; leave --jobs 3 out"):
        LaunchOptions(jobs=3, launcher="here")


@pytest.mark.parametrize("command", [("run", "table1"), ("sweep", "sweep_masking")])
def test_an_unknown_launcher_is_refused_first(
    command: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--launcher", "locl"]) == 2
    out, err = capsys.readouterr()
    assert "No launcher 'locl'. Did you mean 'local'?" in err
    assert out == ""


def test_a_config_says_the_same_to_a_worker() -> None:
    config = WorkerConfig(threads=3, failed={"a": "b"}, lost={"s": [1, 2]}, follow_input=False)
    assert WorkerConfig.from_line(config.to_line()) == config


@pytest.mark.slow
def test_a_launcher_of_ones_own_trains_a_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = _Batch()
    _known(monkeypatch, batch)
    assert main([*RUN, "--launcher", "batch", "--jobs=4"]) == 0
    out = capsys.readouterr().out
    assert "1 stage trained, 0 found done, 0 failed" in out
    (work,) = batch.seen
    assert tuple(work.arguments) == RUN
    assert work.count == 1  # as many as there are stages
    assert main([*RUN, "--launcher", "batch"]) == 0
    assert len(batch.seen) == 1  # nothing was missing
    assert "0 stages trained, 1 found done, 0 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "count", "message"),
    [
        (RUN, 1, "All workers have ended, and 1 stage is not trained"),
        (
            ("run", "table1", *TINY, "--datasets", "phantom-mri", "--rows", "vit,swin"),
            2,
            "All workers have ended, and 2 stages are not trained",
        ),
    ],
)
def test_workers_that_die_are_told(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    count: int,
    message: str,
) -> None:
    batch = _Batch(dying=True)
    _known(monkeypatch, batch)
    assert main([*command, "--launcher", "batch", "--jobs", "9"]) == 2
    assert message in capsys.readouterr().err
    assert [work.count for work in batch.seen] == [count]
    assert not list((folder / "runs").glob("records/*"))


def test_sweeps_start_their_work_alike(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_SQLITE_SHARED", "1")  # the batch might run on other hosts
    batch = _Batch(dying=True)
    _known(monkeypatch, batch)
    command = ("sweep", "sweep_masking", *TINY, "--datasets", "phantom-mri", "--trials", "5")
    assert main([*command, "--launcher", "batch", "--jobs", "3"]) == 0
    (work,) = batch.seen
    assert tuple(work.arguments) == command
    assert work.count == 3
    assert list(work.config.lost.values()) == [[]]
    assert Records(folder / "runs").read("0" * 64) is None
