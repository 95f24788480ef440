"""What is said of the processes that are waited for."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from harness.execute import others
from harness.execute.others import Others
from harness.progress import Progress
from harness.store.claim import claim
from harness.store.heartbeat import Heartbeat
from tests import claims, plans

TITLE = "supervised vit / phantom-mri / seed 0"


class _Lines(Progress):
    """Keeps lines."""

    def __init__(self) -> None:
        super().__init__(plain=True)
        self.told: list[str] = []

    def line(self, text: str) -> None:
        self.told.append(text)


def test_owner_and_place_are_named_and_silence_is_news(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = plans.of_table1("vit").stage_runs
    runs, lines = Path("runs"), _Lines()
    look = Others(runs, lines).look
    who = f"waiting: process {os.getpid()} on {socket.gethostname()} trains {TITLE}"
    with claim(runs, steps[0].key) as ours, Heartbeat(runs, steps[0].key, TITLE, 9, ours) as beat:
        look(steps)
        look(steps)
        assert lines.told == [f"{who}, epoch 0/9"]
        assert ours is not None
        then = time.time() - 45  # as if it were stopped
        os.utime(ours.path, (then, then))
        look(steps)
        assert lines.told[1:] == [f"{who}, epoch 0/9; no heartbeat for 45 s"]
        os.utime(ours.path)
        look(steps)
        beat.epoch(3, 9)
        monkeypatch.setattr(others, "AGAIN", 0.0)
        beat.begin(4)
        beat.epoch(4, 9)
        monkeypatch.setattr("harness.store.heartbeat.EVERY", 0.0)
        beat.epoch(5, 9)
        look(steps)
    assert lines.told[-1].startswith(f"{who}, epoch 6/9, about ")


def test_the_dead_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = plans.of_table1("vit").stage_runs
    lines = _Lines()
    claims.elsewhere(Path("runs"), steps[0].key, age=800.0, pid=7)
    Others(Path("runs"), lines).look(steps)
    (line,) = lines.told
    assert f"process 7 on {socket.gethostname()} has ended, it trained {TITLE}" in line
    assert line.endswith("no heartbeat for 13 min 20 s")
