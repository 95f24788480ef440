"""Many workers on one folder, some killed and some paused: no stage twice, none lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import simulate


@pytest.mark.slow
def test_no_stage_is_recorded_twice_or_lost(tmp_path: Path) -> None:
    # Of 60 stages, two kills and two pauses, so that claims are taken over.
    rates = {"KILLED": 1 / 25, "PAUSED": 1 / 25}
    with pytest.MonkeyPatch.context() as patch:
        for name, rate in rates.items():
            patch.setattr(simulate, name, rate)
        seen = simulate.simulate(tmp_path, 60, 6, mean=0.05)
    assert (seen.written, seen.twice, seen.lost) == (60, 0, 0)
    assert seen.kills >= 1 and seen.pauses >= 1
    assert seen.cpu_per_stage <= 0.2
