"""What runs and what failed, as seen from outside."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.cli.main import main
from harness.execute.executor import Executor
from harness.plan.plan import Plan
from harness.progress import Progress
from harness.store import heartbeat
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
    monkeypatch.setattr(heartbeat.time, "time", lambda: clock.now)
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
    planted.dead(Path("runs"), "dead")
    out = _show(capsys)
    assert out.splitlines() == [
        f"dead     dead; process 4194305 on {socket.gethostname()} has ended, no heartbeat for 0 s",
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
    }
    assert not folder.exists()
