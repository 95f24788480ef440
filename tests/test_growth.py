"""What commands read and compute on stores of many runs does not grow with what they show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import growth
from harness.cli.main import main
from harness.sources import digest, reach
from harness.spec import described
from harness.store import unchanged


@pytest.mark.slow
def test_growth_measures_a_command_on_a_small_store() -> None:
    found = {one["what"]: one for one in growth.measured(1, ("plan",))}
    assert list(found) == ["plan"]
    assert growth.line(found["plan"]).startswith("plan, 1 seeds, 51 records: ")
    assert all(one["exit"] == 0 and one["cpu_seconds"] > 0 for one in found.values())
    assert all(one["records"] > 0 and one["peak_mib"] > 0 for one in found.values())
    json.dumps(found, allow_nan=False)


def _counted(monkeypatch: pytest.MonkeyPatch, counts: Counter[str], owner: Any, name: str) -> None:
    """Count the calls of a function; of reads by the file's name."""
    inner: Callable[..., Any] = getattr(owner, name)

    def count(*args: Any, **named: Any) -> Any:
        counts[args[0].name if owner is unchanged else name] += 1
        return inner(*args, **named)

    monkeypatch.setattr(owner, name, count)


def _work(folder: Path, seeds: int, words: tuple[str, ...]) -> Counter[str]:
    """Return what a command on a planted store of some seeds reads and computes, by its name."""
    folder.mkdir()
    growth.plant(folder, seeds)
    counts: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(unchanged, "SETTLED", -1e9)  # as if the store were old
        patched.setattr(digest, "_KNOWN", {})
        _counted(patched, counts, unchanged, "read")
        _counted(patched, counts, reach.Graph, "digest")
        _counted(patched, counts, described, "canonical")
        asked = ("table1", "--profile", "smoke", "--seeds", f"0-{seeds - 1}")
        assert main([words[0], *asked, *words[1:]]) == 0
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("words", [("plan",), ("report", "--out", "report")])
def test_more_seeds_read_each_file_once_and_compute_no_more_digests(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    one, three = (_work(tmp_path / f"{n}", n, words) for n in (1, 3))
    for seeds, counts in ((1, one), (3, three)):
        read = {name: n for name, n in counts.items() if name.endswith((".json", ".npz"))}
        assert set(read.values()) == {1}
        assert sum(name.endswith(".npz") for name in read) == 30 * seeds
    assert 0 < one["digest"] == three["digest"] <= 17  # the stages of the rows
    assert three["canonical"] <= one["canonical"] + 2  # of each stage once, and of two more seeds
