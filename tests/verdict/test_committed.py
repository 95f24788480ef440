"""A committed page of verdicts and the table beside it: every tampered number is told."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import files
from harness.errors import UserError
from harness.report import check, collect, data, grid
from harness.report.check import Remark
from harness.spec.claim import Claim, Ordering
from harness.verdict import committed, write
from harness.verdict.table import TableVerdict, judge_plan
from tests.verdict import planted

FAMILY = planted.FAMILY


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
    verdict = planted.every_word(folder / "words")
    rows = [
        planted.row_of("ours", {FAMILY: "90.63"}, 0.1),
        planted.row_of("theirs", {FAMILY: "80.47"}, 0.2),
    ]
    made = planted.plan_of(folder / "gains", planted.table_of(rows, subject="ours"))
    planted.plant(made, {"ours": (115, 116, 118), "theirs": (102, 102, 104)})
    rows = [
        planted.row_of("ours", {FAMILY: "90.63"}, 0.1),
        planted.row_of("theirs", {FAMILY: "80.47"}, 0.2),
        planted.row_of("third", {FAMILY: "50.00"}, 0.3),
        planted.row_of("one", {FAMILY: "80.47"}, 0.4),
        planted.row_of("unprinted", {}, 0.5),
    ]
    parts = [
        Ordering(row="theirs", than="ours", column=FAMILY),
        Ordering(row="unprinted", than="ours", column=FAMILY, holds="not worse"),
    ]
    claims = [
        Claim(name=f"claim-{i}", text="A sentence.", source="", decided_by=(part,))
        for i, part in enumerate(parts)
    ]
    made_claims = planted.plan_of(
        folder / "claims",
        planted.table_of(rows, subject="ours", claims=tuple(claims)),
    )
    counts = {"ours": (115, 116, 118), "theirs": (102, 102, 104), "third": (102, 103, 104)}
    planted.plant(made_claims, counts | {"one": (103,), "unprinted": (114, 117, 119)})
    _write(folder / "claims", judge_plan(made_claims))
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


@pytest.mark.parametrize("which", ["words", "gains", "claims"])
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
        ("one-seed", "verdict", "unattainable", "its values give 'undecidable'"),
        ("nothing", "verdict", "reproduced", "its values give 'not run'"),
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


def _third(content: Any) -> Any:
    return _number(content, "third")


def _word(word: str, **changes: Any) -> Callable[[Any], None]:
    """Return a change of the row "third", which is different, to a word that rests on no test."""

    def change(content: Any) -> None:
        _third(content).update(
            verdict=word, side=None, rests_on=None, sensitivity="", seeds_needed=None, **changes
        )

    return change


def _cell(content: Any, row: str = "third") -> Any:
    return next(cell for cell in content["cells"] if cell["row"] == row)


def _fact(row: str = "third", **changes: Any) -> Callable[[Any], None]:
    """Return a change of a fact that the cells hold, in the cell and in its evidence."""

    def change(content: Any) -> None:
        cell = _cell(content, row)
        cell.update({k: v for k, v in changes.items() if k in cell})
        if cell["evidence"] is not None:
            cell["evidence"].update({k: v for k, v in changes.items() if k in cell["evidence"]})

    return change


def _set(part: str, number: int, **changes: Any) -> Callable[[Any], None]:
    return lambda content: content[part][number].update(changes)


def _deleted(part: str, *rows: str) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        content[part] = [
            entry for entry in content[part] if not {*rows} & {entry["row"], entry.get("rival")}
        ]

    return change


def _all_deleted(content: Any) -> None:
    for part in ("numbers", "effects", "cells"):
        _deleted(part, "third")(content)


def _wider(content: Any) -> None:
    for cell in content["cells"]:
        cell["margin"]["value"] = 60.0
        if cell["evidence"] is not None:
            cell["evidence"]["margin"]["value"] = 60.0


def _test(content: Any, **changes: Any) -> None:
    _third(content)["tests"][1].update(changes)


CHANGES: dict[str, Callable[[Any], object]] = {
    "undecidable": _word("undecidable", reason="seed 0: predictions missing"),
    "not comparable": _word("not comparable", reason="a split"),
    "by computation": _word("equal by computation", reason="computed"),
    "collapsed": _word("collapsed", reason="all of them"),
    "not run": _word("not run", reason="never"),
    "unattainable": _word("unattainable", reason="no share", published_images=127),
    "number deleted": _deleted("numbers", "third"),
    "number and gain deleted": lambda c: [_deleted(p, "third")(c) for p in ("numbers", "effects")],
    "all of it deleted": _all_deleted,
    "gain deleted": _deleted("effects", "third"),
    "gain twice": lambda c: c["effects"].append(c["effects"][0]),
    "published gain": _set("effects", 0, published=1.0),
    "gain's reason": _set("effects", 0, reason="gain +99"),
    "gain's ratio": _set("effects", 0, ratio=7.0),
    "gain's p of size": _set("effects", 0, p_size=1.0),
    "gain's p alone": _set("effects", 0, p_alone=0.9),
    "gain's scale": _set("effects", 0, scale=["profile"]),
    "untested gain": _set("effects", 2, word="reproduced", reason="trust me"),
    "claim": _set("claims", 0, verdict="reproduced"),
    "claim's p": _set("claims", 0, p=0.0),
    "claim's parts": lambda c: c["claims"][0]["decided_by"][0].update(row="ours", than="theirs"),
    "claim deleted": lambda c: c["claims"].pop(),
    "unprinted values": _fact("unprinted", values=[99.0, 99.5, 99.9]),
    "t statistic": lambda c: _test(c, statistic=1.0),
    "turns at": lambda c: _test(c, turns_at=1.0),
    "interval of images": lambda c: _third(c).update(interval_of_images=[1, 2]),
    "interval of images in the cell": _fact(between_images={"low": 1.0, "high": 2.0}),
    "level": lambda c: _third(c).update(level=0.5),
    "least sd": lambda c: _third(c).update(least_sd=9.0),
    "collapsed runs": lambda c: _third(c).update(collapsed_runs=3),
    "facts": lambda c: _third(c).update(facts=["so it is"]),
    "scaled": lambda c: _third(c).update(scaled=True),
    "margin of the page": lambda c: c["margins"][0].update(value=0.1),
    "source of the margin": lambda c: c["margins"][0].update(source="the paper"),
    "frozen": lambda c: c["margins"][0].update(says="frozen since 2020-01-01 (abc)"),
    "margins deleted": lambda c: c["margins"].clear(),
    "margin of a number": lambda c: _third(c)["margin"].update(value=60.0),
    "margin of all cells": _wider,
    "title": lambda c: c.update(title="x"),
    "remarks": lambda c: c.update(remarks=["All is well."]),
    "scale": lambda c: c.update(scale=["x"]),
    "scales": lambda c: c["scales"].update({FAMILY: ["profile 'x'"]}),
    "fact: collapsed": _fact(collapsed=3),
    "fact: absent": _fact(absent="never run"),
    "fact: foreign": _fact(foreign=["another split"]),
    "fact: lacking": _fact(lacking="its predictions are gone"),
    "fact: lacking of another seed": _fact(lacking="seed 7: no predictions"),
    "fact: counted": _fact(counted=50.0),
    "fact: constants": _fact(constants=[64]),
    "fact: images": _fact(n=127),
    "fact: published images": _fact(printed_n=127),
    "fact: step": _fact(step=20.0),
    "fact: no share": _fact(is_share=False),
    "fact: basis": _fact(basis="mean"),
    "fact: sd": _fact(sd={"value": 9.0, "source": "me"}),
    "fact: remarks": _fact(remarks=["trust me"]),
    "fact: stale": _fact(stale=2),
    "fact: metric": lambda c: [cell.update(better="lower") for cell in c["cells"]],
    "fact: printed": lambda c: _cell(c)["evidence"]["printed"].update(text="80.00"),
    "fact: printed runs": lambda c: _cell(c)["evidence"]["printed"].update(runs=5),
    "fact: printed images": lambda c: _cell(c)["evidence"]["printed"].update(images=127),
    "no evidence": lambda c: _cell(c).update(evidence=None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_of_a_page_is_told(page: Callable[[str], Path], name: str) -> None:
    """Also where summary and Markdown are made to fit, as a forger would."""
    path = page("claims")
    content = json.loads(path.read_text())
    before = copy.deepcopy(content)
    CHANGES[name](content)
    assert content != before
    path.write_text(json.dumps(content))
    path.with_suffix(".md").unlink()  # what the JSON file holds is told whatever the page shows
    lines = _lines(path)
    assert lines
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in lines)


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [place] if place else []
    if isinstance(value, dict | list):
        for name in value if isinstance(value, dict) else range(len(value)):
            found += _places(value[name], (*place, name))
    return found


ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**15, 10**30, 1e308, -1e308, 1e-308, 0.5, "", "abc", "../../../etc/x"),
    *([], {}, [1e308, 1e308], ["a"], {"a": 1}, "83.6", "\x00", "9" * 400, [[]], float(2**53)),
)


@pytest.mark.parametrize("which", ["words", "claims"])
def test_no_damage_of_a_page_ends_in_an_error(page: Callable[[str], Path], which: str) -> None:
    path = page(which)
    original = json.loads(path.read_text())
    rng = random.Random(16)
    places = _places(original)
    told = 0
    for _ in range(150):
        content = copy.deepcopy(original)
        *into, last = rng.choice(places)
        inside = content
        for step in into:
            inside = inside[step]
        if rng.random() < 0.2:
            del inside[last]
        else:
            inside[last] = rng.choice(ODD)
        path.write_text(json.dumps(content))
        found = check.check(path.parent, path.stem, (committed.differences,)).differences
        told += bool(found)
        assert all(str(path.parent) in line and "\n" not in line for line in found), found
    assert told > 100  # the rest changed what a page does not show, or nothing


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["numbers"][0].update(values=[1e308, 1e308, 1e308]),
        lambda c: c["cells"][0].update(values=[1e308, 1e308, 1e308]),
        lambda c: c.update(name="../../../etc/x"),
        lambda c: c.update(name="\x00"),
        lambda c: c["numbers"][0].update(published="abc"),
        lambda c: c["numbers"][0].update(published_runs=0),
        lambda c: c["cells"][0]["evidence"]["printed"].update(text="abc"),
        lambda c: c["cells"][0]["evidence"]["printed"].update(runs=0),
        lambda c: c["cells"][0]["evidence"].update(n=0),
        lambda c: c["claims"][0].update(holds=9),
    ],
)
def test_damage_is_one_file_s_and_the_rest_is_compared(
    page: Callable[[str], Path], change: Callable[[Any], None]
) -> None:
    path = page("claims")
    other = path.with_name("zz-verdict.json")
    content = json.loads(path.read_text())
    content["name"] = content["title"] = "zz"
    other.write_text(json.dumps(content))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    found = check.check(path.parent, None, (committed.differences,)).differences
    assert any(line.startswith(str(path)) for line in found)
    assert any(line.startswith(f"{other}: its title") for line in found)


def test_an_error_of_a_page_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.json").write_text("{}")

    def fails(path: Path, value: Any) -> tuple[str, ...]:
        raise UserError("it is odd") if path.stem == "a" else ZeroDivisionError("by zero")

    found = check.check(tmp_path, None, (fails,)).differences
    assert [line.partition(": ")[0] for line in found] == [
        str(tmp_path / "a.json"),
        str(tmp_path / "b.json"),
    ]
