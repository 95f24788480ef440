"""Gains and claims: one test for one comparison, honest multiplicity, sizes, and what is said."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import UserError
from harness.plan.plan import Plan
from harness.spec.claim import Claim, Margin, Ordering
from harness.spec.printed import Printed
from harness.spec.run import sources
from harness.stats import grid, location
from harness.stats.multiple import LEVEL
from harness.store import margins as ledger
from harness.store.margins import TableFile
from harness.store.record import Records
from harness.verdict import gains
from harness.verdict.claims import JudgedClaim
from harness.verdict.frozen import chosen
from harness.verdict.gains import Gain, Published
from harness.verdict.table import judge_plan
from harness.verdict.values import Word
from tests.verdict.planted import FAMILY, IMAGES, plan_of, plant, row_of, table_of

ROWS = [
    row_of("ours", {FAMILY: "90.63"}, 0.1),
    row_of("theirs", {FAMILY: "80.47"}, 0.2),
    row_of("near", {FAMILY: "88.28"}, 0.3),
    row_of("noisy", {FAMILY: "85.16"}, 0.4),
]
COUNTS = {
    "ours": (115, 116, 118),
    "theirs": (102, 102, 104),
    "near": (109, 113, 112),
    "noisy": (77, 127, 102),
}


def _over(than: str, **changes: Any) -> Ordering:
    return Ordering(**({"row": "ours", "than": than, "column": FAMILY} | changes))


def _claim(*parts: Ordering, **changes: Any) -> Claim:
    return Claim(name="claim", text="A sentence.", source="", decided_by=parts, **changes)


def _judged(folder: Path, *claims: Claim, **changes: Any) -> tuple[JudgedClaim, ...]:
    made = plan_of(folder, table_of(ROWS, claims=claims, subject="ours"), **changes)
    plant(made, COUNTS)
    return judge_plan(made).claims


def test_claim_and_gain_of_the_same_rows_have_the_same_p(tmp_path: Path) -> None:
    claims = tuple(_claim(_over(than)) for than in ("theirs", "near", "noisy"))
    made = plan_of(tmp_path, table_of(ROWS, claims=claims, subject="ours"))
    plant(made, COUNTS)
    verdict = judge_plan(made)
    assert len(verdict.effects) == len(verdict.claims) == 3
    for effect, claim in zip(verdict.effects, verdict.claims, strict=True):
        ours, theirs = COUNTS["ours"], COUNTS[effect.rival]
        differences = [100 * (a - b) / IMAGES for a, b in zip(ours, theirs, strict=True)]
        least = grid.least_sd_of_differences(100 / IMAGES, 100 / IMAGES)
        two_sided = location.t_test(differences, 0.0, least=least).p
        assert effect.p_alone == claim.p == pytest.approx(two_sided)
        # A claim of one comparison says its p, and the page where Holm makes another of it.
        assert f"p {two_sided:.3g}" in claim.reason
        assert f"p of no gain {two_sided:.3g}" in effect.reason
        assert effect.p is not None and effect.tests == 6
        assert (f"by Holm over 6 tests {effect.p:.3g}" in effect.reason) == (effect.p != two_sided)
        alone = two_sided <= LEVEL
        assert claim.word == ("reproduced" if alone else "undecidable")


def test_one_gain_is_judged_alike_by_claim_and_effect(tmp_path: Path) -> None:
    # One rival: the effect is alone in its table, as the claim's part is, with the same size.
    several = ((102, 102, 104), (111, 112, 115), (77, 127, 102), (123, 124, 126))
    for number, theirs in enumerate(several):
        table = table_of(
            ROWS[:2], claims=(_claim(_over("theirs", by=Printed("10.16"))),), subject="ours"
        )
        made = plan_of(tmp_path / str(number), table)
        plant(made, {"ours": COUNTS["ours"], "theirs": theirs})
        verdict = judge_plan(made)
        (effect,), (claim,) = verdict.effects, verdict.claims
        assert claim.word == effect.word
        assert effect.reason.split(" (p of")[1] in claim.reason


def test_size_that_a_sentence_states_is_judged(tmp_path: Path) -> None:
    right, wrong, order = _judged(
        tmp_path,
        _claim(_over("theirs", by=Printed("10.2"))),
        _claim(_over("theirs", by=Printed("30.2"))),
        _claim(_over("theirs")),
    )
    assert (right.word, wrong.word, order.word) == ("reproduced", "different", "reproduced")
    assert "published +30.2: in the same direction, but smaller" in wrong.reason


def test_as_many_parts_as_the_sentence_says_must_hold(tmp_path: Path) -> None:
    three = (_over("theirs"), _over("near"), _over("noisy"))
    every, one, two, three_of = _judged(
        tmp_path,
        _claim(*three),
        _claim(*three, holds="any"),
        _claim(*three, holds=2),
        _claim(*three, holds=3),
    )
    assert (every.word, one.word) == ("undecidable", "reproduced")
    assert every.p == three_of.p
    assert "all must hold" in every.reason and "1 of 3 parts must hold" in one.reason
    alone = sorted(float(m) for m in re.findall(r"p ([\d.e-]+)[:;]", " ".join(every.parts)))
    # All: the largest; any: Bonferroni over three; two of three: the second, times two.
    assert every.p == pytest.approx(alone[2], rel=0.01)
    assert one.p == pytest.approx(3 * alone[0], rel=0.01)
    assert two.p == pytest.approx(2 * alone[1], rel=0.01)


def test_one_part_of_many_refutes_them_only_beyond_chance(tmp_path: Path) -> None:
    clear = Ordering(row="theirs", than="ours", column=FAMILY)
    close = Ordering(row="near", than="ours", column=FAMILY)
    alone, among, surely = _judged(
        tmp_path,
        _claim(close),
        _claim(close, *(_over("noisy") for _ in range(4))),
        _claim(clear, *(_over("noisy") for _ in range(4))),
    )
    assert alone.word == "different"
    assert among.word == "undecidable"  # one of five, at p .038
    assert surely.word == "different"


def test_columns_are_counted_where_the_sentence_speaks_of_tasks() -> None:
    parts = tuple(Ordering(row="a", than=t, column=c) for c in "xyz" for t in ("b", "c"))
    assert _claim(*parts, holds=2, counts="columns").least == 2
    assert _claim(*parts, counts="columns").least == 3
    assert _claim(*parts).least == 6
    assert _claim(*parts, holds="any").least == 1
    bad: tuple[dict[str, Any], ...] = (
        {"holds": 4, "counts": "columns"},
        {"holds": 0},
        {"holds": 7},
        {"holds": True},
        {"holds": "some"},
        {"counts": "rows"},
    )
    for given in bad:
        with pytest.raises(UserError, match="allowed"):
            _claim(*parts, **given)
    with pytest.raises(UserError, match="above 0"):
        _over("theirs", by=Printed("-1.0"))
    with pytest.raises(UserError, match="above 0"):
        _over("theirs", holds="not worse", by=Printed("1.0"))


def test_columns_hold_if_all_of_their_parts_do(tmp_path: Path) -> None:
    # Two columns of the same runs, of which the second's claim fails.
    auc = f"{FAMILY}.balanced_accuracy"
    parts = (_over("theirs"), _over("theirs", column=auc), _over("noisy", column=auc))
    table = table_of(ROWS, claims=(_claim(*parts, holds="any", counts="columns"), _claim(*parts)))
    made = plan_of(tmp_path, _with_second_column(table))
    plant(made, COUNTS)
    any_column, every_part = judge_plan(made).claims
    assert any_column.word == "reproduced"
    assert "1 of 2 columns must hold" in any_column.reason
    assert every_part.word == "undecidable"


def _with_second_column(table: Any) -> Any:
    (first,) = table.columns
    return replace(table, columns=(first, replace(first, metric="balanced_accuracy")))


def test_claim_outside_the_view_says_so(tmp_path: Path) -> None:
    (claim,) = _judged(
        tmp_path, _claim(_over("theirs")), metrics=("balanced_accuracy",), unprepared=True
    )
    assert claim.word == "not run"
    assert "not part of this view" in claim.reason


def _made_by_present_sources(made: Plan, *rows: str) -> None:
    """Write into the records of rows that the present sources made them."""
    records_of = Records(made.options.runs)
    for cell_run in made.cell_runs:
        run = cell_run.run
        record = records_of.read(run.key())
        assert record is not None
        if cell_run.row.name in rows:
            present = sources(run, len(run.stages))
            provenance = replace(record.provenance, sources=present)
            records_of.write(replace(record, provenance=provenance))


def test_gains_and_claims_say_which_runs_are_of_other_sources(tmp_path: Path) -> None:
    claims = (_claim(_over("theirs")), _claim(_over("near"), _over("theirs")))
    made = plan_of(tmp_path, table_of(ROWS[:3], claims=claims, subject="ours"))
    plant(made, COUNTS)
    _made_by_present_sources(made, "ours", "near")
    old = judge_plan(made)
    assert ["†" in e.reason for e in old.effects] == [True, False]
    assert old.effects[0].remarks == ("3 of 6 runs were made by other sources (†)",)
    assert "3 of 6 runs were made by other sources (†)" in old.claims[0].reason
    assert ["†" in part for part in old.claims[1].parts] == [False, True]
    _made_by_present_sources(made, "theirs")
    fresh = judge_plan(made)
    texts = [e.reason for e in fresh.effects] + [c.reason for c in fresh.claims]
    assert not any("†" in text for text in texts)


ROUNDS = 1500
MOST = 0.05 + 3.3 * (0.05 * 0.95 / ROUNDS) ** 0.5


def _family(rng: np.random.Generator, truth: np.ndarray, sd: float, seeds: int) -> list[Word]:
    """Return what is wrongly said of gains over rivals on 233 images, with a common subject."""
    n = 233
    # One more draw of every row is the published one.
    subject = rng.normal(0.8, sd, seeds + 1)
    rivals = rng.normal(0.8 - truth[:, None], sd, (len(truth), seeds + 1))
    shares = 100 * (np.round(n * subject) - np.round(n * rivals)) / n
    least = grid.least_sd_of_differences(100 / n, 100 / n)
    found = [
        (
            Gain(seeds=tuple(range(seeds)), values=tuple(row[1:]), least_sd=least),
            Published(size=float(row[0])),
        )
        for row in shares
    ]
    wrong: list[Word] = []
    for true, (gain, published), judged in zip(truth, found, gains.judge_all(found), strict=True):
        right = np.sign(gain.mean) == np.sign(true)
        # Every published gain is a draw of the same methods: none is of another size.
        of_size = judged.word == "different" and judged.size_adjusted <= LEVEL
        of_direction = judged.none_adjusted <= LEVEL and not right
        if of_size or of_direction:
            wrong.append(judged.word)
        del published
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("sd", [0.002, 0.01])
@pytest.mark.parametrize("truth", [(0.0,) * 9, (0.0,) * 4 + (0.05,) * 5, (0.3,) * 9])
def test_family_of_gains_errs_at_most_at_the_level(
    truth: tuple[float, ...], sd: float, seeds: int
) -> None:
    rng = np.random.default_rng(11)
    wrong = [bool(_family(rng, np.asarray(truth), sd, seeds)) for _ in range(ROUNDS)]
    assert np.mean(wrong) <= MOST


def _judged_gain(values: tuple[float, ...], size: float, rounding: float) -> Word:
    gain = Gain(seeds=tuple(range(len(values))), values=values, least_sd=0.005)
    return gains.judge_all([(gain, Published(size=size, rounding=rounding))])[0].word


def test_rounding_of_both_prints_is_no_difference_of_gains() -> None:
    values = (1.08, 1.09, 1.09, 1.08)
    assert _judged_gain(values, 1.0, 0.0) == "different"
    assert _judged_gain(values, 1.0, 0.1) == "reproduced"
    assert _judged_gain(values, 1.0, 0.08) == "different"
    # Prints that are equal do not say that the other row was not worse.
    assert _judged_gain((0.08, 0.09, 0.09, 0.08), 0.0, 0.1) == "undecidable"
    assert _judged_gain((0.18, 0.19, 0.19, 0.18), 0.0, 0.1) == "different"


def _unprinted(folder: Path, *claims: Claim) -> Plan:
    """Return a table that prints one row alone: the others fail in each way that a claim sees."""
    rows = [
        row_of("ours", {FAMILY: "90.63"}, 0.1),
        row_of("collapsed", {}, 0.2),
        row_of("gone", {}, 0.3),
        row_of("single", {}, 0.4),
        row_of("absent", {}, None),
    ]
    made = plan_of(folder, table_of(rows, claims=claims))
    counts = {"ours": (115, 116, 118), "gone": (102, 103, 104), "single": (40,)}
    plant(made, counts | {"collapsed": (40, 40, 40)}, "collapsed")
    return made


def _without_predictions(made: Plan, row: str) -> None:
    for cell_run in made.cell_runs:
        if cell_run.row.name == row:
            Records(made.options.runs).predictions_path(cell_run.run.key()).unlink()


def test_claims_see_of_rows_that_print_nothing_what_they_see_of_others(tmp_path: Path) -> None:
    names = ("collapsed", "gone", "absent")
    made = _unprinted(tmp_path, *(_claim(_over(name)) for name in names))
    _without_predictions(made, "gone")
    words = dict(zip(names, judge_plan(made).claims, strict=True))
    assert words["collapsed"].word == "collapsed"
    assert "predicts one class alone" in words["collapsed"].reason
    assert words["gone"].word == "undecidable"
    assert "predictions" in words["gone"].reason
    assert words["absent"].word == "not run"
    assert "does not have this method" in words["absent"].reason


def test_collapsed_comes_before_too_few_seeds(tmp_path: Path) -> None:
    rows = [row_of("ours", {FAMILY: "90.63"}, 0.1), row_of("theirs", {FAMILY: "80.47"}, 0.2)]
    claims = (_claim(_over("theirs")),)
    made = plan_of(tmp_path, table_of(rows, subject="ours", claims=claims))
    plant(made, {"ours": (115, 116), "theirs": (40,)}, "theirs")
    verdict = judge_plan(made)
    assert [verdict.effects[0].word, verdict.claims[0].word] == ["collapsed"] * 2


@pytest.mark.parametrize("own", [True, False])
def test_not_worse_has_the_margin_of_a_column_without_numbers(tmp_path: Path, own: bool) -> None:
    rows = [row_of("ours", {}, 0.1), row_of("theirs", {}, 0.2)]
    claims = (_claim(_over("theirs", holds="not worse")),)
    margins = {FAMILY: Margin(value=8.0, source="a test")} if own else {}
    table = table_of(rows, claims=claims, margins=margins)
    made = plan_of(tmp_path, table)
    plant(made, {"ours": (102, 103, 104), "theirs": (104, 105, 106)})
    file = TableFile(name="planted")
    ledger.freeze(made.options.runs, file, chosen(made.table))
    verdict = judge_plan(made, file=file)
    allowed = 8.0 if own else 0.5
    # Two images of 128 are 1.56 points.
    assert verdict.claims[0].word == ("reproduced" if own else "undecidable")
    (standing,) = verdict.standings
    assert standing.margin.value == pytest.approx(allowed, abs=0.3)
    assert "frozen since" in standing.says
    assert f"(worse by {standing.margin.value:.4g} at most)" in verdict.claims[0].reason
    # As that of printed numbers, it cannot be changed afterwards.
    other = replace(table, margins={FAMILY: Margin(value=9.0, source="later")})
    with pytest.raises(UserError, match="was frozen at the first run"):
        ledger.check(made.options.runs, file, chosen(other))


def test_margin_of_claims_that_others_were_frozen_with_does_not_bind(tmp_path: Path) -> None:
    rows = [row_of("ours", {}, 0.1), row_of("theirs", {}, 0.2)]
    first = table_of(rows, claims=(_claim(_over("theirs", holds="not worse")),))
    ledger.freeze(tmp_path, TableFile(name="one"), chosen(first))
    theirs = Ordering(row="theirs", than="ours", column=FAMILY, holds="not worse")
    second = table_of(
        rows, claims=(_claim(theirs),), margins={FAMILY: Margin(value=1.0, source="own")}
    )
    ledger.check(tmp_path, TableFile(name="two"), chosen(second))
    same = replace(first, margins={FAMILY: Margin(value=1.0, source="own")})
    with pytest.raises(UserError, match="one / "):
        ledger.check(tmp_path, TableFile(name="two"), chosen(same))
