"""Numbers of a public reproduction (facebookresearch/mae, issue 91), and known values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats import intervals, location, paired, power
from harness.stats.multiple import holm

BASE = (83.4193058512719, 83.5672585024562, 83.4053103286184, 83.4432981575596, 83.4373000903688)
LARGE = (85.6325975925741, 85.5486244568059, 85.7085732893538, 85.6585892671511, 85.65459056306328)
HUGE = (86.9345429086929, 86.90457167009563, 86.9025735882542, 86.8086637487192)


def test_base_differs_from_the_published_number_and_is_equivalent() -> None:
    assert round(intervals.mean(BASE), 4) == 83.4545
    assert round(intervals.sd(BASE), 4) == 0.0648
    interval = intervals.t_interval(BASE)
    assert (round(interval.low, 4), round(interval.high, 4)) == (83.3740, 83.5349)
    test = location.t_test(BASE, 83.6)
    assert (round(test.statistic, 3), round(test.p, 5), test.df) == (-5.021, 0.00738, 4)
    assert round(location.tost(BASE, 83.6, 0.25), 5) == 0.01132
    assert f"{location.tost(BASE, 83.6, 0.5):.2e}" == "1.28e-04"


def test_large_differs_and_is_equivalent_at_the_wide_margin_only() -> None:
    test = location.t_test(LARGE, 85.9)
    assert (round(test.statistic, 3), round(test.p, 5)) == (-9.925, 0.00058)
    assert round(location.tost(LARGE, 85.9, 0.25), 3) == 0.631
    assert f"{location.tost(LARGE, 85.9, 0.5):.1e}" == "3.9e-04"


def test_huge_does_not_differ_and_is_equivalent() -> None:
    test = location.t_test(HUGE, 86.9)
    assert (round(test.statistic, 3), round(test.p, 3), test.df) == (-0.455, 0.680, 3)
    assert round(location.tost(HUGE, 86.9, 0.25), 4) == 0.0016


def test_a_draw_is_less_certain_than_a_constant() -> None:
    # The statistic shrinks by sqrt(1 + n): sd sqrt(1 / n) becomes sd sqrt(1 + 1 / n).
    constant, draw = location.t_test(BASE, 83.6), location.prediction_test(BASE, 83.6)
    assert draw.statistic == pytest.approx(constant.statistic / math.sqrt(6))
    assert draw.p > constant.p
    assert location.tost_of_prediction(BASE, 83.6, 0.25) > location.tost(BASE, 83.6, 0.25)
    # The number lies in the prediction interval exactly where the test does not reject.
    interval = intervals.prediction_interval(BASE)
    for end in (interval.low, interval.high):
        assert location.prediction_test(BASE, end).p == pytest.approx(0.05)


def test_values_that_do_not_vary_are_certain() -> None:
    assert location.t_test([0.1] * 3, 0.1) == location.TTest(0.0, 1.0, 2)
    assert location.t_test([0.1] * 3, 0.2) == location.TTest(-math.inf, 0.0, 2)
    assert location.prediction_test([0.3] * 2, 0.2) == location.TTest(math.inf, 0.0, 1)
    assert location.tost([1.0, 1.0], 1.2, 0.25) == 0.0
    assert location.tost([1.0, 1.0], 1.5, 0.25) == 1.0


def test_a_spread_that_rounding_hides_is_not_zero() -> None:
    # Both seeds differ by one image of 100.
    assert location.paired_t([0.81, 0.80], [0.80, 0.79]).p < 1e-9
    step = math.sqrt(1 / 6) / 100
    honest = location.paired_t([0.81, 0.80], [0.80, 0.79], least=step)
    assert honest.statistic == pytest.approx(0.01 / (step / math.sqrt(2)))
    assert honest.p > 0.1


@pytest.mark.parametrize(
    "call",
    [
        lambda: location.t_test([1.0], 1.0),
        lambda: location.prediction_test([1.0], 1.0),
        lambda: location.tost([1.0], 1.0, 0.1),
        lambda: location.tost([1.0, 2.0], 1.0, 0.0),
        lambda: location.t_test([1.0, math.nan], 1.0),
        lambda: location.t_test([1.0, 2.0], math.inf),
        lambda: location.paired_t([1.0, 2.0], [1.0]),
        lambda: intervals.prediction_interval([1.0]),
        lambda: intervals.clopper_pearson(3, 2),
        lambda: power.power_t(1, 1.0, 1.0),
        lambda: power.power_t(2, -1.0, 1.0),
        lambda: power.power_tost(2, 1.0, 0.0, 0.0),
        lambda: power.seeds_for_difference(1.0, 1.0, power=1.0),
        lambda: holm([0.1, 1.1]),
        lambda: paired.mcnemar(-1, 2),
        lambda: paired.sign_flip(np.zeros(0), None, np.random.default_rng(0)),
        lambda: paired.sign_flip(np.zeros(3), np.zeros(2), np.random.default_rng(0)),
        lambda: paired.from_draws(1.0, np.array([1.0, math.nan]), 5),
    ],
)
def test_what_cannot_be_tested_is_refused(call: object) -> None:
    with pytest.raises(ValueError):
        call()  # type: ignore[operator]


def test_mcnemar_is_the_binomial_test_of_the_images_that_differ() -> None:
    # P(X <= 3) for 11 fair coins is (1 + 11 + 55 + 165) / 2048.
    assert paired.mcnemar(3, 8) == pytest.approx(2 * 232 / 2048)
    assert paired.mcnemar(8, 3) == paired.mcnemar(3, 8)
    assert paired.mcnemar(0, 0) == paired.mcnemar(5, 5) == 1.0


def test_holm_multiplies_by_what_is_left_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_clopper_pearson_solves_the_binomial_tails() -> None:
    interval = intervals.clopper_pearson(8, 10)
    upper = sum(math.comb(10, k) * interval.low**k * (1 - interval.low) ** (10 - k)
                for k in range(8, 11))  # fmt: skip
    lower = sum(math.comb(10, k) * interval.high**k * (1 - interval.high) ** (10 - k)
                for k in range(9))  # fmt: skip
    assert (upper, lower) == (pytest.approx(0.025), pytest.approx(0.025))
    assert intervals.clopper_pearson(0, 10).low == 0.0
    assert intervals.clopper_pearson(10, 10).high == 1.0


def test_the_seeds_that_are_needed_are_the_fewest_that_suffice() -> None:
    seeds = power.seeds_for_difference(0.065, 0.1)
    assert seeds is not None
    assert power.power_t(seeds - 1, 0.065, 0.1) < 0.8 <= power.power_t(seeds, 0.065, 0.1)
    seeds = power.seeds_for_equivalence(0.2, 0.25, difference=0.1)
    assert seeds is not None
    before = power.power_tost(seeds - 1, 0.2, 0.1, 0.25)
    assert before < 0.8 <= power.power_tost(seeds, 0.2, 0.1, 0.25)
    assert power.seeds_for_difference(0.0, 0.1) == 2
    assert power.seeds_for_difference(0.001, 1.0) == 2
    assert power.seeds_for_difference(1.0, 0.0) is None
    assert power.seeds_for_difference(1.0, 0.01) is None  # more than 10 000
    assert power.seeds_for_equivalence(0.1, 0.25, difference=0.25) is None


def test_power_is_the_level_where_there_is_no_effect() -> None:
    assert power.power_t(5, 1.0, 0.0) == pytest.approx(0.05)
    assert power.power_t(5, 0.0, 0.0) == 0.0
    assert power.power_t(5, 0.0, 1.0) == power.power_tost(5, 0.0, 0.1, 0.2) == 1.0
    # At the margin, and precise: half of the trials miss one side, 5 % reject it.
    assert power.power_tost(30, 0.01, 0.25, 0.25) == pytest.approx(0.05, abs=1e-6)
