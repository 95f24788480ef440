"""States that a thread writes: what is written, how its errors surface, kills and interruptions."""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness import files
from harness.errors import UserError
from harness.interrupt import Stopped
from harness.store import checkpoint, writing
from harness.store.checkpoint import Checkpoints, Writer
from harness.store.claim import ClaimLost, claim
from harness.train.loop import fit
from tests.train import toy

KEY = "a" * 64


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a thread write every state, and every epoch be due."""
    monkeypatch.setattr(checkpoint, "SMALL", 0)
    monkeypatch.setattr(checkpoint, "LONGEST", 0.0)


def _state(epochs: int, weight: Tensor | None = None) -> dict[str, Any]:
    history = [{"epoch": float(epoch)} for epoch in range(epochs)]
    return {"history": history, "weight": torch.zeros(4) if weight is None else weight}


def _loaded(folder: Path) -> tuple[int, list[float]]:
    found = Checkpoints(folder, KEY).load()
    assert found is not None
    return len(found["history"]), found["weight"].tolist()


class Gate:
    """Holds writes back just before their file takes its place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.reached = threading.Event(), threading.Event()
        self.threads: list[str] = []
        whole = files.write_atomically

        def held(path: Path, write: Callable[[Any], object], **options: Any) -> None:
            if path.suffix == ".pt":
                self.threads.append(threading.current_thread().name)
                self.reached.set()
                assert self.open.wait(60)
            whole(path, write, **options)

        monkeypatch.setattr(files, "write_atomically", held)


def test_a_state_is_that_of_the_call_however_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, store, weight = Gate(monkeypatch), Checkpoints(tmp_path, KEY), torch.ones(4)
    state = _state(1, weight)
    assert store.save(state)
    assert gate.reached.wait(60) and not store.state_path.exists()
    weight += 1
    state["history"].append({"epoch": 1.0})
    gate.open.set()
    store.wait()
    assert _loaded(tmp_path) == (1, [1.0] * 4)
    assert gate.threads == ["checkpoint"]


def test_one_write_at_a_time_and_a_forced_one_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "LONGEST", 60.0)
    gate, store = Gate(monkeypatch), Checkpoints(tmp_path, KEY, overhead=1e9)
    assert store.save(_state(1))
    assert gate.reached.wait(60)
    assert not store.save(_state(2))
    assert gate.threads == ["checkpoint"]
    gate.open.set()
    assert store.save(_state(3), always=True)
    assert gate.threads == ["checkpoint", "MainThread"]
    assert _loaded(tmp_path)[0] == 3
    store.state_path.unlink()
    assert _loaded(tmp_path)[0] == 1


def test_a_write_that_takes_longer_than_a_minute_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, store = Gate(monkeypatch), Checkpoints(tmp_path, KEY)
    store.save(_state(1))
    threading.Timer(0.2, gate.open.set).start()
    assert store.save(_state(2))
    store.wait()
    assert _loaded(tmp_path)[0] == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("then", ["save", "wait", "finish"])
def test_an_error_of_the_thread_is_raised_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, then: str
) -> None:
    store = Checkpoints(tmp_path, KEY)
    store.save(_state(1), always=True)

    def full(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        store.save(_state(2))
        assert store._writing is not None
        store._writing._thread.join()
    calls: Mapping[str, Callable[[], object]] = {
        "save": lambda: store.save(_state(3)),
        "wait": store.wait,
        "finish": lambda: store.finish({"w": torch.zeros(2)}),
    }
    with pytest.raises(UserError, match=f"Cannot write .*{os.strerror(number)}"):
        calls[then]()
    assert _loaded(tmp_path)[0] == 1
    assert not list(tmp_path.rglob("*.partial"))
    assert store.save(_state(4), always=True)  # nothing of the failure is left


def test_a_thread_that_has_lost_its_claim_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claim(tmp_path, KEY) as ours:
        assert ours is not None
        store = Checkpoints(tmp_path, KEY, writer=Writer(claim=ours))
        store.save(_state(1), always=True)
        gate = Gate(monkeypatch)
        store.save(_state(2))
        assert gate.reached.wait(60)
        ours.path.write_text(ours.path.read_text().replace(ours.token, "0" * 32))
        gate.open.set()
        with pytest.raises(ClaimLost):
            store.wait()
    assert _loaded(tmp_path)[0] == 1
    assert not list(tmp_path.rglob("*.partial"))


def test_a_second_signal_abandons_the_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Checkpoints(tmp_path, KEY)
    store.save(_state(1), always=True)
    gate = Gate(monkeypatch)
    with pytest.raises(Stopped), store.waiting():
        store.save(_state(2))
        assert gate.reached.wait(60)
        under_way = store._writing
        assert under_way is not None
        monkeypatch.setattr(under_way._thread, "join", _signalled)
        raise Stopped(15)
    gate.open.set()
    threading.Thread.join(under_way._thread, 60)
    assert under_way.ended
    assert _loaded(tmp_path)[0] == 1
    assert not list(tmp_path.rglob("*.partial"))


def _signalled() -> None:
    raise Stopped(15)


def test_the_first_write_of_a_large_state_is_not_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "LONGEST", 60.0)
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    store, state = Checkpoints(tmp_path, KEY), _state(1, torch.zeros(1000))
    monkeypatch.setattr(checkpoint, "SPEED", 4000.0)  # a second
    now[0] += 10
    assert not store.save(state)
    now[0] += 10  # twenty seconds: it takes 5 % of them
    assert store.save(state)
    store.wait()
    assert Checkpoints(tmp_path, KEY).load() is not None


def test_a_copy_shares_no_memory_and_keeps_what_is_shared() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    state: Any = module.state_dict()
    base = torch.arange(12.0).reshape(3, 4)
    state["view"], state["turned"] = base[1:, ::2], base.t()
    state["rest"] = [(1, "a"), {"b": torch.tensor(2, dtype=torch.bfloat16)}, nn.Parameter(base)]
    before = torch.arange(12.0).reshape(3, 4)
    made, complete = writing.copied(state)
    complete()
    base.zero_()
    assert type(made) is OrderedDict and made._metadata == state._metadata
    assert torch.equal(made["view"], before[1:, ::2]) and made["view"].stride() == (4, 2)
    assert torch.equal(made["turned"], before.t())
    assert torch.equal(made["rest"][2], before) and type(made["rest"][2]) is nn.Parameter
    assert made["rest"][0] == (1, "a") and made["rest"][1]["b"].dtype == torch.bfloat16
    made["turned"].zero_()
    assert not made["view"].any()
    assert writing.size_of({"a": base, "b": base.t(), "c": [torch.zeros(2)]}) == 56


class _Killed(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_training_gives_the_same_bits(tmp_path: Path, stop: int) -> None:
    whole = toy.job(tmp_path / "whole", checkpoints=Checkpoints(tmp_path / "whole", toy.KEY))
    history = fit(whole)

    def kill(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        if epoch == stop + 1:
            raise _Killed

    parts = tmp_path / "parts"
    with pytest.raises(_Killed):
        fit(toy.job(parts, watch=kill, checkpoints=Checkpoints(parts, toy.KEY)))
    found = Checkpoints(parts, toy.KEY).load()
    assert found is not None and len(found["history"]) == stop + 1  # it was waited for
    second = toy.job(parts, checkpoints=Checkpoints(parts, toy.KEY))
    assert fit(second) == history
    for name, value in whole.task.state_dict().items():
        if isinstance(value, Tensor):
            assert torch.equal(value, second.task.state_dict()[name]), name


def test_a_full_disk_ends_a_training_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    job = toy.job(tmp_path, epochs=1, checkpoints=Checkpoints(tmp_path, toy.KEY))
    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(checkpoint.form, "mark", lambda folder: None)
    with pytest.raises(UserError, match="No space left on device"):
        fit(job)
