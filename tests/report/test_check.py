"""``report --check``: a committed table and the records beside it, number by number."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import Damaged
from harness.plan.plan import Plan
from harness.report import check, keep
from harness.store import compact
from tests import plans, planted
from tests.conftest import ROOT, Harness

SELECTION = ("--profile", "smoke", "--datasets", "phantom-mri", "--rows", "vit,resnet50")
COMMAND = ("report", "table1", *SELECTION, "--seeds", "0,1")
FOLDER = Path("reports/smoke")
TABLE, RECORDS = FOLDER / "table1.json", FOLDER / "records.jsonl.gz"
CELL = ("rows", 0, "cells", "phantom-mri")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    """Prepared images and the records of two rows under two seeds."""
    folder = tmp_path_factory.mktemp("check")
    plan = plans.of_table1("vit", "resnet50", root=folder, seeds=(0, 1))
    planted.plant_all(plan)
    return folder, plan


@pytest.fixture
def written(store: tuple[Path, Plan], own_folder: Path, harness: Harness) -> Plan:
    """The table, its classes and the records behind them, in ``reports/smoke``."""
    shutil.copytree(store[0], own_folder, dirs_exist_ok=True)
    code, _, err = harness(*COMMAND, "--classes")
    assert (code, err) == (0, "")
    return store[1]


def _check(harness: Harness, *names: str) -> tuple[int, list[str], str]:
    code, out, err = harness("report", "--check", *names)
    return code, err.splitlines(), out


def _change(change: Callable[[Any], None], path: Path = TABLE) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _at(content: Any, place: tuple[Any, ...]) -> Any:
    for step in place:
        content = content[step]
    return content


def test_what_was_written_agrees(written: Plan, harness: Harness) -> None:
    code, lines, out = _check(harness)
    assert (code, lines) == (0, [])
    assert "2 tables compared with their records, 0 differences, 0 warnings." in out


def test_nothing_but_the_folder_is_needed(written: Plan, harness: Harness) -> None:
    shutil.rmtree("runs")
    shutil.rmtree("data")
    assert _check(harness)[0] == 0


def test_the_same_command_gives_the_same_bytes(written: Plan, harness: Harness) -> None:
    before = RECORDS.read_bytes()
    harness(*COMMAND, "--classes")
    assert RECORDS.read_bytes() == before


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ((*CELL, "value"), "value"),
        ((*CELL, "sd"), "sd"),
        ((*CELL, "interval", 0), "interval"),
        ((*CELL, "seeds", 1, "value"), "value"),
        ((*CELL, "seeds", 1, "best"), "best"),
        ((*CELL, "seeds", 0, "n"), "n"),
        ((*CELL, "seeds", 0, "interval_of_images", 1), "interval_of_images"),
        (("majority", "phantom-mri"), "value"),
    ],
    ids=lambda x: ".".join(map(str, x)) if isinstance(x, tuple) else x,
)
def test_a_changed_number_is_one_line(
    written: Plan, harness: Harness, place: tuple[Any, ...], what: str
) -> None:
    def raise_last_digit(content: Any) -> None:
        number = _at(content, place)
        _at(content, place[:-1])[place[-1]] = number + (1 if isinstance(number, int) else 0.01)

    _change(raise_last_digit)
    code, lines, _ = _check(harness)
    assert code == 1
    (line,) = lines
    assert line.startswith(f"{TABLE}: ")
    assert re.search(rf"{what} is .*, the records say ", line)


@pytest.mark.parametrize("field", ["commit", "data", "collapsed", "seed"])
def test_a_changed_fact_of_a_run_is_one_line(written: Plan, harness: Harness, field: str) -> None:
    def change(content: Any) -> None:
        entry = _at(content, (*CELL, "seeds", 1))
        entry[field] = {"collapsed": True, "seed": 7}.get(field, "0" * 40)

    _change(change)
    code, lines, _ = _check(harness)
    assert (code, len(lines)) == (1, 1)
    assert f": {field} is " in lines[0]


def test_a_changed_digit_of_the_page_names_its_cell(written: Plan, harness: Harness) -> None:
    page = FOLDER / "table1.md"
    number = _at(json.loads(TABLE.read_text()), (*CELL, "value"))
    text = page.read_text()
    assert f"{number:.2f} ±" in text
    page.write_text(text.replace(f"{number:.2f} ±", f"{number + 0.01:.2f} ±"))
    code, lines, _ = _check(harness)
    assert code == 1
    assert lines == [f"{page}: row vit, column phantom-mri: {number:.2f} is not in its row"]


@pytest.mark.parametrize(
    "name", ["table1.tex", "table1-classes.md", "table1-classes-phantom-mri.png"]
)
def test_any_other_changed_file_is_told(written: Plan, harness: Harness, name: str) -> None:
    path = FOLDER / name
    path.write_bytes(path.read_bytes() + b"\n")
    code, lines, _ = _check(harness)
    assert code == 1
    assert lines == [f"{path}: it is not the file that was written with the records"]


def test_a_changed_confusion_is_told(written: Plan, harness: Harness) -> None:
    def change(content: Any) -> None:
        run = _at(content, ("datasets", 0, "rows", 1, "runs", 0))
        run["confusion"][2][2] += 1
        run["metrics"]["ece"] += 0.001

    path = FOLDER / "table1-classes.json"
    _change(change, path)
    code, lines, _ = _check(harness)
    assert (code, len(lines)) == (1, 2)
    assert "row resnet50, phantom-mri, seed 0: confusion of class 2 is" in lines[0]
    assert "ece is" in lines[1]


def _edit(change: Callable[[list[bytes]], list[bytes]]) -> None:
    lines = gzip.decompress(RECORDS.read_bytes()).splitlines()
    RECORDS.write_bytes(gzip.compress(b"".join(line + b"\n" for line in change(lines))))


def test_a_changed_line_of_the_records_is_told(written: Plan, harness: Harness) -> None:
    _edit(lambda lines: [lines[0], lines[1].replace(b'"n":128', b'"n":129', 1), *lines[2:]])
    code, lines, _ = _check(harness, "table1")
    assert code == 1
    assert lines[0] == (
        f"{RECORDS}: line 2 was changed after it was written: its digest is another"
    )
    assert any("is missing from records.jsonl.gz" in line for line in lines[1:])


def test_a_missing_record_is_told_where_it_is_shown(written: Plan, harness: Harness) -> None:
    key = written.cell_runs[0].run.key()
    _edit(lambda lines: [x for x in lines if f'"key":"{key}"'.encode() not in x])
    code, lines, _ = _check(harness)
    assert code == 1
    missing = f"the record {key[:12]} is missing from records.jsonl.gz"
    assert lines == [
        f"{FOLDER}/table1-classes.json: row vit, phantom-mri, seed 0: {missing}",
        f"{TABLE}: row vit, column phantom-mri, seed 0: {missing}",
    ]


def test_a_record_with_a_fresh_digest_must_still_agree_with_its_predictions(
    written: Plan, harness: Harness
) -> None:
    """Who writes the digest anew has to know more than that."""
    archive = compact.read(FOLDER)
    assert archive is not None
    key = written.cell_runs[0].run.key()
    kept = archive.records[key]
    assert kept.predicted is not None
    flipped = "3" if kept.predicted["last"][0] != "3" else "2"
    forged = {**kept.predicted, "last": flipped + kept.predicted["last"][1:]}
    import dataclasses

    compact.merge(FOLDER, [dataclasses.replace(kept, predicted=forged)])
    code, lines, _ = _check(harness)
    assert code == 1
    assert any(f"{key[:12]}, last: accuracy is" in line for line in lines)
    other = {**kept.definition, "seed": 5}
    compact.merge(FOLDER, [dataclasses.replace(kept, definition=other)])
    _, lines, _ = _check(harness)
    assert f"{RECORDS}: {key[:12]} is not the key of its definition" in lines


def test_damaged_files_are_one_line_each(written: Plan, harness: Harness) -> None:
    TABLE.write_text(TABLE.read_text()[:500])
    RECORDS.write_bytes(RECORDS.read_bytes()[:50])
    code, lines, _ = _check(harness, "table1")
    assert code == 1
    assert len([x for x in lines if x.startswith(f"{TABLE} cannot be read")]) == 1
    assert len([x for x in lines if x.startswith(f"{RECORDS} cannot be read")]) == 1


def test_a_table_without_records_is_a_warning_that_names_it(
    written: Plan, harness: Harness
) -> None:
    RECORDS.unlink()
    code, lines, out = _check(harness)
    assert code == 0
    assert lines == [
        "warning: no records are kept for reports/smoke/table1-classes",
        "warning: no records are kept for reports/smoke/table1",
    ]
    assert "0 tables compared" in out


def test_what_cannot_be_compared_is_named(written: Plan, harness: Harness) -> None:
    (FOLDER / "audit.json").write_text('{"entries": []}\n')
    (FOLDER / "a_sweep.json").write_text('{"name": "a_sweep", "study": "s", "rows": []}\n')
    code, lines, out = _check(harness)
    assert code == 0
    assert lines == [f"warning: no records of trials are kept for {FOLDER}/a_sweep, a sweep"]
    assert f"Without runs, not compared: {FOLDER}/audit.json." in out


def test_names_and_folders_choose_what_is_compared(written: Plan, harness: Harness) -> None:
    assert "2 tables" in _check(harness, "table1")[2]
    assert "1 tables" in _check(harness, "table1-classes")[2]
    assert "2 tables" in _check(harness, "--profile", "smoke")[2]
    shutil.copytree(FOLDER, "elsewhere")
    assert "2 tables" in _check(harness, "--out", "elsewhere")[2]
    code, lines, _ = _check(harness, "table9")
    assert code == 2
    assert lines == [
        "harness: There is no table 'table9' under reports; known: table1, table1-classes."
    ]
    code, lines, _ = _check(harness, "--out", "nowhere")
    assert (code, len(lines)) == (2, 1)


def test_chosen_metrics_agree_too(written: Plan, harness: Harness) -> None:
    code, _, _ = harness(*COMMAND, "--metrics", "accuracy,cohen_kappa,ece,kappa")
    assert code == 0
    assert _check(harness)[:2] == (0, [])
    _change(lambda c: _at(c, ("rows", 1, "cells", "phantom-mri.ece", "seeds", 0)).update(value=1.0))
    code, lines, _ = _check(harness)
    assert (code, len(lines)) == (1, 1)
    assert "row resnet50, column phantom-mri.ece, seed 0: value is 1.0" in lines[0]


def test_groups_are_kept_as_numbers_without_their_names(
    written: Plan, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"image {i}" for i in range(len(planted.labels_of(written)))]
    part = SimpleNamespace(
        names=names[::-1], groups=[f"patient {i // 2}" for i, _ in enumerate(names)]
    )
    monkeypatch.setattr(keep, "part_of", lambda *_: part)
    keep.keep(written, [], own_folder / "grouped")
    archive = compact.read(own_folder / "grouped")
    assert archive is not None
    (images,) = archive.images.values()
    groups = compact.decode_whole(images.groups or "", images.n, "x")
    # The last image is of the first patient; numbers follow the order of the predictions.
    assert groups.tolist() == [i // 2 for i in range(len(names))]
    text = gzip.decompress((own_folder / "grouped" / compact.NAME).read_bytes())
    assert b"patient" not in text
    assert b"image 1" not in text


def test_damaged_data_cost_the_groups_alone(
    written: Plan, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Damaged("index.json", "has changed since it was prepared")

    monkeypatch.setattr(keep, "open_store", refuse)
    keep.keep(written, [], own_folder / "kept")
    archive = compact.read(own_folder / "kept")
    assert archive is not None
    assert len(archive.records) == 4
    assert all(record.predicted for record in archive.records.values())


def test_a_report_without_a_name_is_refused(harness: Harness) -> None:
    code, _, err = harness("report")
    assert code == 2
    assert err == "harness: Name an experiment from `harness list`, or give --check.\n"


def test_no_committed_table_contradicts_its_records() -> None:
    assert check.check(ROOT / "reports").differences == ()
