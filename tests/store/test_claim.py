"""Claims: one owner at a time, the dead expire, the living do not."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import time
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.store import claim as claims
from harness.store.claim import claim


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    with claim(tmp_path, "a") as first, claim(tmp_path, "a") as second, claim(tmp_path, "b") as b:
        assert (first, second, b) == (True, False, True)
    with claim(tmp_path, "a") as again:
        assert again


def _hold_and_die(folder: Path) -> None:
    with claim(folder, "a"):
        os._exit(9)


def test_a_dead_owner_on_this_machine_expires_at_once(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_hold_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert list((tmp_path / "claims").iterdir())
    with claim(tmp_path, "a") as ours:
        assert ours
    assert not list((tmp_path / "claims").iterdir())


def test_an_owner_elsewhere_expires_by_its_heartbeat(tmp_path: Path) -> None:
    path = tmp_path / "claims" / "a.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    with claim(tmp_path, "a") as ours:
        assert not ours
    old = time.time() - claims.EXPIRY - 1
    os.utime(path, (old, old))
    with claim(tmp_path, "a") as ours:
        assert ours


def test_a_living_owner_does_not_expire_with_age(tmp_path: Path) -> None:
    path = tmp_path / "claims" / "a.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
    old = time.time() - claims.EXPIRY - 1
    os.utime(path, (old, old))
    with claim(tmp_path, "a") as ours:
        assert not ours


def test_the_heartbeat_renews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT", 0.01)
    with claim(tmp_path, "a"):
        path = tmp_path / "claims" / "a.json"
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "claims").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="Cannot write"), claim(tmp_path, "a"):
        pass
