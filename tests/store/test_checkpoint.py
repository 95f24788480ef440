"""States of unfinished stages: two generations, whose is taken, and what damage does to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harness.errors import Damaged
from harness.store import checkpoint, state
from harness.store.checkpoint import Checkpoints, Writer
from harness.store.claim import claim

KEY = "a" * 64


def _state(epochs: int, mark: float = 0.0) -> dict[str, Any]:
    history = [{"epoch": float(epoch)} for epoch in range(epochs)]
    return {"history": history, "mark": torch.tensor(mark)}


def _loaded(store: Checkpoints) -> tuple[int, float]:
    found = store.load()
    assert found is not None
    return len(found["history"]), float(found["mark"])


def test_the_last_two_states_are_kept(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, KEY)
    assert store.load() is None
    for epochs in (1, 2, 3):
        store.save(_state(epochs), always=True)
    assert _loaded(store) == (3, 0.0)
    told: list[str] = []
    store.state_path.write_bytes(store.state_path.read_bytes()[:-1])
    assert _loaded(Checkpoints(tmp_path, KEY, writer=Writer(tell=told.append))) == (2, 0.0)
    assert len(told) == 1 and f"kept as {KEY}.pt.damaged" in told[0]


def test_a_state_of_a_run_that_ended_well_outlives_owners_that_wrote_none(tmp_path: Path) -> None:
    """Interrupted, started again and killed before its first state, started once more."""
    with claim(tmp_path, KEY) as first:
        one = Checkpoints(tmp_path, KEY, writer=Writer(claim=first))
        one.load()
        one.save(_state(5), always=True)
    for _ in range(3):
        with claim(tmp_path, KEY) as later:
            assert _loaded(Checkpoints(tmp_path, KEY, writer=Writer(claim=later))) == (5, 0.0)


def test_a_state_that_a_robbed_process_wrote_late_is_not_adopted(tmp_path: Path) -> None:
    robbed, thief = Checkpoints(tmp_path, KEY), Checkpoints(tmp_path, KEY)
    robbed.load()
    robbed.save(_state(1, 1.0), always=True)
    thief.load()
    thief.save(_state(2, 2.0), always=True)
    robbed.save(_state(9, 1.0), always=True)  # its claim was checked just before it was robbed
    assert _loaded(Checkpoints(tmp_path, KEY)) == (2, 2.0)


@pytest.mark.parametrize("position", [0, 25, 32, 45, 100, 103, 104, 110, 300, -1])
def test_a_flipped_bit_is_found_wherever_it_is(tmp_path: Path, position: int) -> None:
    store = Checkpoints(tmp_path, KEY)
    store.save(_state(1), always=True)
    content = bytearray(store.state_path.read_bytes())
    for bit in range(8):
        changed = bytearray(content)
        changed[position] ^= 1 << bit
        store.state_path.write_bytes(changed)
        with pytest.raises(Damaged, match=f"The checkpoint {store.state_path}"):
            checkpoint.check_state(store.state_path)
    store.state_path.write_bytes(content)
    checkpoint.check_state(store.state_path)


def test_states_of_format_1_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / f"{KEY}.pt"
    path.parent.mkdir()
    torch.save({"format": 1, "key": KEY, **_state(4), "w": torch.arange(1000.0)}, path)
    assert len(state.read(path, KEY)["history"]) == 4
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged):
        state.read(path, KEY)


def test_a_state_that_is_old_by_a_minute_is_written_whatever_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    store = Checkpoints(tmp_path, KEY)
    store._cost = 1e6
    now[0] += 59.0
    assert not store.save(_state(1))
    now[0] += 2.0
    assert store.save(_state(2))


@pytest.mark.parametrize("content", [b"", b"half", b"msmae-harness state 2 00000"])
@pytest.mark.parametrize("which", ["state_path", "previous_path"])
def test_a_state_without_its_first_line_is_told_and_set_aside(
    tmp_path: Path, which: str, content: bytes
) -> None:
    store = Checkpoints(tmp_path, KEY)
    for epochs in (1, 2):
        store.save(_state(epochs), always=True)
    path: Path = getattr(store, which)
    path.write_bytes(content)
    told: list[str] = []
    found = _loaded(Checkpoints(tmp_path, KEY, writer=Writer(tell=told.append)))
    assert found == ((1, 0.0) if which == "state_path" else (2, 0.0))
    assert len(told) == 1 and str(path) in told[0]
    assert path.with_name(f"{path.name}.damaged").read_bytes() == content
