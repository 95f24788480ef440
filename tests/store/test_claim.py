"""Claims: one owner at a time, the dead expire, the living do not."""

from __future__ import annotations

import errno
import multiprocessing
import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import filelock
import msgspec
import pytest

from harness import files
from harness.errors import UserError
from harness.store import claim as claims
from harness.store.claim import ClaimLost, claim
from tests import claims as planted
from tests.survival import small


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    with claim(tmp_path, "a") as first, claim(tmp_path, "a") as second, claim(tmp_path, "b") as b:
        assert first and second is None and b
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
    planted.elsewhere(tmp_path, "a")
    with claim(tmp_path, "a") as ours:
        assert ours is None
    planted.elsewhere(tmp_path, "a", age=claims.EXPIRY + claims.SKEW + 1)
    with claim(tmp_path, "a") as ours:
        assert ours
    assert not list((tmp_path / "claims").iterdir())


@pytest.mark.parametrize("ahead", [-300.0, 0.0, 300.0])
def test_a_claim_that_is_seen_unchanged_expires_whatever_the_clocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """The owner's clock, which may set its file's time, is minutes from this machine's."""
    path, now = planted.elsewhere(tmp_path, "a", age=-ahead), time.monotonic()
    for later, taken in ((0, False), (80, False), (claims.EXPIRY + 81, True)):
        if later == 80:
            os.utime(path, (time.time() + ahead + 80,) * 2)  # renewed
            monkeypatch.setattr(time, "monotonic", lambda: now + 80)
        else:
            monkeypatch.setattr(time, "monotonic", lambda at=now + later: at)
        with claim(tmp_path, "a") as ours:
            assert (ours is not None) is taken


def test_a_living_owner_does_not_expire_with_age(tmp_path: Path) -> None:
    with claim(tmp_path, "a"):
        os.utime(tmp_path / "claims" / "a.json", (0, 0))
        with claim(tmp_path, "a") as second:
            assert second is None


def test_the_same_host_name_on_another_machine_is_not_robbed(tmp_path: Path) -> None:
    planted.elsewhere(tmp_path, "a", host=socket.gethostname(), pid=2**22 + 1)
    with claim(tmp_path, "a") as ours:
        assert ours is None


def test_a_recycled_process_id_does_not_block(tmp_path: Path) -> None:
    """Also of this very process: a container's program is always process 1."""
    path = planted.dead(tmp_path, "a")
    owner = files.read_as(path, claims.Owner)
    for pid in (os.getpid(), 1):
        path.write_bytes(msgspec.json.encode(replace(owner, pid=pid)))
        with claim(tmp_path, "a") as ours:
            assert ours


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


BAD = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'{"host": 1}',
    b'{"host": "a", "pid": 1e400}',
    b"\xff",
    b"[" * 9999,
]


@pytest.mark.parametrize("content", BAD)
def test_what_is_no_claim_expires_by_its_age(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "claims" / "a.json"
    path.parent.mkdir()
    path.write_bytes(content)
    with claim(tmp_path, "a") as ours:
        assert ours is None  # perhaps being written on another machine
    os.utime(path, (0, 0))
    assert claims.living(tmp_path) == set()
    with claim(tmp_path, "a") as ours:
        assert ours


def test_a_robbed_owner_stops_and_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On machines that share a folder but no locks; the owner had slept."""
    _without_locks(monkeypatch)
    path = tmp_path / "claims" / "a.json"
    with claim(tmp_path, "a") as robbed:
        assert robbed
        path.write_bytes(msgspec.json.encode(replace(robbed.owner, boot="another")))
        os.utime(path, (0, 0))
        with claim(tmp_path, "a") as thief:
            assert thief
            with pytest.raises(ClaimLost):
                robbed.check()
            thief.check()
            robbed.release()
            thief.check()
            assert files.read_as(path, claims.Owner).token == thief.token
    assert not list((tmp_path / "claims").glob("*.json"))


def _without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)


def test_without_locks_a_process_of_this_machine_is_judged_by_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_locks(monkeypatch)
    with claim(tmp_path, "a") as first, claim(tmp_path, "a") as second:
        assert first and second is None
        path = tmp_path / "claims" / "a.json"
        path.write_bytes(msgspec.json.encode(replace(first.owner, started=1)))
        with claim(tmp_path, "a") as third:
            assert third  # the process id was given to another process


def test_a_jump_of_the_clock_robs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with claim(tmp_path, "a") as first:
        planted.elsewhere(tmp_path, "b")
        for jump in (-1e6, 1e6):
            real = time.time()
            monkeypatch.setattr(time, "time", lambda at=real + jump: at)
            for key in ("a", "b"):
                with claim(tmp_path, key) as second:
                    assert first and second is None


def _race(folder: Path, rounds: int, seen: str) -> None:
    for number in range(rounds):
        key = f"race-{number}"
        with claim(folder, key) as ours:
            if ours is None:
                continue
            mark = folder / f"{seen}-{number}"
            try:
                mark.touch(exist_ok=False)
            except FileExistsError:
                (folder / f"double-{number}").touch()
            ours.check()
            mark.unlink(missing_ok=True)


@pytest.mark.parametrize("locks", [True, False])
def test_of_racing_processes_one_at_a_time_owns_a_dead_claim(tmp_path: Path, locks: bool) -> None:
    rounds = small.times(60, 1000)
    for number in range(rounds):
        planted.elsewhere(tmp_path, f"race-{number}", age=claims.EXPIRY + claims.SKEW + 60)
    context = multiprocessing.get_context("fork")
    target = _race if locks else _race_without_locks
    processes = [context.Process(target=target, args=(tmp_path, rounds, "owner")) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert not list(tmp_path.glob("double-*"))


def _race_without_locks(folder: Path, rounds: int, seen: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _without_locks(patch)
        _race(folder, rounds, seen)
