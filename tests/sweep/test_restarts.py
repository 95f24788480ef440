"""Workers of a study whose database server restarts or is slow, by faults in place of a server."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from harness import sqlite
from harness.errors import UserError
from harness.interrupt import Stopped
from harness.sweep import report, search, storage
from harness.sweep.study import Study
from harness.sweep.trial import Result
from harness.waiting import NoAnswer
from tests import prepared
from tests.conftest import Harness
from tests.sweep.sweeps import QUICK, SWEEP

URL = "postgresql+psycopg://harness:secret@host/optuna"


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Let the server at ``URL`` refuse connections some times, and then accept them."""
    from sqlalchemy.exc import OperationalError

    def refuse(times: int, error: Exception | None = None) -> list[str]:
        asked: list[str] = []
        refusal = OperationalError("", {}, Exception("the database system is starting up"))

        def opened(url: str, engine_kwargs: Any) -> Any:
            assert engine_kwargs["pool_pre_ping"]
            asked.append(url)
            if len(asked) <= times:
                raise error or refusal
            return "opened"

        monkeypatch.setattr(storage, "_patient_class", lambda: opened)
        return asked

    return refuse


@pytest.mark.parametrize("error", [None, NoAnswer("no answer within 10 s")])
def test_a_worker_waits_for_a_server_that_restarts(
    refusing: Callable[..., list[str]], capfd: pytest.CaptureFixture[str], error: Exception | None
) -> None:
    asked = refusing(3, error)
    assert str(storage.open_storage(URL, patient=True)) == "opened"
    assert len(asked) == 4
    said = capfd.readouterr().err
    assert said.count("the Optuna storage does not answer") == 1
    assert "secret" not in said


def test_a_worker_gives_up_after_its_patience(
    refusing: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PATIENCE", 0.5)
    asked = refusing(10**6)
    with pytest.raises(UserError, match="cannot be reached.*the database system is starting up"):
        storage.open_storage(URL, patient=True)
    assert len(asked) > 1


def test_a_command_that_names_a_wrong_server_is_told_at_once(
    refusing: Callable[..., list[str]],
) -> None:
    asked = refusing(1)
    with pytest.raises(UserError, match=r"\(postgresql\+psycopg\) cannot be reached: the data"):
        storage.open_storage(URL)
    assert len(asked) == 1


def test_what_does_not_pass_is_not_waited_for(refusing: Callable[..., list[str]]) -> None:
    asked = refusing(1, RuntimeError("a newer version of Optuna"))
    with pytest.raises(UserError, match="a newer version"):
        storage.open_storage(URL, patient=True)
    assert len(asked) == 1


SEARCH = ("sweep", "small.py", *QUICK, "--track", "off", "--study", "one", "--format", "json")


@pytest.fixture
def running(own_folder: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
    """A study whose trial 0 is running, and in no process; nothing is trained."""
    (own_folder / "small.py").write_text(SWEEP)
    prepared.ensure(own_folder / "data")
    monkeypatch.setattr(report, "_figures", lambda _: [])

    def stop(*_: Any) -> Result:
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr(search, "_attempt", stop)
    assert harness(*SEARCH, "--trials", "1")[0] == 130
    url = sqlite.url(own_folder / "runs/optuna.db")
    return optuna.load_study(study_name="one", storage=url)


@pytest.mark.slow
def test_a_trial_that_ends_between_a_look_and_its_claim_is_not_resumed(
    running: optuna.Study, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, ended = Study._claim, []

    def claim_late(study: Study, number: int) -> Any:
        if number == 0 and not ended:  # its own process finishes it, and lets its claim go
            ended.append(number)
            running.tell(0, 0.25)
        return claim(study, number)

    def attempt(_: Any, __: Any, attempt: Any, ___: Any) -> Result:
        attempt.note("key", "0" * 64)
        return Result(accuracy=0.5, macs=1e9)

    monkeypatch.setattr(Study, "_claim", claim_late)
    monkeypatch.setattr(search, "_attempt", attempt)
    code, _, err = harness(*SEARCH, "--trials", "2")
    assert code == 0, err
    assert ended == [0]
    assert [trial.value for trial in running.trials] == [0.25, 0.5]
    assert [trial.state.name for trial in running.trials] == ["COMPLETE"] * 2
