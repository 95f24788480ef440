"""The verdict on one number: golden cases, every word, their order, and what it would take."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.spec.claim import Margin
from harness.spec.printed import Printed
from harness.verdict.judge import describe, judge, sensitivity
from harness.verdict.values import MEANINGS, Evidence, NamedSd, Verdict
from tests.conftest import Harness

# Full runs of masked autoencoders by facebookresearch/mae, issue 91, against the published numbers.
BASE = (83.4193058512719, 83.5672585024562, 83.4053103286184, 83.4432981575596, 83.4373000903688)
LARGE = (85.6325975925741, 85.5486244568059, 85.7085732893538, 85.6585892671511, 85.65459056306328)
HUGE = (86.9345429086929, 86.90457167009563, 86.9025735882542, 86.8086637487192)


def evidence(values: tuple[float, ...], published: str, margin: float, **changes: Any) -> Evidence:
    """Return evidence on typed numbers."""
    given: dict[str, Any] = {
        "printed": Printed(published),
        "values": values,
        "margin": Margin(value=margin, source="a test"),
        "basis": "mean",
    }
    return Evidence(**(given | changes))


@pytest.mark.parametrize(
    ("values", "published", "margin", "expected"),
    [
        (
            BASE,
            "83.6",
            0.25,
            {"t": -5.021, "p": 0.00738, "tost": 0.01132, "word": "equivalent, not equal"},
        ),
        (
            BASE,
            "83.6",
            0.5,
            {"t": -5.021, "p": 0.00738, "tost": 1.28e-4, "word": "equivalent, not equal"},
        ),
        (LARGE, "85.9", 0.25, {"t": -9.925, "p": 0.00058, "tost": 0.631, "word": "different"}),
        (
            LARGE,
            "85.9",
            0.5,
            {"t": -9.925, "p": 0.00058, "tost": 3.9e-4, "word": "equivalent, not equal"},
        ),
        (HUGE, "86.9", 0.25, {"t": -0.455, "p": 0.680, "tost": 0.0016, "word": "reproduced"}),
    ],
)
def test_golden_cases(
    values: tuple[float, ...], published: str, margin: float, expected: Mapping[str, Any]
) -> None:
    verdict = judge(evidence(values, published, margin))
    assert verdict.word == expected["word"]
    test = verdict.rests_on
    assert test is not None
    assert round(test.statistic, 3) == expected["t"]
    assert test.difference == pytest.approx(expected["p"], rel=0.01)
    assert test.equivalence == pytest.approx(expected["tost"], rel=0.02)
    if values is BASE:
        assert verdict.mean is not None
        assert verdict.sd is not None
        assert verdict.interval is not None
        assert [round(verdict.mean, 4), round(verdict.sd, 4)] == [83.4545, 0.0648]
        assert [round(verdict.interval.low, 4), round(verdict.interval.high, 4)] == [
            83.3740,
            83.5349,
        ]
    if values is LARGE and margin == 0.25:
        assert verdict.side == "below"


def test_margin_where_the_verdict_turns_is_where_equivalence_is_just_significant() -> None:
    verdict = judge(evidence(BASE, "83.6", 0.25))
    assert verdict.rests_on is not None
    turns = verdict.rests_on.turns_at
    below = judge(evidence(BASE, "83.6", turns * (1 - 1e-9)))
    above = judge(evidence(BASE, "83.6", turns * (1 + 1e-9)))
    assert (below.word, above.word) == ("different", "equivalent, not equal")
    assert "different below" in sensitivity(verdict)


def test_published_draw_widens_both_tests() -> None:
    mean, draw = judge(evidence(BASE, "83.6", 0.25)).tests
    # Errors are sd sqrt(1/5) and sd sqrt(1 + 1/5): a ratio of sqrt(6).
    assert mean.statistic == pytest.approx(draw.statistic * 6**0.5)
    assert draw.difference > mean.difference
    assert draw.equivalence > mean.equivalence
    rests = judge(evidence(BASE, "83.6", 0.25, basis="draw")).rests_on
    assert rests == draw
    assert any(
        "rests on it" in line and "draw" in line
        for line in describe(judge(evidence(BASE, "83.6", 0.25, basis="draw")))
    )


def test_undecidable_names_seeds_that_do_decide() -> None:
    verdict = judge(evidence((80.0, 84.0, 82.0), "83.0", 0.5))
    assert verdict.word == "undecidable"
    assert verdict.seeds_needed is not None
    assert f"about {verdict.seeds_needed} seeds" in verdict.reason
    # As many seeds with the same mean and spread: the verdict is another.
    count = 3 * verdict.seeds_needed
    sd = verdict.sd
    assert sd is not None
    values = tuple(82.0 + sd * (-1) ** i for i in range(count))
    assert judge(evidence(values, "83.0", 0.5)).word != "undecidable"


def test_published_draw_may_leave_a_small_margin_out_of_reach() -> None:
    verdict = judge(evidence((80.0, 84.0, 82.0), "82.0", 0.1, basis="draw"))
    assert verdict.word == "undecidable"
    assert verdict.seeds_needed is None
    assert "no number of seeds" in verdict.reason


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_seeds_decide_nothing(count: int) -> None:
    values = (83.0,) * count
    unknown = judge(evidence(values, "83.0", 0.5))
    assert unknown.word == "undecidable"
    assert "unknown" in unknown.reason
    named = judge(evidence(values, "83.0", 5.0, sd=NamedSd(value=1.0, source="other rows")))
    assert named.word == "undecidable"
    assert named.seeds_needed is not None
    assert "other rows" in named.reason


def test_values_that_do_not_vary_are_not_certain() -> None:
    # Half of the last digit of the print, 0.05, is their sd: a tenth is too narrow, a half is not.
    assert judge(evidence((80.0, 80.0), "80.0", 0.1)).word == "undecidable"
    assert judge(evidence((80.0, 80.0), "80.0", 0.5)).word == "reproduced"
    below = judge(evidence((79.0, 79.0), "80.0", 0.1))
    assert (below.word, below.side) == ("different", "below")


@pytest.mark.parametrize("values", [(83.4,) * 3, (83.4,) * 2, (83.4, 83.4, 83.4, 83.4)])
@pytest.mark.parametrize("basis", ["mean", "draw"])
def test_equal_typed_values_have_the_spread_of_their_last_digit(
    values: tuple[float, ...], basis: str
) -> None:
    verdict = judge(evidence(values, "83.6", 0.25, basis=basis))
    n, test = len(values), verdict.rests_on
    assert test is not None
    # Student's t with the sd 0.05, of a step of 0.1.
    error = 0.05 * (1 / n + (basis == "draw")) ** 0.5
    assert test.statistic == pytest.approx(-0.2 / error)
    assert test.difference > 0.0 and test.equivalence > 0.0
    assert verdict.sd == 0.0
    assert verdict.interval is not None and verdict.interval.low < 83.4 < verdict.interval.high
    (said,) = [fact for fact in verdict.facts if "do not vary" in fact]
    assert "half of one last digit (0.1)" in said and "0.05" in said


@pytest.mark.parametrize(
    ("values", "published", "word"),
    [
        # The print may stand for 82.5 to 83.5: no other number is shown, and none within 0.25.
        ((83.43,) * 3, "83", "undecidable"),
        ((83.42, 83.43, 83.44), "83", "undecidable"),
        ((83.62,) * 5, "83.6", "reproduced"),
        ((83.61, 83.62, 83.63, 83.62, 83.62), "83.6", "reproduced"),
        ((83.65,) * 5, "83.6", "reproduced"),  # 83.65 is printed 83.6 by rounding to even
        ((83.66,) * 5, "83.6", "equivalent, not equal"),
        ((83.65, 83.66, 83.67, 83.66, 83.66), "83.6", "equivalent, not equal"),
        ((83.51,) * 3, "83", "different"),
        ((83.50, 83.51, 83.52), "83", "different"),
        ((82.49,) * 3, "83", "different"),
    ],
)
def test_rounding_of_the_print_is_treated_alike_whether_values_vary_or_not(
    values: tuple[float, ...], published: str, word: str
) -> None:
    verdict = judge(evidence(values, published, 0.25))
    assert verdict.word == word
    # Whatever is called equivalent lies within the margin of the print as it stands.
    assert verdict.mean is not None
    inside = abs(verdict.mean - float(published)) < 0.25
    assert inside == (word in ("reproduced", "equivalent, not equal"))
    test = verdict.rests_on
    assert test is not None and test.difference < 0.05  # but for the rounding, all are different
    below = "undecidable" if word in ("undecidable", "reproduced") else "different"
    assert sensitivity(verdict).startswith(f"{below} below")
    again = judge(evidence(values, published, test.turns_at * (1 - 1e-9)))
    assert again.word == below


def test_otherwise_is_what_the_tests_of_the_page_say() -> None:
    # 83.6 is no share of 37 images; 31 of 37 are 83.78. Half an image is the least sd.
    given: dict[str, Any] = {"is_share": True, "printed_n": 37, "basis": "draw"}
    verdict = judge(evidence((81.08, 81.08, 81.08), "83.60", 0.25, **given))
    assert verdict.word == "unattainable"
    (said,) = [fact for fact in verdict.facts if fact.startswith("otherwise ")]
    draw = next(test for test in verdict.tests if test.basis == "draw")
    assert f"difference p {draw.difference:.3g}, equivalence" in said
    assert verdict.least_sd == pytest.approx(50 / 37)


def test_seeds_that_one_seed_asks_for_take_its_difference_and_the_believed_spread() -> None:
    sd = NamedSd(value=0.1, source="other rows")
    far = judge(evidence((70.0,), "83.0", 0.5, sd=sd))
    # 13 points away no number of seeds shows equivalence, but two or more a difference.
    assert "the difference of this seed (−13.00)" in far.reason
    assert "equivalence" not in far.reason
    near = judge(evidence((83.1,), "83.0", 0.5, sd=sd))
    assert near.seeds_needed is not None and far.seeds_needed is not None
    assert near.seeds_needed > far.seeds_needed == 2
    # Of 37 images no sd below half an image is believed.
    floor = judge(evidence((83.78,), "83.78", 0.5, sd=sd, n=37, step=100 / 37))
    assert "with the sd 1.351, half of one image of 37" in floor.reason
    assert floor.seeds_needed is not None and floor.seeds_needed > 20
    none = judge(evidence((), "83.0", 0.5, sd=sd))
    assert "and no difference, about" in none.reason


def test_resolution_of_typed_values_is_the_finest_that_is_known() -> None:
    # The values have two decimals; the print has one, or three, zeros included.
    assert judge(evidence((83.42, 83.42), "83.6", 1.0)).least_sd == pytest.approx(0.005)
    assert judge(evidence((83.4, 83.4), "83.600", 1.0)).least_sd == pytest.approx(0.0005)
    # Shares of 522 images, as --images says of the published number: one image is 0.19 points.
    of_images = judge(evidence((62.07, 62.07), "63.41", 1.0, **SHARE))
    assert of_images.least_sd == pytest.approx(50 / 522)
    assert any("half of one image of 522" in fact for fact in of_images.facts)
    # 62.00 is no share of 522 images: the values are no single runs' shares.
    other = judge(evidence((62.0, 62.0), "63.41", 1.0, **SHARE))
    assert other.least_sd == pytest.approx(0.005)


def test_values_that_vary_keep_their_own_spread() -> None:
    verdict = judge(evidence(BASE, "83.6", 0.25))
    assert verdict.least_sd < 1e-12
    assert not any("vary" in fact for fact in verdict.facts)


def test_mean_of_runs_is_a_share_of_all_their_answers() -> None:
    three = (62.9, 63.0, 63.1)
    # 63.47 % is no share of 522 images, but 994 of 1566 answers.
    single = judge(evidence(three, "63.47", 1.0, **SHARE))
    assert single.word == "unattainable"
    assert "if it is one run's share; a mean of 3 runs could be" in single.reason
    mean = judge(evidence(three, "0", 1.0, **(SHARE | {"printed": Printed("63.47", runs=3)})))
    assert mean.word != "unattainable"
    # A mean of three runs varies by a third of a single run's variance.
    test = mean.rests_on
    assert test is not None and mean.sd is not None
    assert test.statistic == pytest.approx((63.0 - 63.47) / (mean.sd * (1 / 3 + 1 / 3) ** 0.5))
    assert any("mean of 3 runs" in line for line in describe(mean))
    # 58.43 % is 305 of 522, the constant answer's; so is 915 of 1566.
    constant = evidence(three, "0", 1.0, **(SHARE | {"printed": Printed("58.43", runs=3)}))
    assert judge(replace(constant, constants=(305,))).word == "collapsed"


def test_number_that_only_truncation_gives_is_said() -> None:
    # 330 of 522 is 63.2183..., 63.22 rounded; 63.21 is printed by truncation alone.
    cut = judge(evidence((63.2, 63.3), "63.21", 1.0, **SHARE))
    assert any("63.21 % is 330 of 522 images only by truncation" in fact for fact in cut.facts)
    rounded = judge(evidence((63.2, 63.3), "63.22", 1.0, **SHARE))
    assert not any("truncation" in fact for fact in rounded.facts)


SHARE: dict[str, Any] = {"is_share": True, "printed_n": 522, "basis": "draw"}


def _words() -> Mapping[str, Verdict]:
    """Return a verdict of each word, by the word that is expected."""
    three = (62.9, 63.0, 63.1)
    return {
        "unattainable": judge(evidence(three, "68.41", 1.0, **SHARE)),
        "collapsed": judge(evidence(three, "58.43", 1.0, **SHARE, constants=(304, 305))),
        "not run": judge(evidence((), "63.41", 1.0, **SHARE, absent="no finished run")),
        "not comparable": judge(evidence(three, "63.41", 1.0, foreign=("profile",))),
        "equal by computation": judge(evidence((), "16.86", 1.0, counted=16.8621)),
        "reproduced": judge(evidence(three, "63.02", 1.0)),
        "equivalent, not equal": judge(evidence(three, "63.41", 1.0)),
        "different": judge(evidence(three, "68.97", 1.0, **SHARE)),
        "undecidable": judge(evidence((60.0, 66.0), "63.41", 1.0)),
    }


def test_every_word_of_the_vocabulary_is_reached() -> None:
    words = _words()
    assert set(words) == set(MEANINGS)
    assert {word: verdict.word for word, verdict in words.items()} == {w: w for w in words}


OBSTACLES: dict[str, dict[str, Any]] = {
    "unattainable": {"printed": Printed("68.41"), **SHARE},
    "collapsed": {"printed": Printed("58.43"), **SHARE, "constants": (305,)},
    "not run": {"absent": "no finished run"},
    "not comparable": {"foreign": ("profile 'smoke'",)},
    "equal by computation": {"counted": 63.41},
}
"""What makes each word apply that rests on no test, in the order of precedence."""


# A number that no count gives is no constant answer's: the first two never apply together.
TOGETHER = [*itertools.combinations(OBSTACLES, 2)][1:]


@pytest.mark.parametrize(("earlier", "later"), TOGETHER)
def test_the_earlier_of_two_words_that_apply_is_the_verdict(earlier: str, later: str) -> None:
    both = OBSTACLES[later] | OBSTACLES[earlier]
    judged = judge(evidence((62.9, 63.0, 63.1), "63.41", 1.0, **both))
    assert judged.word == earlier
    assert [*OBSTACLES] == [*MEANINGS][: len(OBSTACLES)]


def test_first_word_that_applies_is_the_verdict_and_the_rest_is_said() -> None:
    everything = evidence(
        (58.43, 58.43),
        "68.41",
        1.0,
        **SHARE,
        absent="no finished run",
        foreign=("profile 'smoke'",),
        collapsed=2,
    )
    unattainable = judge(everything)
    assert unattainable.word == "unattainable"
    assert {"no finished run", "profile 'smoke'"} <= set(unattainable.facts)
    theirs = replace(everything, printed=Printed("58.43"), constants=(305,))
    assert judge(theirs).word == "collapsed"
    absent = replace(everything, printed=Printed("63.41"))
    assert judge(absent).word == "not run"
    foreign = replace(absent, absent="")
    assert judge(foreign).word == "not comparable"
    collapsed = replace(foreign, foreign=())
    assert judge(collapsed).word == "collapsed"
    # One of two runs that collapsed is said, and decides nothing.
    half = judge(replace(collapsed, collapsed=1, values=(58.43, 63.0)))
    assert half.word == "undecidable"
    assert any("1 of our 2 runs" in fact for fact in half.facts)


def test_count_that_differs_is_different() -> None:
    verdict = judge(evidence((), "17.58", 1.0, counted=16.8621))
    assert (verdict.word, verdict.side) == ("different", "below")


def test_trailing_zero_counts() -> None:
    # 61.3 with one decimal is 320 of 522 (61.303); 61.30 is, too; 61.40 is none, 61.4 is not
    # one either, but 75.0 has a count where 75.00 has none: 391.5 of 522.
    assert judge(evidence((), "75.0", 1.0, **SHARE)).word != "unattainable"
    assert judge(evidence((), "75.00", 1.0, **SHARE)).word == "unattainable"


def test_typed_values_on_the_command_line(harness: Harness) -> None:
    words = ["verdict", "--values", ",".join(map(repr, BASE)), "--published", "83.6"]
    code, out, err = harness(*words, "--margin", "0.25", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["verdict"] == "equivalent, not equal"
    assert found["values"] == list(BASE)  # no number passed through text
    assert found["rests_on"] == "mean"
    code, out, _ = harness(*words, "--margin", "0.25")
    assert code == 0
    assert "Verdict: equivalent, not equal." in out
    for shown in (
        "83.4545",
        "0.0648",
        "[83.3740, 83.5349]",
        "-5.021".replace("-", "\N{MINUS SIGN}"),
    ):
        assert shown in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "names of tables, or --values"),
        (["--values", "1,2"], "--published is missing"),
        (["--values", "1,2", "--published", "1"], "--margin is missing"),
        (["--values", "1,x", "--published", "1", "--margin", "1"], "'x'"),
        (["--values", "1,,2", "--published", "1", "--margin", "1"], "--values"),
        (["--values", "1,nan", "--published", "1", "--margin", "1"], "nan"),
        (["--values", "1,2", "--published", "one", "--margin", "1"], "one"),
        (["--values", "1,2", "--published", "1", "--margin", "0"], "margin"),
        (["--values", "1,2", "--published", "1", "--margin", "-1"], "margin"),
        (["table1", "--values", "1,2", "--published", "1"], "both"),
        (["table1", "--basis", "mean"], "--basis"),
        (["table99"], "table99"),
    ],
)
def test_bad_input_is_one_line(harness: Harness, words: list[str], says: str) -> None:
    code, out, err = harness("verdict", *words)
    assert code == 2
    assert says in err
    assert len(err.strip().splitlines()) <= 2
    assert "Traceback" not in err + out
