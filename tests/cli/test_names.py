"""What is written where: finished seeds, names of parts, and files that are not overwritten."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.store import compact
from tests import plans, planted
from tests.conftest import Harness

ONE = ("--profile", "smoke", "--datasets", "phantom-mri")
ROWS = ("--rows", "vit,resnet50")
FOLDER = Path("reports/smoke")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared images, and the records of two rows under seeds 0, 1 and 2."""
    folder = tmp_path_factory.mktemp("names")
    planted.plant_all(plans.of_table1("vit", "resnet50", root=folder, seeds=(0, 1, 2)))
    return folder


@pytest.fixture(autouse=True)
def copied(store: Path, own_folder: Path) -> None:
    shutil.copytree(store, own_folder, dirs_exist_ok=True)


def _seeds(path: Path) -> list[int]:
    seeds: list[int] = json.loads(path.read_text())["context"]["seeds"]
    return seeds


def _only(pattern: str) -> Path:
    (path,) = FOLDER.glob(pattern)
    return path


def _git(*words: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    command = ["git", *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _commit() -> None:
    _git("init", "-q")
    _git("add", "reports")
    _git("commit", "-qm", "x")


# --- seeds ---------------------------------------------------------------------------------------


def test_report_and_verdict_show_the_seeds_that_are_finished(harness: Harness) -> None:
    code, out, err = harness("report", "table1", *ONE, *ROWS)
    assert (code, err) == (0, "")
    assert "table1: finished runs of seeds 1, 2 are shown, too; --seeds selects." in out
    assert _seeds(_only("table1-part-*.json")) == [0, 1, 2]
    code, out, _ = harness("verdict", "table1", *ONE, *ROWS)
    assert code == 0
    assert _seeds(_only("table1-verdict-part-*.json")) == [0, 1, 2]
    code, out, err = harness("verdict", "table1", *ONE, *ROWS, "--json")
    assert "finished runs of seeds 1, 2" in err
    assert json.loads(out)["tables"][0]["context"]["seeds"] == [0, 1, 2]
    assert harness("report", "--check")[::2] == (0, "")


def test_a_plan_and_a_training_keep_to_the_seeds_that_are_asked_for(harness: Harness) -> None:
    _, out, _ = harness("plan", "table1", *ONE, *ROWS, "--json")
    assert json.loads(out)["unique_stages"] == 2, out
    code, out, _ = harness("run", "table1", *ONE, *ROWS, "--track", "off")
    assert code == 0
    assert "0 stages trained, 2 found done, 0 failed" in out
    assert _seeds(_only("table1-part-*.json")) == [0, 1, 2]


def test_seeds_that_are_left_out_are_another_page(harness: Harness) -> None:
    assert harness("report", "table1", *ONE, *ROWS)[0] == 0
    whole = _only("table1-part-*.json")
    before = whole.read_bytes()
    code, out, _ = harness("report", "table1", *ONE, *ROWS, "--seeds", "0")
    assert code == 0
    assert "are shown, too" not in out
    (other,) = {*FOLDER.glob("table1-part-*.json")} - {whole}
    assert (_seeds(other), whole.read_bytes()) == ([0], before)
    assert harness("report", "--check")[0] == 0


def test_a_failed_or_missing_run_is_no_finished_seed(harness: Harness) -> None:
    for path in Path("runs/records").glob("*.json"):
        if json.loads(path.read_text())["definition"]["seed"] == 2:
            path.unlink()
    _, out, _ = harness("report", "table1", *ONE, *ROWS)
    assert "finished runs of seed 1 are shown" in out


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part", [(), ROWS, ("--metrics", "macro_f1"), ("--rule", "best"), ("--split", "clean")]
)
def test_a_part_has_a_stable_name_of_its_own(part: tuple[str, ...], harness: Harness) -> None:
    names = []
    for _ in range(2):
        code, out, err = harness("report", "table1", *ONE, *part, "--format", "json")
        assert code == 0, err
        names.append({path.name for path in FOLDER.iterdir()})
    assert names[0] == names[1]
    name = _only("table1-part-*.json").name
    assert f"Written: reports/smoke/{name}" in out
    other = ("--rows", "vit") if part == ROWS else ROWS
    assert harness("report", "table1", *ONE, *other, "--format", "json")[0] == 0
    assert len([*FOLDER.glob("table1-part-*.json")]) == 2


def test_a_name_can_be_given(harness: Harness) -> None:
    words = ("table1", *ONE, *ROWS, "--name", "mine")
    assert harness("report", *words, "--classes")[0] == 0
    assert harness("verdict", *words)[0] == 0
    assert harness("figures", *words, "--figures", "forest", "--format", "svg")[0] in (0, 1)
    stems = {path.name.partition(".")[0] for path in FOLDER.iterdir() if path.is_file()}
    assert stems == {"mine", "mine-classes", "mine-classes-phantom-mri", "mine-verdict", "records"}
    assert all(path.name.startswith("mine-") for path in FOLDER.glob("figures/*"))
    assert harness("report", "--check")[0] == 0
    code, _, err = harness("report", "table1", *ONE, "--name", "a/b")
    assert code == 2
    assert err.startswith("harness: --name 'a/b' is no name of files; ")


def test_a_page_of_a_part_is_another_page(harness: Harness) -> None:
    words = ("report", "table1", "--profile", "smoke", "--format", "html")
    assert harness(*words)[0] == 0
    for _ in range(2):
        assert harness(*words, *ROWS)[0] == 0
    assert harness(*words, *ROWS, "--name", "mine")[0] == 0
    part = _only("table1-part-*.html").name
    assert {path.name for path in FOLDER.iterdir()} == {"table1.html", part, "mine.html"}
    _commit()
    _refused(harness(*words, *ROWS))
    assert harness(*words, *ROWS, "--force")[0] == 0


def test_a_page_is_of_the_same_part_as_its_markdown(harness: Harness) -> None:
    words = ("report", "table1", *ONE, "--format", "html,md")
    for rows in ("vit,resnet50", "resnet50,vit"):
        assert harness(*words, "--rows", rows)[0] == 0
    assert _only("table1-part-*.html").stem == _only("table1-part-*.md").stem


def test_a_page_of_another_part_is_refused(harness: Harness) -> None:
    words = ("report", "table1", "--profile", "smoke", "--format", "html", "--name", "page")
    assert harness(*words, *ROWS)[0] == 0
    before = _only("page.html").read_bytes()
    assert "there lies" in _refused(harness(*words, "--rows", "vit"))
    assert "there lies" in _refused(harness(*words))
    assert _only("page.html").read_bytes() == before
    assert harness(*words, "--rows", "vit", "--force")[0] == 0


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("mine.md", ("report", "--format", "md")),
        ("mine.csv", ("report", "--format", "csv")),
        ("mine.html", ("report", "--format", "html")),
        ("mine-caption.tex", ("report", "--format", "tex", "--style", "paper")),
        ("mine-classes.md", ("report", "--classes")),
        ("mine-verdict.md", ("verdict",)),
        ("mine-forest.txt", ("figures", "--figures", "forest")),
    ],
)
def test_a_file_of_which_nothing_says_what_it_is_is_left(
    harness: Harness, file: str, words: tuple[str, ...]
) -> None:
    command = (words[0], "table1", *ONE, *ROWS, *words[1:], "--name", "mine", "--out", "u")
    Path("u").mkdir()
    Path("u", file).write_text("my notes")
    assert f"u/{file} lies there" in _refused(harness(*command))
    assert [path.name for path in Path("u").iterdir()] == [file]
    assert Path("u", file).read_text() == "my notes"
    assert harness(*command, "--force")[0] == 0
    assert harness(*command)[0] == 0  # known again


def test_a_part_of_a_table_per_data_set_is_named_by_its_data_set(harness: Harness) -> None:
    assert harness("report", "table3", *ONE, "--format", "json")[0] == 0
    assert [path.stem for path in FOLDER.glob("*.json")] == ["table3-phantom-mri"]


# --- what lies there -----------------------------------------------------------------------------


def _refused(answer: tuple[int, str, str]) -> str:
    code, _, err = answer
    (line,) = err.splitlines()
    assert code == 2, err
    assert "Give --name NAME or --out FOLDER for other files, or --force to overwrite." in line
    return line


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (("--rows", "vit"), "there lies rows vit, resnet50, not vit."),
        ((*ROWS, "--rule", "best"), "there lies rule those of the whole table, not best."),
        ((*ROWS, "--seeds", "0"), "it shows seeds 1, 2, this command seeds 0."),
    ],
)
@pytest.mark.parametrize("command", ["report", "verdict", "run"])
def test_another_page_of_the_name_is_refused(
    command: str, other: tuple[str, ...], why: str, harness: Harness
) -> None:
    name = ("--name", "mine")
    first = "report" if command == "run" else command
    for _ in range(2):
        assert harness(first, "table1", *ONE, *ROWS, *name)[0] == 0
    before = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    line = _refused(harness(command, "table1", *ONE, *other, *name))
    assert why in line
    assert before == {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    if command != "run":
        assert harness(command, "table1", *ONE, *other, *name, "--force")[0] == 0
        assert harness(command, "table1", *ONE, *other, *name)[0] == 0


def test_a_run_is_refused_before_anything_is_trained(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.cli.run.train", pytest.fail)
    words = ("table1", "--profile", "smoke", "--datasets", "btmd", "--name", "mine")
    assert harness("report", *words, *ROWS)[0] == 0
    assert "rows vit, resnet50, not mae" in _refused(harness("run", *words, "--rows", "mae"))
    assert not Path("runs/margins").exists()


def test_more_seeds_are_written_over_fewer(harness: Harness) -> None:
    words = ("report", "table1", *ONE, *ROWS, "--name", "mine")
    for seeds in ("0", "0,1", "0-2"):
        assert harness(*words, "--seeds", seeds)[0] == 0
        assert harness(*words, "--seeds", seeds)[0] == 0
    assert harness(*words)[0] == 0
    assert _seeds(FOLDER / "mine.json") == [0, 1, 2]


def test_own_tables_of_one_name_are_told_apart_also_without_json(
    harness: Harness, own_folder: Path
) -> None:
    source = Path(__file__).parent.parent.parent / "experiments/table1.py"
    for folder in ("a", "b"):
        Path(folder).mkdir()
        shutil.copy(source, f"{folder}/mine.py")
    for endings in ("md", "md,tex,json"):
        words = (*ONE, *ROWS, "--name", "mine", "--format", endings)
        assert harness("report", "a/mine.py", *words)[0] == 0
        assert "table 'mine' of another file" in _refused(harness("report", "b/mine.py", *words))
    assert harness("report", "a/mine.py", *words)[0] == 0
    assert harness("report", "a/mine.py", "--check")[0] == 0
    # A copy of the whole folder is the same table at another place.
    copy = own_folder / "copy"
    shutil.copytree("reports", copy / "reports")
    shutil.copytree("a", copy / "a")
    out = ("--out", str(copy / FOLDER))
    assert harness("report", str(copy / "a/mine.py"), *words, *out)[0] == 0


def test_a_table_of_an_earlier_version_is_compared_by_its_contents(harness: Harness) -> None:
    words = ("report", "table1", *ONE, "--name", "mine", "--format", "json")
    assert harness(*words, *ROWS)[0] == 0
    path = FOLDER / "mine.json"
    content: dict[str, Any] = json.loads(path.read_text())
    del content["context"]["made"]
    path.write_text(json.dumps(content))
    (FOLDER / compact.NAME).unlink()
    assert "rows vit, resnet50, not vit" in _refused(harness(*words, "--rows", "vit"))
    assert harness(*words, *ROWS)[0] == 0
    path.write_text('{"my": "notes"}')
    (FOLDER / compact.NAME).unlink()
    assert "it is no table of the harness" in _refused(harness(*words, *ROWS))


# --- git -----------------------------------------------------------------------------------------


def test_tracked_files_are_refused_and_other_records_lie_beside(harness: Harness) -> None:
    words = ("report", "table1", *ONE, *ROWS)
    assert harness(*words, "--name", "kept")[0] == 0
    assert harness("verdict", *words[1:], "--name", "kept")[0] == 0
    _commit()
    assert "tracked by git" in _refused(harness(*words, "--name", "kept"))
    assert "tracked by git" in _refused(harness("verdict", *words[1:], "--name", "kept"))
    for _ in range(2):
        code, out, _ = harness("report", "table1", *ONE, "--rows", "vit")
        assert code == 0
    name = _only("table1-part-*.json").stem
    assert f"reports/smoke/{name}.records.jsonl.gz" in out
    changed = _git("status", "--porcelain").splitlines()
    assert all(line.startswith("??") for line in changed)
    code, out, err = harness("report", "--check")
    assert (code, err) == (0, "")
    assert out.startswith("3 tables and pages compared")
    (FOLDER / f"{name}.records.jsonl.gz").unlink()
    assert harness("report", "--check")[0] == 1
    # The tracked tables keep their records where they are.
    assert harness(*words, "--name", "kept", "--force")[0] == 0
    assert not (FOLDER / "kept.records.jsonl.gz").exists()


def test_a_table_is_compared_with_the_records_of_its_own_file(harness: Harness) -> None:
    words = ("report", "table1", *ONE, *ROWS)
    assert harness(*words, "--name", "kept")[0] == 0
    _commit()
    assert harness("report", "table1", *ONE, "--rows", "vit", "--name", "other")[0] == 0
    # The same runs, trained anew on another machine, have other numbers under the same keys.
    path = FOLDER / f"other{compact.ENDING}"
    archive = compact.read_file(path)
    record = next(iter(archive.records.values()))
    assert record.result is not None
    changed = compact.KeptRecord(**{**vars(record), "result": None, "status": "failed"})
    compact.merge(FOLDER, [changed], path.name)
    assert harness("report", "kept", "--check")[0] == 0
    assert harness("report", "other", "--check")[0] == 1
