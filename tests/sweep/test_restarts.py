"""A database server that restarts while a worker starts, by faults in place of the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.errors import UserError
from harness.sweep import storage
from harness.waiting import NoAnswer

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
