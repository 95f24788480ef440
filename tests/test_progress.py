"""Lines of progress: whose stage, the time left of the stage and of the plan, and resuming."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness import progress as showing
from harness.progress import Pace, Progress, duration


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a clock that the test sets."""
    time = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(showing, "time", SimpleNamespace(monotonic=lambda: time.now))
    return time


def test_the_first_epoch_counts_until_there_is_a_second() -> None:
    pace = Pace(100.0)
    assert pace.epoch(160.0) == 60.0  # with the slow first step
    assert pace.epoch(170.0) == 10.0
    pace.skip(5.0)
    assert pace.epoch(187.0) == 11.0  # 10 and 12 seconds; 5 were something else


def test_a_pause_is_no_epoch() -> None:
    pace = Pace(0.0)
    ends = [9.0, 10.0, 11.0, 12.0, 132.0, 133.0]  # stopped for two minutes in the fifth
    assert [pace.epoch(now) for now in ends][3:] == [1.0, 1.0, 1.0]
    slower = Pace(0.0)  # an evaluation at every second epoch is training's
    assert [slower.epoch(now) for now in (2.0, 3.0, 6.0, 7.0, 10.0)][-1] == 2.0


def test_time_left_of_a_resumed_stage(
    clock: SimpleNamespace, capfd: pytest.CaptureFixture[str]
) -> None:
    shown = Progress(plain=True)
    with shown.stage("finetune mae / busi / seed 0", 3, 19):
        clock.now += 300  # data and state are read
        shown.begin(5)
        for epoch, seconds in ((5, 40), (6, 30), (7, 30)):
            clock.now += seconds
            shown.epoch(epoch, 20, {"loss/total": 1.0})
    title = "[4/19] finetune mae / busi / seed 0: "
    assert capfd.readouterr().err.splitlines() == [
        f"{title}goes on at epoch 6",
        f"{title}epoch 6/20, loss 1.0000, 9 min 20 s left",  # 14 of 40 s
        f"{title}epoch 7/20, loss 1.0000, 6 min 30 s left",  # 13 of 30 s
        f"{title}epoch 8/20, loss 1.0000, 6 min 00 s left",
    ]


def test_a_stage_from_the_beginning_does_not_go_on(capfd: pytest.CaptureFixture[str]) -> None:
    shown = Progress(plain=True)
    with shown.stage("t", 0, 1):
        shown.begin(0)
    assert capfd.readouterr().err == ""


def test_the_plan_is_told_and_its_estimate_is_no_training(
    clock: SimpleNamespace, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def rest(each: float, epochs: int) -> float | None:
        asked.append((each, epochs))
        clock.now += 100  # it counts
        return None if len(asked) == 1 else 7200.0

    shown = Progress(plain=True)
    shown.foresee(rest)
    with shown.stage("t", 0, 2):
        shown.begin(0)
        for epoch in range(3):
            clock.now += 30
            shown.epoch(epoch, 3, {"loss/total": 1.0})
    assert asked == [(30, 2), (30, 1), (30, 0)]
    first, second, last = capfd.readouterr().err.splitlines()
    assert first.endswith(", 1 min 00 s left")
    assert second.endswith(", 30 s left, of the plan 2 h 00 min")
    assert last.endswith(", 0 s left, of the plan 2 h 00 min")


def test_durations_are_for_people() -> None:
    seconds = (0.2, 59.6, 61, 3600 + 125, 3 * 86400 + 4 * 3600)
    assert [*map(duration, seconds)] == [
        "0 s",
        "1 min 00 s",
        "1 min 01 s",
        "1 h 02 min",
        "3 d 04 h",
    ]
