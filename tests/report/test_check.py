"""``report --check``: a committed table and the records beside it, number by number."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.data.parts import part_of
from harness.data.prepared import open_store
from harness.errors import Damaged
from harness.plan.plan import Plan
from harness.report import keep
from harness.store import compact
from tests import plans, planted
from tests.conftest import ROOT, Harness

SELECTION = ("--profile", "smoke", "--datasets", "phantom-mri", "--rows", "vit,resnet50")
COMMAND = ("report", "table1", *SELECTION, "--seeds", "0,1", "--name", "table1")
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
    assert "2 tables and pages compared with what they are made from, 0 differences, 0" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--metrics", "kappa", "--classes"), "--metrics, --classes would change nothing"),
        (("--form", "md"), "--format would change nothing"),
        (("table1", "table2"), "2 were given"),
    ],
)
def test_what_a_comparison_does_not_use_is_refused(
    harness: Harness, words: tuple[str, ...], says: str
) -> None:
    code, lines, _ = _check(harness, *words)
    assert code == 2
    assert len(lines) == 1 and says in lines[0]


def test_every_option_of_writing_is_refused_in_a_comparison() -> None:
    from harness.cli import main, report

    group = main._parser()._subparsers
    assert group is not None
    choices: Any = group._group_actions[0].choices
    known = {option for a in choices["report"]._actions for option in a.option_strings}
    used = {"-h", "--help", "--check", "--out", "--profile", "--name", "--plugins", "--traceback"}
    assert known == used | {*report.OF_WRITING}


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
    (line,) = lines
    shown = f"row vit, column phantom-mri: it shows '{number + 0.01:.2f} ±"
    assert line.startswith(f"{page}: {shown}")
    assert f"the JSON file gives '{number:.2f} ±" in line


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
        f"{TABLE}: row vit, column phantom-mri, seed 0: {missing}",
        f"{FOLDER}/table1-classes.json: row vit, phantom-mri, seed 0: {missing}",
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


def test_a_table_without_records_is_a_failure_that_names_it(
    written: Plan, harness: Harness
) -> None:
    RECORDS.unlink()
    code, lines, out = _check(harness)
    assert code == 1
    assert [line.partition(":")[0] for line in lines] == [
        f"{FOLDER}/table1",
        f"{FOLDER}/table1-classes",
    ]
    files = "table1.json, table1.md, table1.tex"
    assert f": no records are kept for {files}: {RECORDS} is not there. Write the" in lines[0]
    assert "0 tables and pages compared" in out


def _list(*names: str) -> None:
    lines = [f"{hashlib.sha256((FOLDER / n).read_bytes()).hexdigest()}  {n}" for n in names]
    (FOLDER / "unchecked.txt").write_text("\n".join(["# Older than records.", *lines]) + "\n")


def test_a_list_names_the_files_without_records(written: Plan, harness: Harness) -> None:
    RECORDS.unlink()
    names = sorted(p.name for p in FOLDER.iterdir())
    _list(*names)
    code, lines, out = _check(harness)
    assert (code, lines) == (0, [])
    assert f"Named in {FOLDER}/unchecked.txt: Older than records." in out
    assert all(f"  {FOLDER}/{name}: compared with its SHA-256 alone" in out for name in names)
    # Any change of a file that is named is told, a cell of a page with what the JSON file gives.
    (FOLDER / "table1-classes.md").open("a").write(" \n")
    page = FOLDER / "table1.tex"
    page.write_text(page.read_text().replace("ViT-B & ", "ViT-C & ", 1))
    code, lines, _ = _check(harness)
    assert code == 1
    classes = [line for line in lines if "classes" in line]
    assert classes == [f"{FOLDER}/table1-classes.md: it is not the file that unchecked.txt names"]
    assert all(line.startswith(f"{page}: ") for line in lines if line not in classes)
    assert any("row vit: 'ViT-B' is not in its row" in line for line in lines)
    # A file that is gone, and one that is new.
    _list(*names)
    (FOLDER / "table1.md").unlink()
    (FOLDER / "table1.csv").write_text("")
    code, lines, _ = _check(harness, "table1")
    assert code == 1
    assert f"{FOLDER}/table1.md is named in unchecked.txt and is not there" in lines
    assert any("no records are kept for table1.csv" in line for line in lines)


def test_a_list_that_is_no_list_is_told(written: Plan, harness: Harness) -> None:
    (FOLDER / "unchecked.txt").write_text("table1.json\n")
    code, lines, _ = _check(harness)
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith(f"{FOLDER}/unchecked.txt line 1 is 'table1.json', not a SHA-256")


def test_a_list_of_files_whose_records_are_kept_is_stale(written: Plan, harness: Harness) -> None:
    _list("table1.md")
    code, lines, _ = _check(harness)
    assert code == 0
    assert lines == [
        f"warning: {FOLDER}/unchecked.txt names table1.md, whose records are kept now;"
        " remove the lines"
    ]


@pytest.mark.parametrize("name", ["a_sweep.json", "notes.md", "other.tex", "old.csv", "x.json"])
def test_what_is_compared_with_nothing_fails(written: Plan, harness: Harness, name: str) -> None:
    text = '{"name": "a_sweep", "study": "s", "rows": []}' if name.endswith("json") else "87.31"
    (FOLDER / name).write_text(f"{text}\n")
    (FOLDER / "README.md").write_text("what the tables are\n")
    code, lines, _ = _check(harness)
    assert (code, len(lines)) == (1, 1)
    stem = name.partition(".")[0]
    assert lines[0].startswith(
        f"{FOLDER}/{stem}: no records are kept for {name}: {RECORDS} does not name them."
    )


def test_pictures_that_no_records_name_are_named(written: Plan, harness: Harness) -> None:
    (FOLDER / "figure9.png").write_bytes(b"a picture")
    code, lines, out = _check(harness)
    assert (code, lines) == (0, [])
    assert f"Pictures that no records name, not compared: {FOLDER}/figure9.png." in out


def test_a_missing_line_of_a_table_is_told(written: Plan, harness: Harness) -> None:
    """Without it nobody knows which files were written with the records."""
    _edit(lambda lines: [x for x in lines if b'"kind":"table"' not in x])
    code, lines, _ = _check(harness)
    assert code == 1
    assert [line.partition(":")[0] for line in lines] == [
        f"{FOLDER}/table1.json",
        f"{FOLDER}/table1-classes.json",
    ]
    assert all("but not its own line" in line for line in lines)


def test_a_missing_line_of_images_is_told(written: Plan, harness: Harness) -> None:
    _edit(lambda lines: [x for x in lines if b'"kind":"images"' not in x])
    code, lines, _ = _check(harness)
    assert code == 1
    assert any("the line of the images of" in x and x.startswith(f"{RECORDS}: ") for x in lines)


def test_a_missing_json_file_is_told(written: Plan, harness: Harness) -> None:
    TABLE.unlink()
    code, lines, _ = _check(harness, "table1")
    assert code == 1
    assert f"{TABLE} was written with the records and is not there" in lines


def test_a_file_that_was_not_written_with_the_table_is_told(
    written: Plan, harness: Harness
) -> None:
    (FOLDER / "table1.csv").write_text("row\n")
    code, lines, _ = _check(harness)
    assert code == 1
    assert lines == [f"{FOLDER}/table1.csv: it is not among the files that were written with it"]


def _forge() -> None:
    """Write the table's line anew, as who knows of the SHA-256 can."""
    archive = compact.read(FOLDER)
    assert archive is not None
    table = archive.tables["table1"]
    hashed = {n: hashlib.sha256((FOLDER / n).read_bytes()).hexdigest() for n in table.files}
    compact.merge(FOLDER, [dataclasses.replace(table, files=hashed)])


@pytest.mark.parametrize(
    ("name", "old", "new", "where"),
    [
        ("table1.md", "*31.25*", "*31.75*", "it shows '*31.75*', the JSON file gives '*31.25*'"),
        ("table1.tex", r"\textit{31.25}", r"\textit{31.75}", "row '"),
        ("table1.md", "| ViT-B | ViT-B |", "| ViT-B | ResNet50 |", "'ViT-B' is not"),
        ("table1.tex", "± ", "± 1", "row vit, column phantom-mri: it shows"),
        ("table1.md", "Phantom brain MRI ours", "Phantom brain CT ours", "is headed"),
        ("table1.tex", "{c}{Phantom brain MRI}", "{c}{Phantom brain CT}", "is headed"),
        ("table1.md", "- **Seeds:** 0, 1", "- **Seeds:** 0, 1, 2", "the note 'Seeds'"),
        ("table1.tex", r"\textbf{Seeds:} 0, 1", r"\textbf{Seeds:} 2, 1", "the note 'Seeds'"),
        ("table1.md", "not a reproduction", "a reproduction", "its caption"),
        ("table1.tex", "not a reproduction", "a reproduction", "its caption"),
    ],
)
def test_a_page_follows_from_its_json_file(
    written: Plan, harness: Harness, name: str, old: str, new: str, where: str
) -> None:
    path = FOLDER / name
    text = path.read_text()
    if name.endswith("tex"):
        old, new = (x.replace("± ", r"$\pm$\,") for x in (old, new))
    assert old in text
    path.write_text(text.replace(old, new, 1))
    _forge()
    code, lines, _ = _check(harness)
    assert code == 1
    assert all(line.startswith(f"{path}: ") for line in lines)
    assert any(where in line for line in lines), lines


@pytest.mark.parametrize(
    ("place", "value", "what"),
    [
        ((*CELL, "rank"), "best", "rank is 'best', the records say"),
        ((*CELL, "ranks"), [2, 2], "ranks is"),
        (("ties", 0, "rows"), ["resnet50", "vit"], "rows is"),
        (("ties", 0, "pairs", 0, "p"), 0.001, "p is 0.001"),
        (("ties", 0, "pairs", 0, "seeds_p"), 0.001, "seeds_p is 0.001"),
        (("ties", 0, "pairs", 0, "adjusted"), 0.001, "adjusted is 0.001"),
        (("ties", 0, "pairs", 0, "better"), "resnet50", "better is 'resnet50'"),
        (("ties", 0, "best"), "vit", "best is 'vit'"),
        (("ties", 0, "between"), 55.0, "between is 55.0"),
        (("ties", 0, "separable_pairs"), 7, "separable_pairs is 7"),
        (("ties", 0, "seeds"), [0, 1, 2], "seeds is"),
        (("ties",), [], "its ties are missing"),
    ],
    ids=lambda x: ".".join(map(str, x)) if isinstance(x, tuple) else None,
)
def test_a_changed_rank_or_tie_is_told(
    written: Plan, harness: Harness, place: tuple[Any, ...], value: Any, what: str
) -> None:
    def change(content: Any) -> None:
        assert _at(content, place) != value
        _at(content, place[:-1])[place[-1]] = value

    _change(change)
    _forge()
    code, lines, _ = _check(harness)
    assert code == 1
    assert all(line.startswith(f"{TABLE}: ") for line in lines)
    assert any(what in line for line in lines), lines


def test_ties_over_images_are_those_of_the_predicted_classes(
    written: Plan, own_folder: Path, harness: Harness
) -> None:
    """Predictions that are of the store's images, as those of real runs are."""
    store = open_store(Path("data"), "phantom-mri")
    names = np.asarray(part_of(store, "paper", written.options.profile, "reported").names)
    labels = planted.labels_of(written)
    own = dataclasses.replace(
        written, options=dataclasses.replace(written.options, runs=Path("runs"))
    )
    for number, cell_run in enumerate(own.cell_runs):
        made = planted.arrays(number, labels, sure=0.2 + 0.4 * (cell_run.row.name == "vit"))
        planted.plant(own, cell_run.run, {**made, "names": names})
    assert harness(*COMMAND, "--classes")[0] == 0
    assert _check(harness)[:2] == (0, [])
    content = json.loads(TABLE.read_text())
    (pair,) = content["ties"][0]["pairs"]
    assert pair["images_p"] < 0.05
    _change(lambda c: c["ties"][0]["pairs"][0].update(images_p=2 * pair["images_p"]))
    _forge()
    code, lines, _ = _check(harness)
    assert code == 1
    assert any("images_p is" in line for line in lines)


def test_names_and_folders_choose_what_is_compared(written: Plan, harness: Harness) -> None:
    assert "2 tables and" in _check(harness, "table1")[2]
    assert "1 table or page" in _check(harness, "table1-classes")[2]
    assert "2 tables and" in _check(harness, "--profile", "smoke")[2]
    shutil.copytree(FOLDER, "elsewhere")
    assert "2 tables and" in _check(harness, "--out", "elsewhere")[2]
    code, lines, _ = _check(harness, "table9")
    assert code == 2
    assert lines == [
        "harness: There is no table 'table9' under reports; known: table1, table1-classes."
    ]
    code, lines, _ = _check(harness, "--out", "nowhere")
    assert (code, len(lines)) == (2, 1)


def test_chosen_metrics_agree_too(written: Plan, harness: Harness) -> None:
    code, _, _ = harness(*COMMAND, "--force", "--metrics", "accuracy,cohen_kappa,ece,kappa")
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


def test_the_committed_tables_follow_from_what_they_are_made_from(harness: Harness) -> None:
    """The repository's own ``reports``, audits and list of older tables included."""
    code, out, err = harness("report", "--check", "--out", str(ROOT / "reports"))
    assert (code, err) == (0, "")
    # What is not compared with records is named, one by one.
    older = [line for line in out.splitlines() if "SHA-256 alone" in line]
    listed = (ROOT / "reports").rglob("unchecked.txt")
    named = [x for path in listed for x in path.read_text().splitlines() if x[:1] != "#"]
    assert len(older) == len(named)


@pytest.fixture
def copied(own_folder: Path) -> Path:
    """A copy of the repository's own tables, without the audits."""
    for name in ("smoke", "laptop"):
        shutil.copytree(ROOT / "reports" / name, own_folder / "reports" / name)
    return own_folder / "reports"


@pytest.mark.parametrize("path", ["smoke/lesions", "laptop/lesions"])
@pytest.mark.parametrize(
    "kind", ["md", "tex", "json", "ranks", "no line", "no record", "no records", "curves"]
)
def test_tampering_with_a_committed_table_names_the_file(
    copied: Path, harness: Harness, path: str, kind: str
) -> None:
    page = Path("reports") / f"{path}.json"
    records = page.with_name("records.jsonl.gz")
    told = page
    if kind in ("md", "tex"):
        told = page.with_suffix(f".{kind}")
        row = json.loads(page.read_text())["rows"][2]
        number = f"{next(iter(row['cells'].values()))['value']:.2f}"
        changed = number[:-1] + str((int(number[-1]) + 1) % 10)
        assert number in told.read_text()
        told.write_text(told.read_text().replace(number, changed, 1))
    elif kind == "curves":
        told = page.with_name("lesions-curves.md")
        told.write_text(told.read_text().replace("0.5", "0.6", 1))
    elif kind == "json":
        _change(lambda c: next(iter(c["rows"][2]["cells"].values())).update(value=99.5), page)
    elif kind == "ranks":

        def swap(content: Any) -> None:
            ties = content["ties"][0]
            ties["rows"][0], ties["rows"][1] = ties["rows"][1], ties["rows"][0]

        _change(swap, page)
    elif kind == "no records":
        records.unlink()
        told = page.with_suffix("")
    else:
        what = b'"kind":"table"' if kind == "no line" else b'"kind":"record"'
        whole = gzip.decompress(records.read_bytes()).splitlines(keepends=True)
        gone = next(line for line in whole if what in line)
        records.write_bytes(gzip.compress(b"".join(x for x in whole if x != gone)))
        if kind == "no record":
            told = Path("reports")  # the tables that show it
    code, lines, _ = _check(harness, "lesions")
    assert code == 1
    assert any(line.startswith(str(told)) for line in lines), lines
