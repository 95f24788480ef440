"""Every test errs, and every interval covers, as often as it says; by simulation or by counting.

Frequencies are compared with the promise within four standard errors of their simulation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from harness.stats import aggregate, intervals, location, paired, power, resample, variance
from harness.stats.intervals import Interval
from harness.stats.multiple import holm

ROUNDS = 2000
MARGIN = 0.5


def _near(happened: int, rounds: int, promised: float, *, slack: float = 0.0) -> None:
    """Assert that a frequency is the promised one within Monte-Carlo limits and a known bias."""
    limit = 4 * math.sqrt(promised * (1 - promised) / rounds) + slack
    assert abs(happened / rounds - promised) <= limit, f"{happened / rounds} for {promised}"


def _samples(n: int, *, rounds: int = ROUNDS, seed: int = 0) -> Iterator[list[float]]:
    random = np.random.default_rng(seed)
    for _ in range(rounds):
        yield random.normal(size=n).tolist()


def _covers(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


@pytest.mark.parametrize("n", [2, 5])
def test_student_errs_in_five_percent(n: int) -> None:
    wrong = [location.t_test(x, 0.0).p <= 0.05 for x in _samples(n)]
    _near(sum(wrong), ROUNDS, 0.05)
    one_more = [location.prediction_test(x[:-1], x[-1]).p <= 0.05 for x in _samples(n + 1)]
    _near(sum(one_more), ROUNDS, 0.05)
    pairs = [location.paired_t(x[:n], x[n:]).p <= 0.05 for x in _samples(2 * n)]
    _near(sum(pairs), ROUNDS, 0.05)


@pytest.mark.parametrize("n", [2, 5])
def test_student_s_intervals_cover(n: int) -> None:
    _near(sum(_covers(intervals.t_interval(x), 0.0) for x in _samples(n)), ROUNDS, 0.95)
    covered = [_covers(intervals.prediction_interval(x[:-1]), x[-1]) for x in _samples(n + 1)]
    _near(sum(covered), ROUNDS, 0.95)


def test_equivalence_is_claimed_wrongly_in_five_percent_at_the_margin() -> None:
    # The margin is large beside the spread, so that one side alone decides and the level is exact.
    wrong = [location.tost(x, -20.0, 20.0) <= 0.05 for x in _samples(5)]
    _near(sum(wrong), ROUNDS, 0.05)
    drawn = [location.tost_of_prediction(x[:-1], x[-1] - 20.0, 20.0) <= 0.05 for x in _samples(6)]
    _near(sum(drawn), ROUNDS, 0.05)
    # With a small margin it is claimed less often, never more.
    narrow = sum(location.tost(x, -MARGIN, MARGIN) <= 0.05 for x in _samples(5))
    assert narrow / ROUNDS <= 0.05


def test_power_is_how_often_the_tests_are_significant() -> None:
    shifted = [[0.8 + v for v in x] for x in _samples(8)]
    found = sum(location.t_test(x, 0.0).p <= 0.05 for x in shifted)
    _near(found, ROUNDS, power.power_t(8, 1.0, 0.8))
    close = sum(location.tost(x, -0.3, 1.2) <= 0.05 for x in _samples(8))
    _near(close, ROUNDS, power.power_tost(8, 1.0, 0.3, 1.2))


def test_holm_errs_at_all_in_five_percent_of_families() -> None:
    wrong = 0
    for x in _samples(6 * 5, rounds=1000):
        ps = [location.t_test(x[5 * i : 5 * i + 5], 0.0).p for i in range(6)]
        wrong += min(holm(ps)) <= 0.05
    # Independent tests: 1 - (1 - 0.05 / 6)^6.
    _near(wrong, 1000, 1 - (1 - 0.05 / 6) ** 6)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.83])
@pytest.mark.parametrize(
    ("interval", "least", "most"),
    [(intervals.wilson, 0.92, 0.98), (intervals.clopper_pearson, 0.95, 0.99)],
)
def test_intervals_of_shares_cover(
    interval: Callable[[int, int], Interval], least: float, most: float, share: float
) -> None:
    """Coverage is counted over all outcomes; it jumps with k, and is exact for no share."""
    n = 100
    covered = sum(
        math.comb(n, k) * share**k * (1 - share) ** (n - k)
        for k in range(n + 1)
        if _covers(interval(k, n), share)
    )
    assert least <= covered <= most


@pytest.mark.parametrize("n", [5, 40, 200])
def test_mcnemar_errs_in_at_most_five_percent(n: int) -> None:
    wrong = sum(math.comb(n, b) for b in range(n + 1) if paired.mcnemar(b, n - b) <= 0.05) / 2**n
    assert wrong <= 0.05
    assert n == 5 or wrong > 0.02


def _lesions(
    random: np.random.Generator, *, lesions: int = 40, per: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """Return differences of two equal models, and the lesions of the images.

    Images of a lesion share most of what makes one model right and the other wrong.
    """
    clusters = np.repeat(np.arange(lesions), per)
    shared = random.normal(size=lesions)[clusters]
    values = shared + 0.5 * random.normal(size=len(clusters))
    return values, clusters


def test_sign_flips_err_in_five_percent() -> None:
    random, draws = np.random.default_rng(1), np.random.default_rng(2)
    rounds = 1000
    # Accuracies: -1, 0 and 1.
    values = random.choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=(rounds, 300))
    wrong = sum(paired.sign_flip(v, None, draws, rounds=999) <= 0.05 for v in values)
    _near(wrong, rounds, 0.045, slack=0.015)  # the sums are whole numbers: ties make it cautious


def test_sign_flips_of_lesions_err_in_five_percent_and_of_images_far_more_often() -> None:
    random, draws = np.random.default_rng(3), np.random.default_rng(4)
    rounds, together, alone = 400, 0, 0
    for _ in range(rounds):
        values, clusters = _lesions(random)
        together += paired.sign_flip(values, clusters, draws, rounds=499) <= 0.05
        alone += paired.sign_flip(values, None, draws, rounds=499) <= 0.05
    _near(together, rounds, 0.05)
    assert alone / rounds > 0.25


def test_bootstrapped_differences_err_in_five_percent() -> None:
    random, draws = np.random.default_rng(5), np.random.default_rng(6)
    rounds, together, alone = 600, 0, 0
    for _ in range(rounds):
        values, clusters = _lesions(random, lesions=30)
        for chosen in (clusters, None):
            drawn = resample.bootstrap_means(values, draws, 200, clusters=chosen)
            units = 30 if chosen is not None else len(values)
            wrong = paired.from_draws(float(values.mean()), drawn, units) <= 0.05
            together, alone = (
                (together + wrong, alone) if chosen is not None else (together, alone + wrong)
            )
    # 200 resamples know the standard error within 5 %, which makes the tails a little heavier.
    _near(together, rounds, 0.05, slack=0.01)
    assert alone / rounds > 0.25


def test_intervals_of_lesions_cover_and_of_images_do_not() -> None:
    random, draws = np.random.default_rng(7), np.random.default_rng(8)
    rounds, kinds = 400, ("student", "bootstrap", "difference")
    covered = {(kind, grouped): 0 for kind in kinds for grouped in (True, False)}
    for _ in range(rounds):
        values, clusters = _lesions(random, lesions=30)
        for grouped in (True, False):
            chosen, units = (clusters, 30) if grouped else (None, len(values))
            drawn = resample.bootstrap_means(values, draws, 1000, clusters=chosen)
            found = {
                "student": variance.cluster_interval(values, chosen),
                "bootstrap": resample.percentile(drawn, size=units),
                "difference": paired.mean_difference(
                    values, np.zeros(len(values)), draws, clusters=chosen, rounds=1000
                ),
            }
            for kind, interval in found.items():
                covered[kind, grouped] += _covers(interval, 0.0)
    for kind in kinds:
        _near(covered[kind, True], rounds, 0.95, slack=0.005)
        assert covered[kind, False] / rounds < 0.75


@pytest.mark.parametrize("n", [5, 10])
def test_the_widened_percentile_interval_covers_few_values(n: int) -> None:
    draws, rounds, wide, plain = np.random.default_rng(9), 1000, 0, 0
    for x in _samples(n, rounds=rounds):
        drawn = resample.bootstrap_means(np.asarray(x), draws, 1000)
        wide += _covers(resample.percentile(drawn, size=n), 0.0)
        plain += _covers(resample.percentile(drawn), 0.0)
    # Resamples of five values reach no further out than the values themselves.
    _near(wide, rounds, 0.95, slack=0.02 if n == 5 else 0.01)
    assert plain < wide and plain / rounds < 0.93


def test_seeds_and_lesions_resampled_together_cover() -> None:
    random, draws = np.random.default_rng(10), np.random.default_rng(11)
    rounds, covered, one_way = 500, 0, 0
    seeds, lesions = 15, 30
    clusters = np.repeat(np.arange(lesions), 3)
    for _ in range(rounds):
        values = random.normal(size=(seeds, 1)) + random.normal(size=lesions)[clusters]
        values = values + random.normal(size=values.shape)
        drawn = resample.two_way_means(values, draws, 1000, clusters=clusters)
        covered += _covers(resample.percentile(drawn, size=seeds), 0.0)
        images = resample.bootstrap_means(values.mean(axis=0), draws, 1000, clusters=clusters)
        one_way += _covers(resample.percentile(images, size=lesions), 0.0)
    # Cautious: the quantile is that of the fewer units, and what both share counts twice.
    assert 0.95 - 4 * math.sqrt(0.95 * 0.05 / rounds) <= covered / rounds <= 0.985
    assert one_way / rounds < 0.9


def test_variances_of_seeds_and_of_images_are_kept_apart() -> None:
    random = np.random.default_rng(12)
    rounds, seeds, lesions, per = 1500, 4, 25, 3
    clusters = np.repeat(np.arange(lesions), per)
    found = []
    for _ in range(rounds):
        of_seed = 0.3 * random.normal(size=(seeds, 1))
        values = of_seed + 2.0 * random.normal(size=lesions)[clusters]
        values = values + 0.5 * random.normal(size=(seeds, len(clusters)))
        found.append([variance.between_seeds(values), variance.between_images(values, clusters)])
    means = np.mean(found, axis=0)
    errors = np.std(found, axis=0) / math.sqrt(rounds)
    noise = 0.25 / (lesions * per)
    # A seed's mean varies by its own shift and by the noise; its images by lesions and noise.
    wanted = np.array([0.09 + noise, 4.0 / lesions + noise])
    assert np.all(np.abs(means - wanted) <= 4 * errors)


def test_aggregates_over_tasks_cover() -> None:
    random, draws = np.random.default_rng(13), np.random.default_rng(14)
    rounds, middle, better = 400, 0, 0
    tasks = np.linspace(-1.0, 1.0, 12)
    truth = aggregate._middle(np.random.default_rng(15).normal(tasks, 0.3, (1, 200_000, 12)))[0]
    for _ in range(rounds):
        scores, others = (random.normal(tasks, 0.3, (5, 12)) for _ in range(2))
        middle += _covers(aggregate.iqm(scores, draws, rounds=500).interval, truth)
        found = aggregate.probability_of_improvement(scores, others, draws, rounds=500)
        better += _covers(found.interval, 0.5)
    _near(middle, rounds, 0.95, slack=0.01)
    # Two samples and a bounded number: cautious.
    assert better / rounds >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / rounds)
