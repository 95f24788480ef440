"""The latency protocol, with clocks that tests turn by hand: nothing here waits for real time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from harness.cli.main import main
from harness.errors import UserError
from harness.latency import processes as latency_processes
from harness.latency.processes import Request, Subject
from harness.latency.protocol import MOST_BLOCKS, counter, interleave, warm_up
from harness.latency.summary import median_ranks, ratios, summarise
from harness.latency.terminal import table

TWO = (Subject(model="vit", kind="deployed"), Subject(model="vit", kind="deployed", tokens=50))


class Clock:
    """Time that passes only when a pass says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: Iterator[float] | float) -> Callable[[], None]:
        """Return a pass that takes the next of some durations, or always the same."""

        def once() -> None:
            self.now += seconds if isinstance(seconds, float) else next(seconds)

        return once


@pytest.mark.parametrize(
    ("n", "ranks"),
    [(5, None), (6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (20, (6, 15)), (100, (40, 61))],
)
def test_ranks_of_the_median_are_those_of_the_tables(n: int, ranks: tuple[int, int]) -> None:
    assert median_ranks(n) == ranks


@pytest.mark.parametrize("n", [7, 50, 333, 3000])
def test_ranks_hold_the_median_and_narrower_ones_do_not(n: int) -> None:
    ranks = median_ranks(n)
    assert ranks is not None and sum(ranks) == n + 1
    assert scipy_stats.binom.cdf(ranks[0] - 1, n, 0.5) <= 0.025
    assert scipy_stats.binom.cdf(ranks[0], n, 0.5) > 0.025


def test_intervals_of_the_median_hold_it_as_often_as_they_say() -> None:
    draws = np.random.default_rng(0).exponential(size=(2000, 25))
    ranks = median_ranks(25)
    assert ranks is not None
    ordered = np.sort(draws, 1)
    held = (ordered[:, ranks[0] - 1] <= np.log(2)) & (np.log(2) <= ordered[:, ranks[1] - 1])
    assert 0.94 < held.mean() < 0.98  # 95.7 % in theory


def test_a_summary_by_hand() -> None:
    found = summarise([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0]])
    assert found.n == 6 and found.p50 == 3.5 and found.p90 == 5.5
    assert found.p99 == pytest.approx(5.95)
    assert found.iqr == 2.5
    # Two medians 3 apart: 3.5 ± 12.706 x 1.5, cut at 0.
    assert found.low == 0.0 and found.high == pytest.approx(3.5 + 12.7062047 * 1.5)
    assert found.processes == (2.0, 5.0)
    assert found.noisy == ("IQR 71.4 % of the median", "processes differ by 85.7 %")


def test_too_few_samples_have_no_interval() -> None:
    found = summarise([[1.0, 1.0], [1.0, 1.0]])
    assert found.low is None and found.to_json()["median_95"] is None
    assert not found.noisy


def test_the_interval_is_as_wide_as_processes_differ() -> None:
    found = summarise([[1.0] * 50, [1.0] * 50, [1.015] * 10])
    half = 4.3026527 * 0.015 / 3  # sd of (0, 0, d) is d / sqrt(3), of their mean d / 3
    assert found.low == pytest.approx(1.005 - half) and found.high == pytest.approx(1.005 + half)
    assert not found.noisy  # 1.5 % apart
    alike = summarise([[1.0, 1.1, 1.2] * 10] * 3)
    assert (alike.low, alike.high) == tuple(sorted([1.0, 1.1, 1.2] * 30)[i] for i in (35, 54))
    one = summarise([[1.0, 1.1, 1.2] * 10])
    assert one.low is not None and one.low >= 1.0


@pytest.mark.parametrize(
    ("processes", "reasons"),
    [
        ([[1.0, 1.0, 1.0, 1.049, 1.049]], 0),
        ([[1.0, 1.0, 1.0, 1.06, 1.06]], 1),
        ([[1.0] * 9, [1.019] * 9], 0),
        ([[1.0] * 9, [1.03] * 9], 1),
    ],
)
def test_noise_has_two_limits(processes: list[list[float]], reasons: int) -> None:
    assert len(summarise(processes).noisy) == reasons


def test_warming_up_stops_when_two_blocks_agree() -> None:
    clock = Clock()
    slow_start = iter([9.0] * 5 + [2.0] * 5 + [1.0] * 5 + [1.01] * 5)
    found = warm_up(clock.passes(slow_start), counter(clock))
    assert found.passes == 20 and found.stable


def test_warming_up_gives_up_and_says_so() -> None:
    clock = Clock()
    slower = (1.1 ** (i // 5) for i in range(1000))
    found = warm_up(clock.passes(slower), counter(clock))
    assert found.passes == 5 * MOST_BLOCKS and not found.stable


def test_passes_take_turns_and_a_slow_machine_leaves_the_ratio_alone() -> None:
    clock, order = Clock(), []

    def named(name: str, seconds: float) -> Callable[[], None]:
        # The machine gets slower all the time, to the fourfold in the end.
        speed = (1 + i / 10 for i in range(1000))

        def once() -> None:
            order.append(name)
            clock.now += seconds * next(speed)

        return once

    times = interleave([named("a", 2.0), named("b", 0.5)], 31, counter(clock))
    assert order == ["a", "b"] * 31
    assert summarise([times[0]]).noisy
    found = summarise(ratios([times[1]], [times[0]]))
    assert found.p50 == pytest.approx(0.25) and found.low == pytest.approx(0.25)
    assert not found.noisy


def answer(scale: float = 1.0, *, stable: bool = True) -> dict[str, Any]:
    """Return what a process reports."""
    return {
        "times": [[scale * 0.010] * 10, [scale * 0.004] * 10],
        "warm_up": [{"passes": 10, "stable": stable}, {"passes": 10, "stable": True}],
        "device": {"kind": "cpu", "name": "x", "threads": 1},
    }


def test_processes_that_differ_are_noisy_and_their_ratio_is_not() -> None:
    answers = iter([answer(), answer(1.1), answer()])
    found = latency_processes.run(Request(subjects=TWO), 3, lambda _: next(answers))
    assert found.noisy and "processes differ by 10.0 %" in found.times[0].noisy
    assert found.ratios[0].p50 == pytest.approx(0.4) and not found.ratios[0].noisy
    written = found.to_json()
    assert written["verdict"] == "noisy"
    assert list(written["seconds"]) == ["vit, deployed", "vit, deployed, 50 tokens"]
    assert written["request"]["subjects"][1]["pass"] == "deployed"
    json.dumps(written, allow_nan=False)
    assert list(table(found).columns[-1].cells) == ["noisy", "noisy"]


def test_a_pass_that_never_became_stable_is_noisy() -> None:
    quiet = latency_processes.run(Request(subjects=TWO), 2, lambda _: answer())
    assert not quiet.noisy
    unstable = latency_processes.run(Request(subjects=TWO), 2, lambda _: answer(stable=False))
    assert unstable.noisy and unstable.unstable == ("vit, deployed",)
    assert list(table(unstable).columns[-1].cells) == ["noisy", "quiet"]


@pytest.mark.parametrize(
    ("option", "told"),
    [({"batch": 0}, "--batch-size is 0"), ({"rounds": 1}, "--rounds is 1")],
)
def test_requests_that_cannot_be(option: dict[str, int], told: str) -> None:
    with pytest.raises(UserError, match=told):
        Request(subjects=TWO, **option)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="--processes is 0"):
        latency_processes.run(Request(subjects=TWO), 0, lambda _: answer())


def test_tokens_go_with_the_deployed_pass(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["cost", "vit", "--profile", "smoke", "--tokens", "17", "--latency", "--pass", "step"]
    assert main(words) == 2
    assert "--tokens needs --pass deployed" in capsys.readouterr().err


@pytest.mark.slow
def test_what_a_process_refuses_reaches_the_user() -> None:
    subject = Subject(model="simclr", kind="training")
    with pytest.raises(UserError, match="needs other images in the batch"):
        latency_processes.run(Request(subjects=(subject,), profile="smoke"), 1)


@pytest.mark.slow
def test_the_command_times_in_processes_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "latency.json"
    words = ["cost", "msmae", "--compare", "msmae.finetune", "--profile", "smoke", "--latency"]
    words += ["--pass", "step", "--batch-size", "2", "--rounds", "3", "--processes", "2"]
    assert main([*words, "--json", str(path)]) == 0
    assert "ratio to first" in capsys.readouterr().out
    found = json.loads(path.read_text())["latency"]
    assert [len(p["times"][1]) for p in found["processes"]] == [3, 3]
    assert all(t > 0 for p in found["processes"] for t in p["times"][0])
    assert found["request"]["precision"] == "fp32" and found["request"]["batch"] == 2
    assert found["processes"][0]["device"]["threads"] >= 1 and "torch" in found["versions"]
