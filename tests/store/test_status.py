"""What runs and what failed, as seen from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.cli.main import main
from harness.execute.execution import ExecutionOptions
from harness.execute.executor import Executor
from harness.interrupt import Stop, Stopped
from harness.plan.plan import Plan
from harness.progress import Progress
from harness.store import heartbeat, interrupted
from harness.store.checkpoint import Checkpoints
from harness.store.heartbeat import Heartbeat, StageProgress
from harness.store.record import Records
from tests import claims as planted
from tests import plans, records


def _show(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["status", *arguments]) == 0
    return capsys.readouterr().out


def _plan() -> Plan:
    return plans.of_table1("vit", overrides=("recipe.epochs=3", "recipe.warmup_epochs=0"))


class _Asks(Progress):
    """Asks for the status after every epoch."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(plain=True)
        self.capsys = capsys
        self.told: list[dict[str, Any]] = []
        self.plain: list[str] = []

    def epoch(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        self.told.append(json.loads(_show(self.capsys, "--json")))
        self.plain.append(_show(self.capsys))


def test_a_training_is_seen_from_outside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(heartbeat, "EVERY", 0.0)
    made, asks = _plan(), _Asks(capsys)
    Executor(torch.device("cpu")).execute(made, asks)
    seen = [told["running"] for told in asks.told]
    assert [len(running) for running in seen] == [1, 1, 1]
    first, second, last = (running[0] for running in seen)
    assert first["key"] == made.stage_runs[0].key
    assert first["title"] == "supervised vit / phantom-mri / seed 0"
    assert (first["host"], first["pid"]) == (socket.gethostname(), os.getpid())
    assert [r["epoch"] for r in (first, second, last)] == [1, 2, 3]
    assert {r["epochs"] for r in (first, second, last)} == {3}
    assert first["seconds_left"] > 0 and last["seconds_left"] == 0
    assert first["since"].endswith("+00:00")
    assert "running  supervised vit / phantom-mri / seed 0: epoch 2/3, about" in asks.plain[1]
    assert _show(capsys) == "runs: 0 running, 0 interrupted, 0 failed.\n"
    assert list(Path("runs/claims").iterdir()) == []


def test_time_left_counts_from_where_this_process_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1e9)
    monkeypatch.setattr("harness.store.heartbeat.time.time", lambda: clock.now)
    with Heartbeat(tmp_path, "k", "title", 43) as beat:
        clock.now += 500  # its data are loaded
        beat.begin(20)
        assert (beat.place.epoch, beat.place.left) == (20, None)
        clock.now += 70  # with the slow first step
        beat.epoch(20, 43)
        assert beat.place.left == 22 * 70
        clock.now += 10
        beat.epoch(21, 43)
        clock.now += 5
        beat.skip(5)
        clock.now += 12
        beat.epoch(22, 43)
        assert beat.place.left == 20 * 11  # the first epoch does not count any more
    assert StageProgress(title="t", started=0.0, updated=0.0, epoch=0, epochs=9).left is None


def test_files_are_written_now_and_then_and_go(tmp_path: Path) -> None:
    with Heartbeat(tmp_path, "k", "title", 500) as place:
        for epoch in range(400):
            place.epoch(epoch, 500)
        assert [(key, at.epoch) for key, at in heartbeat.read(tmp_path)] == [("k", 0)]
    assert list(heartbeat.read(tmp_path)) == []


def test_failures_and_the_dead(capsys: pytest.CaptureFixture[str]) -> None:
    (step,) = _plan().stage_runs
    error = "DivergedError: loss 'total' is nan"
    Records(Path("runs")).write(records.record(step.key, step.run.definition(), failed=error))
    claims = Path("runs/claims")
    claims.mkdir()
    planted.dead(Path("runs"), "d" * 64)
    planted.dead(Path("runs"), "mlflow-live-0123")  # no stage
    out = _show(capsys)
    assert out.splitlines() == [
        f"dead     dddddddddddd; process 4194305 on {socket.gethostname()} has ended,"
        " no heartbeat for 0 s",
        f"failed   supervised finetune / phantom-mri / seed 0 ({step.key[:12]}):"
        " DivergedError: loss 'total' is nan",
        "runs: 0 running, 1 dead, 0 interrupted, 1 failed.",
    ]
    # Somebody tries it again, and has not said how far it is.
    planted.elsewhere(Path("runs"), step.key)
    (claims / f"{step.key}.progress").write_text("{")
    out = _show(capsys)
    assert out.startswith(f"running  {step.key[:12]}, on {socket.gethostname()}")
    assert out.endswith("runs: 1 running, 1 dead, 0 interrupted, 0 failed.\n")


def test_an_empty_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "nothing"
    assert (
        _show(capsys, "--runs", str(folder)) == f"{folder}: 0 running, 0 interrupted, 0 failed.\n"
    )
    assert json.loads(_show(capsys, "--runs", str(folder), "--json")) == {
        "running": [],
        "dead": [],
        "interrupted": [],
        "failed": [],
        "jobs": [],
    }
    assert not folder.exists()


def _interrupt(epochs: int, **execution: Any) -> Plan:
    """Stop a training of three epochs after so many, and return its plan."""
    made, stop = _plan(), Stop()

    class Stops(Progress):
        def epoch(self, epoch: int, epochs_all: int, figures: dict[str, float]) -> None:
            if epoch + 1 == epochs:
                stop.number = signal.SIGINT

    options = ExecutionOptions(stop=stop, **execution)
    with pytest.raises(Stopped):
        Executor(torch.device("cpu"), options).execute(made, Stops(plain=True))
    return made


def test_an_interrupted_stage_is_listed_with_the_command_that_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _interrupt(2, command="harness run table1 --profile smoke")
    (step,) = made.stage_runs
    (told,) = json.loads(_show(capsys, "--json"))["interrupted"]
    assert told["key"] == step.key and told["rows"] == ["vit"]
    assert (told["dataset"], told["seed"], told["phase"]) == ("phantom-mri", 0, "supervised")
    assert (told["epoch"], told["epochs"]) == (2, 3)
    assert (told["host"], told["pid"]) == (socket.gethostname(), os.getpid())
    assert told["command"] == "harness run table1 --profile smoke"
    written = datetime.fromisoformat(told["written"])
    assert 0 <= time.time() - written.timestamp() < 60
    title, *more = _show(capsys).splitlines()
    assert title.startswith(
        f"interrupted supervised vit / phantom-mri / seed 0 ({step.key[:12]}): after epoch 2/3,"
    )
    assert title.endswith(f"by process {os.getpid()} on {socket.gethostname()}")
    assert more == [
        "         goes on with: harness run table1 --profile smoke",
        "runs: 0 running, 1 interrupted, 0 failed.",
    ]
    # Elsewhere the folder is named; the stage that is trained again is not interrupted.
    runs = Path("runs").resolve()
    here = Path.cwd()
    monkeypatch.chdir("/")
    assert f"goes on with: cd {here} && harness run" in _show(capsys, "--runs", str(runs))
    monkeypatch.chdir(here)
    planted.elsewhere(Path("runs"), step.key)
    assert json.loads(_show(capsys, "--json"))["interrupted"] == []
    (Path("runs/claims") / f"{step.key}.json").unlink()
    lines: list[str] = []
    progress = Progress(plain=True)
    monkeypatch.setattr(progress, "line", lines.append)
    assert Executor(torch.device("cpu")).execute(made, progress).trained == 1
    title = "[1/1] supervised vit / phantom-mri / seed 0"
    assert lines[0] == f"{title}: goes on at epoch 3"
    assert lines[1].startswith(f"{title}: epoch 3/3, loss")
    assert _show(capsys) == "runs: 0 running, 0 interrupted, 0 failed.\n"


def test_states_of_other_versions_and_damaged_ones(capsys: pytest.CaptureFixture[str]) -> None:
    runs, key, other = Path("runs"), "a" * 64, "b" * 64
    definition = {
        "dataset": "busi",
        "seed": 4,
        "stages": [
            {"phase": "pretrain", "method": {"type": "mae"}, "recipe": {"epochs": 9}},
            {"phase": "finetune", "method": {"type": "finetune"}, "recipe": {"epochs": 7}},
        ],
    }
    for name in (key, other):
        checkpoints = Checkpoints(runs, name, definition=definition)
        checkpoints.save({"task": {"w": torch.ones(3)}, "history": [{}] * 5}, always=True)
    path = runs / "checkpoints" / f"{other}.pt"
    path.write_bytes(path.read_bytes()[:300])
    told = {one["key"]: one for one in json.loads(_show(capsys, "--json"))["interrupted"]}
    assert told[key]["title"] == "finetune mae > finetune / busi / seed 4"
    assert (told[key]["epoch"], told[key]["epochs"], told[key]["pid"]) == (5, 7, None)
    assert told[other]["problem"] == "cannot be read (truncated?)"
    out = _show(capsys)
    assert "the command that began it goes on" in out
    assert f"interrupted {other[:12]}: its state cannot be read (truncated?)" in out
    # The state before it is taken in place of the damaged one.
    (runs / "previous").mkdir()
    (runs / "previous" / f"{other}.pt").write_bytes(
        (runs / "checkpoints" / f"{key}.pt").read_bytes()
    )
    told = {one["key"]: one for one in json.loads(_show(capsys, "--json"))["interrupted"]}
    assert told[other]["problem"] is None and told[other]["epoch"] == 5


def test_looking_at_a_state_runs_none_of_its_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "made"),)

    path = tmp_path / "state.pt"
    torch.save({"history": [{"loss": 1.0}], "evil": Evil(), "w": torch.ones(2)}, path)
    looked = interrupted.look(path)
    assert looked["history"] == [{"loss": 1.0}] and looked["w"] is None
    assert not (tmp_path / "made").exists()


def test_a_silent_owner_is_stale_and_a_slow_one_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs, key = Path("runs"), "c" * 64
    planted.elsewhere(runs, key, age=45.0)
    place = {"title": "t", "started": time.time() - 900, "epoch": 2, "epochs": 9, "each": 10.0}
    file = runs / "claims" / f"{key}.progress"
    file.write_text(json.dumps({**place, "updated": time.time() - 300}))
    line, total = _show(capsys).splitlines()
    assert line.startswith("stale    t: epoch 2/9; on ") and re.search(
        r"no heartbeat for (4[5-9]|5\d) s$", line
    )
    assert total == "runs: 1 running, 0 interrupted, 0 failed."
    (told,) = json.loads(_show(capsys, "--json"))["running"]
    assert told["stale"] and 44 < told["silent_seconds"] < 60
    planted.elsewhere(runs, key)
    line = _show(capsys).splitlines()[0]
    assert line.startswith("running  t: epoch 2/9, no epoch for 5 min 00 s; on ")
    planted.elsewhere(runs, key, age=695.0)
    line, total = _show(capsys).splitlines()
    assert line.startswith("dead     t: epoch 2/9; process ")
    assert re.search(r"has ended, no heartbeat for 11 min (3[5-9]|[45]\d) s$", line)
    assert total == "runs: 0 running, 1 dead, 0 interrupted, 0 failed."
