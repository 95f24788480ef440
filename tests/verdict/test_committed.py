"""A committed page of verdicts and the table beside it: every tampered number is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import files
from harness.report import collect, data, grid
from harness.report.check import Remark
from harness.verdict import committed, write
from harness.verdict.table import TableVerdict, judge_plan
from tests.verdict import test_tables as tables

FAMILY = tables.FAMILY


def _write(folder: Path, verdict: TableVerdict) -> Path:
    """Write a page of verdicts and its table; return the path of the page's JSON file."""
    plan = verdict.plan
    context = collect.context(plan, command="", device="some CPU")
    laid = grid.lay_out(plan.table, collect.entries(plan), collect.column_contexts(plan), context)
    files.write_json(folder / f"{plan.name}.json", data.to_json(laid))
    path = folder / f"{plan.name}-verdict.json"
    files.write_json(path, write.table_to_json(verdict, context))
    files.write_text(path.with_suffix(".md"), write.markdown(verdict, context))
    return path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every word of the vocabulary, and gains."""
    folder = tmp_path_factory.mktemp("every-word")
    verdict = tables._every_word(folder / "words")
    rows = [
        tables._row("ours", {FAMILY: "90.63"}, 0.1),
        tables._row("theirs", {FAMILY: "80.47"}, 0.2),
    ]
    made = tables._plan(folder / "gains", tables._table(rows, subject="ours"))
    tables._plant(made, {"ours": (115, 116, 118), "theirs": (102, 102, 104)})
    _write(folder / "words", verdict)
    _write(folder / "gains", judge_plan(made))
    return folder


@pytest.fixture
def page(original: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copy the pages of "words" or "gains"; return the path of the JSON file."""

    def copy(which: str) -> Path:
        for path in (original / which).glob("*.*"):
            if path.is_file():
                (tmp_path / path.name).write_bytes(path.read_bytes())
        (found,) = tmp_path.glob("*-verdict.json")
        return found

    return copy


def _lines(path: Path) -> tuple[str, ...]:
    found = committed.differences(path, json.loads(path.read_text()))
    assert found is not None
    return found


@pytest.mark.parametrize("which", ["words", "gains"])
def test_what_was_written_agrees(page: Callable[[str], Path], which: str) -> None:
    assert _lines(page(which)) == ()


def test_other_json_files_are_not_judged(tmp_path: Path) -> None:
    assert committed.differences(tmp_path / "x.json", {"name": "x", "rows": []}) is None
    assert committed.differences(tmp_path / "x.json", []) is None


def _number(content: Any, row: str) -> Any:
    return next(n for n in content["numbers"] if n["row"] == row and n["column"] == FAMILY)


@pytest.mark.parametrize(
    ("row", "field", "value", "told"),
    [
        ("reproduced", "verdict", "different", "verdict is 'different'"),
        ("different", "verdict", "reproduced", "verdict is 'reproduced'"),
        ("different", "side", "below", "side is 'below'"),
        ("undecidable", "verdict", "reproduced", "verdict is 'reproduced'"),
        ("undecidable", "seeds_needed", 3, "seeds_needed is 3"),
        ("reproduced", "mean", 80.0, "mean is 80.0"),
        ("reproduced", "sd", 0.1, "sd is 0.1"),
        ("reproduced", "interval", [80.0, 81.0], "interval is"),
        ("reproduced", "values", [80.0, 80.5, 81.0], "value is 80.0"),
        ("reproduced", "seeds", [0, 1, 7], "seeds are [0, 1, 7]"),
        ("reproduced", "published", "80.48", "published is 80.48"),
        ("reproduced", "reason", "it is", "reason is 'it is'"),
        ("one-seed", "verdict", "unattainable", "some count of images gives it"),
        ("nothing", "verdict", "reproduced", "the summary says"),
    ],
)
def test_a_changed_verdict_is_told(
    page: Callable[[str], Path], row: str, field: str, value: Any, told: str
) -> None:
    path = page("words")
    content = json.loads(path.read_text())
    assert _number(content, row)[field] != value
    _number(content, row)[field] = value
    path.write_text(json.dumps(content))
    lines = _lines(path)
    assert any(told in line for line in lines), lines
    assert all(line.startswith(f"{path}: ") for line in lines)


@pytest.mark.parametrize("field", ["gain", "p"])
def test_a_changed_gain_is_told(page: Callable[[str], Path], field: str) -> None:
    path = page("gains")
    content = json.loads(path.read_text())
    content["effects"][0][field] *= 1.01
    path.write_text(json.dumps(content))
    (line,) = _lines(path)
    assert line.startswith(f"{path}: gain of ours over theirs, column {FAMILY}: {field} is ")


@pytest.mark.parametrize(
    ("which", "old"),
    [
        ("words", "reproduced"),
        ("words", "80.47"),
        ("words", "(3 seeds)"),
        ("gains", "90.63 |"),
        ("gains", "(3 seeds)"),
    ],
)
def test_a_changed_page_is_told(page: Callable[[str], Path], which: str, old: str) -> None:
    path = page(which)
    text = path.with_suffix(".md")
    changed = text.read_text().replace(old, f"1{old}", 1)
    assert changed != text.read_text()
    text.write_text(changed)
    lines = _lines(path)
    assert lines
    assert all(line.startswith(f"{text}: ") for line in lines)


def test_values_need_their_table(page: Callable[[str], Path]) -> None:
    path = page("gains")
    (table,) = (p for p in path.parent.glob("*.json") if p != path)
    content = json.loads(table.read_text())
    content["rows"][0]["cells"][FAMILY]["seeds"][1]["value"] = 12.5
    table.write_text(json.dumps(content))
    (line,) = _lines(path)
    assert line.endswith(f"{table.name} says 12.5")
    table.unlink()
    (line,) = _lines(path)
    assert isinstance(line, Remark)
    assert line.startswith(f"{path}: there is no table {table.name} beside it")


def test_a_table_with_more_seeds_than_its_verdict_agrees(page: Callable[[str], Path]) -> None:
    path = page("gains")
    (table,) = (p for p in path.parent.glob("*.json") if p != path)
    content = json.loads(table.read_text())
    for row in content["rows"]:
        seeds = row["cells"][FAMILY]["seeds"]
        seeds.append({**seeds[0], "seed": 3})
    table.write_text(json.dumps(content))
    assert _lines(path) == ()
    for row in content["rows"]:
        del row["cells"][FAMILY]["seeds"][0]
    table.write_text(json.dumps(content))
    assert any("seeds are [0, 1, 2]" in line for line in _lines(path))


def test_a_changed_answer_is_told(page: Callable[[str], Path]) -> None:
    path = page("gains")
    content = json.loads(path.read_text())
    content["answer"] = "All of it is reproduced."
    path.write_text(json.dumps(content))
    (line,) = _lines(path)
    assert "it answers 'All of it is reproduced.', its verdicts give " in line
