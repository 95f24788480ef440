"""Claims between two imitated hosts: clocks minutes apart, hosts paused and removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import hosts
from tests.survival import small

pytestmark = pytest.mark.skipif(hosts.lacking() is not None, reason=hosts.lacking() or "")

ROUNDS = small.times(12, 500)


@pytest.mark.slow
@pytest.mark.parametrize("times", ["server", "client"])
@pytest.mark.parametrize("locks", ["shared", "local", "none"])
def test_each_stage_has_one_owner_at_a_time(tmp_path: Path, locks: str, times: str) -> None:
    seen = hosts.play(tmp_path / "runs", ROUNDS, locks=locks, times=times)
    print(f"locks {locks}, times {times}: {seen}".replace(str(seen.written), f"{ROUNDS} rounds"))
    assert seen.written == dict.fromkeys(range(ROUNDS), 1)
    assert seen.doubles == 0
    assert seen.robbed == 0  # whoever lives and is not paused keeps its claim, whatever the clocks
