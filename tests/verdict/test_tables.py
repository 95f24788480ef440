"""Verdicts on tables: a planted store yields every word; all that the paper prints has one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.report import collect as report_collect
from harness.spec import profiles
from harness.spec.claim import Change, Claim, Ordering, one_image
from harness.spec.printed import Printed
from harness.spec.table import Column
from harness.store import margins as ledger
from harness.store import predictions
from harness.store.record import Records
from harness.verdict import write
from harness.verdict.collect import margins
from harness.verdict.frozen import chosen
from harness.verdict.table import TableVerdict, judge_plan, summary
from harness.verdict.values import MEANINGS
from tests.conftest import Harness
from tests.verdict.planted import (
    FAMILY,
    IMAGES,
    every_word,
    plan_of,
    plant,
    row_of,
    table_of,
)


def _word(verdict: TableVerdict, row: str) -> str:
    return next(judged.word for cell, judged in verdict.numbers if cell.row.name == row)


def test_planted_store_yields_every_word(tmp_path: Path) -> None:
    verdict = every_word(tmp_path)
    words = {cell.row.name: judged.word for cell, judged in verdict.numbers}
    assert words == {
        "reproduced": "reproduced",
        "equal-not-alike": "equivalent, not equal",
        "different": "different",
        "undecidable": "undecidable",
        "one-seed": "undecidable",
        "unattainable": "unattainable",
        "theirs-collapsed": "collapsed",
        "ours-collapsed": "collapsed",
        "nothing": "not run",
        "absent": "not run",
        "costs": "not comparable",
    }
    # The ninth word is a count's, of the shipped Table 3.
    assert {*words.values(), "equal by computation"} == set(MEANINGS)
    by_row = {cell.row.name: judged for cell, judged in verdict.numbers}
    assert by_row["different"].side == "above"
    assert by_row["reproduced"].rests_on is not None
    assert by_row["reproduced"].rests_on.basis == "draw"
    assert any("otherwise" in fact for fact in by_row["unattainable"].facts)
    # One seed: the spread is that of the other rows, and named.
    assert by_row["one-seed"].seeds_needed is not None or "no number" in by_row["one-seed"].reason
    assert "pooled" in by_row["one-seed"].reason
    (line,) = summary(verdict)
    assert "reproduced 1 of 11" in line


def test_number_whose_last_zeros_are_unknown_is_not_called_impossible(tmp_path: Path) -> None:
    # 103 of 128 is 80.47: printed with one decimal it is 80.5, which as 80.50 would be none.
    rows = [row_of("text", {FAMILY: "80.50"}, 0.1), row_of("number", {}, 0.2)]
    rows[1] = replace(rows[1], printed={FAMILY: 80.5})
    made = plan_of(tmp_path, table_of(rows), rule="best")
    plant(made, {"text": (102, 103, 104), "number": (102, 103, 104)})
    verdict = judge_plan(made)
    assert (_word(verdict, "text"), _word(verdict, "number")) == ("unattainable", "reproduced")
    for _, judged in verdict.numbers:
        assert any("best epoch" in fact for fact in judged.facts)


@pytest.mark.parametrize("damage", ["missing", "shorter", "others"])
def test_number_without_its_predictions_is_undecidable(tmp_path: Path, damage: str) -> None:
    made = plan_of(tmp_path, table_of([row_of("one", {FAMILY: "80.47"}, 0.1)]))
    plant(made, {"one": (102, 103, 104)})
    assert _word(judge_plan(made), "one") == "reproduced"
    records_of = Records(made.options.runs)
    key = made.cell_runs[1].run.key()
    path = records_of.predictions_path(key)
    if damage == "missing":
        path.unlink()
    else:
        record = records_of.read(key)
        assert record is not None
        arrays = dict(predictions.read(path, record.finished.predictions or ""))
        kept = 100 if damage == "shorter" else IMAGES
        arrays = {name: array[:kept] for name, array in arrays.items()}
        if damage == "others":
            arrays["names"] = np.asarray([f"other {i}" for i in range(IMAGES)])
        written = predictions.write(path, arrays)
        records_of.write(replace(record, result=replace(record.finished, predictions=written)))
    ((_, judged),) = judge_plan(made).numbers
    assert judged.word == "undecidable"
    assert "seed 1" in judged.reason
    assert "predictions" in judged.reason


def test_pages_hold_every_verdict_and_are_finite_json(tmp_path: Path) -> None:
    verdict = every_word(tmp_path)
    context = report_collect.context(verdict.plan, command="", device="some CPU")
    page = write.table_to_json(verdict, context)
    text = json.dumps(page, allow_nan=False)
    assert json.loads(text)["numbers"][0]["values"] == pytest.approx(
        [100 * k / IMAGES for k in (102, 103, 104)]
    )
    markdown = write.markdown(verdict, context)
    for cell, judged in verdict.numbers:
        assert cell.row.label in markdown
        assert judged.word in markdown
    assert "Margins: phantom-mri ± 8 (a test)" in markdown


def test_scaled_down_numbers_are_not_comparable_and_effects_are_marked(tmp_path: Path) -> None:
    rows = [
        row_of("ours", {FAMILY: "90.63"}, 0.1),
        row_of("theirs", {FAMILY: "80.47"}, 0.2),
    ]
    table = table_of(rows, subject="ours")
    made = plan_of(tmp_path, table, profile=profiles.SMOKE)
    plant(made, {"ours": (115, 116, 118), "theirs": (102, 102, 104)})
    verdict = judge_plan(made)
    assert {judged.word for _, judged in verdict.numbers} == {"not comparable"}
    (effect,) = verdict.effects
    assert effect.word == "reproduced"
    assert effect.gain == pytest.approx(100 / IMAGES * (13 + 14 + 14) / 3)
    assert effect.published == pytest.approx(10.16)
    assert effect.ratio == pytest.approx(100 / IMAGES * 41 / 3 / 10.16)
    assert any("smoke" in reason for reason in effect.scale)


@pytest.mark.parametrize(
    ("theirs", "word"),
    [
        ((102, 102, 104), "reproduced"),  # a gain of about ten, as published
        ((123, 124, 126), "different"),  # a loss
        ((111, 112, 115), "different"),  # in the same direction, but a third of the size
        ((77, 127, 102), "undecidable"),
        ((102,), "undecidable"),
        ((), "not run"),
    ],
)
def test_gain_is_judged_by_direction_and_size(
    tmp_path: Path, theirs: tuple[int, ...], word: str
) -> None:
    rows = [row_of("ours", {FAMILY: "90.63"}, 0.1), row_of("theirs", {FAMILY: "80.47"}, 0.2)]
    made = plan_of(tmp_path, table_of(rows, subject="ours"))
    plant(made, {"ours": (115, 116, 118), "theirs": theirs})
    (effect,) = judge_plan(made).effects
    assert effect.word == word, effect.reason


def test_claim_holds_if_every_part_does(tmp_path: Path) -> None:
    def claim(name: str, *parts: Ordering | Change) -> Claim:
        return Claim(name=name, text=name, source="", decided_by=parts)

    better = Ordering(row="ours", than="theirs", column=FAMILY)
    worse = Ordering(row="theirs", than="ours", column=FAMILY)
    noisy = Ordering(row="ours", than="noisy", column=FAMILY)
    not_worse = Ordering(row="theirs", than="near", column=FAMILY, holds="not worse")
    table = table_of(
        [
            row_of("ours", {FAMILY: "90.63"}, 0.1),
            row_of("theirs", {FAMILY: "80.47"}, 0.2),
            row_of("noisy", {}, 0.3),
            row_of("near", {}, 0.4),
        ],
        claims=(
            claim("holds", better),
            claim("refuted", better, worse),
            claim("open", better, noisy),
            claim("no-worse", not_worse),
            claim("absent", Ordering(row="ours", than="nobody", column=FAMILY)),
            Claim(name="words", text="Words.", source="", instead="something else would"),
        ),
    )
    made = plan_of(tmp_path, table)
    plant(
        made,
        {
            "ours": (115, 116, 118),
            "theirs": (102, 102, 104),
            "noisy": (77, 127, 102),
            "near": (105, 106, 107),
        },
    )
    judged = {c.claim.name: c.word for c in judge_plan(made).claims}
    assert judged == {
        "holds": "reproduced",
        "refuted": "different",
        "open": "undecidable",
        "no-worse": "reproduced",
        "absent": "not run",
        "words": "undecidable",
    }


@pytest.fixture(scope="module")
def unprepared(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, TableVerdict]:
    """The verdicts on all tables of the paper, where nothing was prepared or run."""
    folder = tmp_path_factory.mktemp("nothing")
    options = Options(
        profile=profiles.PAPER, unprepared=True, data=folder / "data", runs=folder / "runs"
    )
    names = ("table1", "table2", "table3", "table7", "table8")
    plans = plan.make_all([catalog.load(name) for name in names], options)
    return {made.name: judge_plan(made) for made in plans}


def test_every_published_number_has_a_verdict(unprepared: Mapping[str, TableVerdict]) -> None:
    counts = {name: len(verdict.numbers) for name, verdict in unprepared.items()}
    assert counts == {"table1": 30, "table2": 10, "table3": 18, "table7": 4, "table8": 40}
    assert sum(counts.values()) == 102
    flops = [
        judged.word
        for cell, judged in unprepared["table3"].numbers
        if cell.column.metric == "paper_training_macs"
    ]
    assert flops == ["equal by computation"] * 6
    collapsed = [
        (cell.row.name, cell.column.name)
        for cell, judged in unprepared["table1"].numbers
        if judged.word == "collapsed"
    ]
    assert collapsed == [(row, "messidor2") for row in ("simmim", "resnet50", "swin")]


def test_claims_on_costs_are_computed(unprepared: Mapping[str, TableVerdict]) -> None:
    words = {c.claim.name: c.word for c in unprepared["table3"].claims}
    assert words["flops"] == "equal by computation"
    assert words["time"] == "not comparable"
    # Tests use all tokens: nothing is saved there.
    assert words["deployed-flops"] == "different"


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table7", "table8"])
def test_claims_and_margins_name_what_the_table_has(name: str) -> None:
    _, table = catalog.load(name)
    rows, columns = {r.name for r in table.rows}, {c.name for c in table.columns}
    assert table.subject in {"", *rows}
    assert set(table.margins) == set(margins(table))  # frozen in the file, none by default
    for claim in table.claims:
        assert claim.decided_by or claim.instead
        for part in claim.decided_by:
            assert {part.row, part.than} <= rows
            assert part.column in columns


OWN = """
from harness.api import Column, Margin, Row, Table, supervised

EXPERIMENT = Table(
    title="Mine",
    source="Table 0",
    columns=(Column(dataset="phantom-mri"),),
    rows=(
        Row(name="one", label="1", stages=supervised.vit(), printed={{"phantom-mri": "80.47"}}),
    ),
    margins={{"phantom-mri": Margin(value={value}, source="a test")}},
)
"""


def test_changed_margin_is_refused_unless_it_is_given(tmp_path: Path, harness: Harness) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN.format(value=3.0))
    name, table = catalog.load(str(file))
    own = ledger.TableFile(name=name, place=catalog.place(str(file)))
    ledger.freeze(tmp_path / "runs", own, chosen(table))
    words = ("verdict", str(file), "--profile", "smoke")
    code, out, err = harness(*words)
    assert (code, err) == (0, "")
    assert "not run 1" in out
    file.write_text(OWN.format(value=4.0))
    code, out, err = harness(*words)
    assert code == 2
    assert "± 4 (a test)" in err
    assert "± 3 (a test)" in err
    code, out, err = harness(*words, "--margin", "4")
    assert (code, err) == (0, "")
    assert "separate verdict" in out
    page = json.loads(Path("reports/smoke/mine-verdict-other-margin.json").read_text())
    assert page["margin"] == {"value": 4.0, "source": "given with --margin"}
    code, out, err = harness("run", str(file), "--profile", "smoke", "--seeds", "0")
    assert code == 2
    assert "± 3 (a test)" in err


def test_json_of_several_tables_has_one_entry_per_number(tmp_path: Path, harness: Harness) -> None:
    code, out, err = harness("verdict", "table7", "table2", "--profile", "paper", "--json")
    assert code == 0
    found = json.loads(out)
    assert [len(page["numbers"]) for page in found["tables"]] == [4, 10]
    assert "of 14" in found["summary"]
    del tmp_path, err


def test_table_without_published_numbers_has_no_verdict(tmp_path: Path, harness: Harness) -> None:
    code, _, err = harness("verdict", "controls", "--profile", "smoke")
    assert code == 2
    assert "prints no published number" in err
    del tmp_path
    assert Printed("1.0").digits == 1


def test_published_mean_on_other_images_is_judged_as_such(tmp_path: Path) -> None:
    # 80.47 % is 103 of 128 images; 80.73 % is 310 of 384 answers of three runs, and no share of
    # 128; 80.58 % is 83 of 103 images.
    numbers = {
        "own": Printed("80.47"),
        "mean": Printed("80.73", runs=3),
        "single": Printed("80.73"),
        "others": Printed("80.58", images=103),
    }
    rows = [
        replace(row_of(name, {}, 0.1 + i / 10), printed={FAMILY: number})
        for i, (name, number) in enumerate(numbers.items())
    ]
    made = plan_of(tmp_path, table_of(rows))
    plant(made, dict.fromkeys(numbers, (102, 103, 104)))
    words = {cell.row.name: judged for cell, judged in judge_plan(made).numbers}
    assert (words["own"].word, words["mean"].word) == ("reproduced", "reproduced")
    assert words["single"].word == "unattainable"
    assert words["others"].word == "not comparable"
    assert "evaluated on 128 images, published on 103" in words["others"].reason
    # One image of 128 is 0.78 points: what tests believe at least, and how they are told.
    assert words["own"].least_sd == pytest.approx(50 / IMAGES)
    # The same images in all rows of a column are the column's: gains are marked with them.
    alike = table_of(
        [replace(row, printed={FAMILY: Printed("80.58", images=103)}) for row in rows[:2]],
        subject="own",
        margins={},
    )
    assert margins(alike)[FAMILY] == one_image(103)
    (effect,) = judge_plan(plan_of(tmp_path / "alike", alike)).effects
    assert any("published on 103" in reason for reason in effect.scale)


@pytest.mark.parametrize("profile", ["smoke", "paper"])
def test_a_count_at_another_size_is_not_compared(tmp_path: Path, profile: str) -> None:
    name, table = catalog.load("table3")
    macs = [row.printed.get("paper_training_macs") for row in table.rows]
    rows = tuple(
        replace(row, printed={"training_macs": text}) if text else row
        for row, text in zip(table.rows, macs, strict=True)
    )
    change = replace(
        next(claim for claim in table.claims if claim.name == "flops"),
        decided_by=(
            Change(
                row="sam-sam",
                than="sam-plain",
                column="messidor2.training_macs",
                percent=Printed("-74.08"),
            ),
        ),
    )
    columns = (Column(dataset="messidor2"), Column(dataset="messidor2", metric="training_macs"))
    own = replace(table, rows=rows, columns=columns, margins={}, claims=(change,))
    options = Options(
        profile=getattr(profiles, profile.upper()),
        unprepared=True,
        data=tmp_path / "data",
        runs=tmp_path / "runs",
    )
    judged = judge_plan(plan.make(name, own, options))
    words = {found.word for cell, found in judged.numbers}
    expected = "not comparable" if profile == "smoke" else "equal by computation"
    assert words == {expected}
    assert [claim.word for claim in judged.claims] == [expected]
