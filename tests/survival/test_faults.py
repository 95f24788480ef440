"""Kills and failing calls at every write, fsync and rename: nothing is lost, nothing differs."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.survival import small
from tests.survival.run_small import EPOCHS, THREAD
from tests.survival.small import Forks

STAGES = 2

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Return the warm process."""
    process = Forks(tmp_path_factory.mktemp("survival"))
    yield process
    process.close()


@pytest.fixture(scope="module")
def whole(forks: Forks) -> tuple[Path, int]:
    """Return the store of an undisturbed training and its number of calls."""
    runs = forks.folder / "whole"
    return runs, forks.calls(runs)


@pytest.fixture(params=[False, True], ids=["at once", "by a thread"])
def states(request: pytest.FixtureRequest) -> tuple[dict[str, str], int]:
    """Return who writes the states, and how many epochs a fault may cost at most.

    While a thread writes the state of one epoch, the next one is trained.
    """
    return ({THREAD: "1"}, 2) if request.param else ({}, 1)


def _sample(calls: int, short: int, whole: int) -> list[int]:
    """Return numbers of calls, spread over all: a multiple of ``short``, at most ``whole``."""
    count = max(2, small.times(short, whole))
    return sorted({round(1 + i * (calls - 1) / (count - 1)) for i in range(count)})


def _left_over(runs: Path, whole: Path) -> set[str]:
    """Return files that an undisturbed training does not leave, but for what `clean` removes.

    These are interrupted writes and, where the release of a claim was interrupted, the claim.
    """
    extra = small.files_of(runs) - small.files_of(whole)
    return {n for n in extra if not n.endswith(".partial") and not n.startswith("claims/")}


def test_killed_at_any_call_the_same_command_gives_the_same_bits(
    forks: Forks,
    whole: tuple[Path, int],
    states: tuple[dict[str, str], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (environment, allowed), (store, calls) = states, whole
    expected = small.results(store)
    assert calls > 60 and len(expected) == 5  # records and weights of two stages, predictions
    tried, most = 0, 0
    for at in _sample(calls, 8, calls):
        runs = forks.folder / f"killed-{at}"
        killed = forks.train(runs, FAULT_AT=str(at), FAULT_CODE="0", **environment)
        # By a thread there are somewhat fewer calls, so that the last number may not be reached.
        assert killed.code == -9 or (environment and killed.code == 0 and at > 0.9 * calls)
        again = forks.train(runs, **environment)
        assert again.code == 0, again.errors
        assert small.results(runs) == expected
        assert _left_over(runs, store) == set(), at
        lost = killed.epochs + again.epochs - EPOCHS * STAGES
        tried, most = tried + 1, max(most, lost)
        shutil.rmtree(runs)
    with capsys.disabled():
        print(f"\nkills: {tried} of {calls} calls; epochs lost at most: {most}")
    assert most <= allowed


KINDS = [
    (errno.ENOSPC, "1"),
    (errno.EIO, "0"),
    (errno.ENOSPC, "0"),
    (errno.EIO, "1"),
    (errno.EDQUOT, "1"),
]
"""Errors, each for one call or for all later ones, too."""


@pytest.mark.parametrize(("code", "sticky"), KINDS if small.WHOLE else KINDS[:2])
def test_a_failing_call_ends_the_command_in_one_line_and_keeps_all(
    forks: Forks,
    whole: tuple[Path, int],
    states: tuple[dict[str, str], int],
    capsys: pytest.CaptureFixture[str],
    code: int,
    sticky: str,
) -> None:
    (environment, allowed), (store, calls) = states, whole
    expected = small.results(store)
    tried, most, unharmed = 0, 0, 0
    for at in _sample(calls, 3, calls // 5):
        runs = forks.folder / f"failed-{code}-{sticky}-{at}"
        faults = {"FAULT_AT": str(at), "FAULT_CODE": str(code), "FAULT_STICKY": sticky}
        failed = forks.train(runs, **faults, **environment)
        assert "Traceback" not in failed.errors, failed.errors
        # A heartbeat or a claim that cannot be removed ends no training.
        assert failed.code in (0, 2), (at, failed.code, failed.errors)
        if failed.code == 2:
            lines = [line for line in failed.errors.splitlines() if line.startswith("harness: ")]
            assert len(lines) == 1 and os.strerror(code) in lines[0], failed.errors
        unharmed += failed.code == 0
        again = forks.train(runs)
        assert again.code == 0, again.errors
        assert small.results(runs) == expected
        assert _left_over(runs, store) == set(), at
        most = max(most, failed.epochs + again.epochs - EPOCHS * STAGES)
        tried += 1
        shutil.rmtree(runs)
    with capsys.disabled():
        name = errno.errorcode[code]
        kind = "all later calls, too" if sticky == "1" else "once"
        print(f"\n{name} ({kind}): {tried}; without effect: {unharmed}; epochs lost: {most}")
    assert most <= allowed
