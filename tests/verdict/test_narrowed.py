"""A verdict on a part of a table says so, and never replaces the page of the whole table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.plan.narrowing import narrowing
from harness.plan.plan import Plan
from harness.report import collect as report_collect
from harness.report import tex
from harness.report.markdown import escape
from harness.report.table_style import FULL
from harness.spec import profiles
from harness.spec.table import Column
from harness.verdict import latex, terminal, write
from harness.verdict.answer import answer
from harness.verdict.table import judge_plan, summary
from harness.verdict.values import Word
from tests.conftest import Harness
from tests.verdict.planted import FAMILY, plan_of, plant, row_of, table_of

PRINTED = {"ours": "90.63", "near": "80.47", "far": "70.31"}


def _made(folder: Path, **changes: Any) -> Plan:
    rows = [row_of(n, {FAMILY: t}, 0.1 + i / 10) for i, (n, t) in enumerate(PRINTED.items())]
    columns = (Column(dataset=FAMILY), Column(dataset=FAMILY, metric="macro_f1"))
    return plan_of(folder, table_of(rows, columns=columns, subject="ours"), **changes)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, {}),
        ({"rows": ("near", "ours", "far")}, {}),  # all of them, in any order
        ({"datasets": (FAMILY,)}, {}),  # all that there is
        ({"split": "paper"}, {}),  # the default
        ({"seeds": (0, 1, 2, 3, 4)}, {}),
        ({"seeds": (3,)}, {}),  # of several that were never run
        ({"rows": ("near", "ours")}, {"rows": ("ours", "near")}),
        ({"metrics": ("accuracy",)}, {"columns": (FAMILY,)}),
        ({"split": "clean"}, {"split": (f"{FAMILY}=clean",)}),
        ({"rule": "best"}, {"rule": ("best",)}),
        ({"overrides": ("recipe.epochs=2",)}, {"settings": ("recipe.epochs=2",)}),
    ],
)
def test_what_differs_from_the_whole_table_is_named(
    tmp_path: Path, changes: dict[str, Any], parts: dict[str, Any]
) -> None:
    found = narrowing(_made(tmp_path, **changes))
    assert (dict(found.parts) if found else {}) == parts


def test_probes_are_further_columns(tmp_path: Path) -> None:
    found = narrowing(_made(tmp_path, probes=True))
    assert found is not None
    assert f"{FAMILY}.knn" in found.parts["columns"]


def test_seeds_narrow_where_others_have_finished(tmp_path: Path) -> None:
    plant(_made(tmp_path), {"ours": (115, 116, 118)})
    found = narrowing(_made(tmp_path, seeds=(0, 1)))
    assert found is not None
    assert found.left_out == (2,)
    assert "seeds 0, 1 (finished runs of seed 2 are left out)" in found.text
    assert narrowing(_made(tmp_path, seeds=(0, 1, 2))) is None


def test_names_of_parts_are_stable_and_differ(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {"rows": ("near", "ours")},
        {"rows": ("ours", "near")},
        {"rows": ("ours", "far")},
        {"rule": "best"},
        {"rule": "best", "rows": ("ours", "far")},
    ]
    names = [judge_plan(_made(tmp_path, **change)).page for change in changes]
    assert names[0] == names[1]
    assert len(set(names)) == 4
    assert all(name.startswith("planted-verdict-part-") for name in names)
    assert judge_plan(_made(tmp_path)).page == "planted-verdict"


def test_part_says_its_family_in_title_and_first_lines(tmp_path: Path) -> None:
    made = _made(tmp_path, rows=("ours", "near"))
    plant(made, {"ours": (115, 116, 118), "near": (102, 102, 104)})
    verdict = judge_plan(made)
    says = "Narrowed to rows ours, near: the family of Holm's adjustment is these 1 of 2 effects."
    context = report_collect.context(made, command="", device="some CPU")
    title, *lines = write.markdown(verdict, context).splitlines()
    assert title.endswith(", narrowed")
    assert any(says in line for line in lines[:6])
    title, *lines = terminal.table_lines(verdict)
    assert title.endswith(", narrowed:")
    assert any(says in line for line in lines[:4])
    page = write.table_to_json(verdict, context)
    assert page["narrowed"]["parts"] == {"rows": ["ours", "near"]}
    assert (page["narrowed"]["gains"], page["narrowed"]["gains_of_the_table"]) == (1, 2)
    whole = write.table_to_json(judge_plan(_made(tmp_path)), context)
    assert whole["narrowed"] is None


def test_part_never_replaces_the_page_of_the_table(tmp_path: Path, harness: Harness) -> None:
    words = ("verdict", "table7", "--profile", "smoke")
    assert harness(*words)[0] == 0
    folder = tmp_path / "reports/smoke"
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert set(before) == {"table7-verdict.md", "table7-verdict.json"}
    parts = (
        ("--rows", "msmae"),
        ("--rule", "best"),
        ("--set", "finetune.recipe.epochs=12"),
        ("--split", "clean"),
        ("--metrics", "accuracy,macro_f1"),
    )
    for part in parts:
        code, out, err = harness(*words, *part)
        assert code == 0, err
        assert "narrowed" in out
    after = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert {name: after[name] for name in before} == before
    assert len(after) == 2 * (len(parts) + 1)
    found = [json.loads(text) for name, text in after.items() if name.endswith(".json")]
    assert sum(page["narrowed"] is None for page in found) == 1


def test_scale_is_said_once_and_marked_in_every_line(tmp_path: Path) -> None:
    made = _made(tmp_path, profile=profiles.SMOKE)
    plant(made, {"ours": (115, 116, 118), "near": (102, 102, 104), "far": (80, 90, 91)})
    verdict = judge_plan(made)
    reason = "profile 'smoke', not the paper's size and epochs"
    lines = list(terminal.table_lines(verdict))
    assert sum(reason in line for line in lines) == 1
    assert sum(" *. " in line or line.endswith(" *.") for line in lines) == 5  # 3 numbers, 2 gains
    context = report_collect.context(made, command="", device="some CPU")
    text = write.markdown(verdict, context)
    assert sum(escape(reason) in line for line in text.splitlines()) == 1
    gains = next(line for line in summary(verdict) if "gains" in line)
    assert gains.endswith("(not at the paper's scale)")
    # Nothing is marked where all is the paper's.
    plant(whole := _made(tmp_path), {"ours": (115, 116, 118), "near": (102, 102, 104)})
    assert not any(
        "*" in line or "scale" in line for line in terminal.table_lines(judge_plan(whole))
    )


def test_scale_of_some_columns_names_them(tmp_path: Path) -> None:
    verdict = judge_plan(_made(tmp_path))
    scale = {FAMILY: ("common", "first"), f"{FAMILY}.macro_f1": ("common", "second", "third")}
    other = replace(verdict, collected=replace(verdict.collected, scale=scale))
    assert other.scale == ("common", f"{FAMILY}: first", f"{FAMILY}.macro_f1: second, third")


def test_terminal_shows_the_facts_of_the_page_short(tmp_path: Path) -> None:
    # 80.40 is no share of 128 images: what a comparison would say is on the page in full.
    rows = [row_of("one", {FAMILY: "80.40"}, 0.1)]
    made = plan_of(tmp_path, table_of(rows), rule="best")
    plant(made, {"one": (102, 103, 104)})
    verdict = judge_plan(made)
    ((_, judged),) = verdict.numbers
    line = next(line for line in terminal.table_lines(verdict) if line.startswith("  one /"))
    assert len(judged.facts) > 1
    for fact in judged.facts:
        assert fact.partition(":")[0] in line
    assert "otherwise" in line
    assert "equivalence within" not in line


def test_latex_begins_with_the_answer(tmp_path: Path) -> None:
    made = _made(tmp_path)
    plant(made, {"ours": (115, 116, 118)})
    verdict = judge_plan(made)
    context = report_collect.context(made, command="", device="some CPU")
    (text,) = latex.render(write.view(verdict, context), context, "page", FULL).values()
    said = tex.escape(verdict.answer)
    assert said
    assert text.index(said) < text.index(r"\begin{table")
    assert text.count(said) == 1


def test_lines_show_ours_and_the_published_number(tmp_path: Path) -> None:
    made = _made(tmp_path)
    plant(made, {"ours": (115, 116, 118), "near": (102,)})
    verdict = judge_plan(made)
    _, *lines = terminal.table_lines(verdict)
    counts = summary(verdict)
    assert lines[: len(counts)] == [f"  {line}" for line in counts]
    assert lines[len(counts)] == f"  {verdict.answer}"
    # 115, 116 and 118 of 128 images.
    (ours,) = (line for line in lines if line.startswith(f"  ours / {FAMILY}:"))
    assert f"ours / {FAMILY}: 90.89 ± 1.19 (3 seeds) against 90.63: " in ours
    (near,) = (line for line in lines if line.startswith(f"  near / {FAMILY}:"))
    assert "79.69 (1 seed) against 80.47: undecidable" in near
    (far,) = (line for line in lines if line.startswith(f"  far / {FAMILY}:"))
    assert far == f"  far / {FAMILY}: published 70.31: not run. no finished run"


def test_what_is_not_run_is_folded(tmp_path: Path) -> None:
    rows = [row_of(f"r{i}", {FAMILY: "80.47"}, 0.1 + i / 10) for i in range(5)]
    made = plan_of(tmp_path, table_of(rows, subject="r0"))
    lines = list(terminal.table_lines(judge_plan(made)))
    assert "  numbers not run: 5 of 5 (no finished run)" in lines
    assert "  gains not run: 4 of 4 (one of the two rows has no finished run)" in lines
    assert not any("r1" in line for line in lines)
    said = "Nothing of Table 0 is reproduced so far: 5 of 5 numbers have no run."
    assert f"  {said}" in lines
    context = report_collect.context(made, command="", device="some CPU")
    page = write.markdown(judge_plan(made), context).splitlines()
    assert page[2] == f"**{said}**"
    assert any("other families of tests" in line for line in page)
    assert sum(line.startswith("| r") for line in page) == 5 + 4


@pytest.mark.parametrize(
    ("words", "without_run", "said"),
    [
        (["reproduced"] * 2, 0, "T is reproduced: all 2 numbers are."),
        (
            ["reproduced", "different", "not run"],
            1,
            "1 of 3 numbers of T are reproduced: 1 is different, 1 has no run.",
        ),
        (
            ["different", "undecidable", "undecidable"],
            0,
            "Nothing of T is reproduced: of 3 numbers, 2 are undecidable, 1 is different.",
        ),
        (
            ["not run", "not run", "not comparable"],
            2,
            "Whether T is reproduced cannot be told: of 3 numbers, 2 have no run, 1 is not"
            " comparable.",
        ),
        (
            ["not run", "unattainable"],
            2,
            "Nothing of T is reproduced so far: 2 of 2 numbers have no run; without any run, 1 is"
            " unattainable.",
        ),
        ([], 0, ""),
    ],
)
def test_one_sentence_answers(words: list[Word], without_run: int, said: str) -> None:
    assert answer("T", words, without_run) == said
