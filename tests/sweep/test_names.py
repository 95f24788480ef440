"""Names of a sweep's pages, and what they are not written over."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.sweep import report, search
from harness.sweep.trial import Result
from tests import prepared
from tests.conftest import Harness
from tests.sweep.sweeps import SWEEP

COMMAND = ("sweep", "small.py", "--profile", "smoke", "--trials", "1", "--track", "off")


@pytest.fixture
def pages(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the pages, in a folder with generated images and the small sweep; trials end
    at once."""

    def attempt(*_: Any) -> Result:
        return Result(accuracy=0.5, macs=1e9)

    monkeypatch.setattr(search, "_attempt", attempt)
    monkeypatch.setattr(report, "_figures", lambda _: [])
    (own_folder / "small.py").write_text(SWEEP)
    prepared.ensure(own_folder / "data")
    return own_folder / "reports/smoke"


def _names(pages: Path) -> set[str]:
    return {path.name for path in pages.iterdir()}


def test_a_changed_study_has_pages_of_its_own(pages: Path, harness: Harness) -> None:
    assert harness(*COMMAND, "--format", "json")[0] == 0
    assert _names(pages) == {"small.json"}
    before = (pages / "small.json").read_bytes()
    changed = (
        ("--seeds", "1"),
        ("--study", "another"),
        ("--study", "cheap", "--objectives", "accuracy,training_macs"),
        ("--study", "short", "--set", "pretrain.recipe.epochs=9"),
    )
    for number, options in enumerate(changed):
        code, _, err = harness(*COMMAND, "--format", "json", *options)
        assert code == 0, err
        assert len(_names(pages)) == number + 2
        assert all(name.startswith("small-part-") for name in _names(pages) - {"small.json"})
    assert (pages / "small.json").read_bytes() == before
    made = json.loads(before)["context"]["made"]
    assert (made["experiment"], made["profile"]) == ("small", "smoke")
    assert made["parts"] == {"data set": ["phantom-mri"]}


def test_the_same_study_is_written_over(pages: Path, harness: Harness) -> None:
    for trials in ("1", "2"):
        code, _, err = harness(*COMMAND, "--trials", trials, "--format", "json")
        assert code == 0, err
        assert json.loads((pages / "small.json").read_text())["counts"] == {"complete": int(trials)}


def test_a_page_of_another_study_is_refused(pages: Path, harness: Harness) -> None:
    named = (*COMMAND, "--format", "json", "--name", "mine")
    assert harness(*named)[0] == 0
    before = (pages / "mine.json").read_bytes()
    for options in (("--seeds", "1"), ("--study", "another")):
        code, _, err = harness(*named, *options)
        assert code == 2
        assert "mine is not written: there lies" in err
        assert "--force" in err
        assert (pages / "mine.json").read_bytes() == before
    assert harness(*named, "--seeds", "1", "--force")[0] == 0
    assert (pages / "mine.json").read_bytes() != before


def test_a_page_of_an_earlier_version_is_told_by_its_study(pages: Path, harness: Harness) -> None:
    assert harness(*COMMAND, "--format", "json")[0] == 0
    page = json.loads((pages / "small.json").read_text())
    del page["context"]["made"]
    for study, code in ((page["study"], 0), ("other", 2)):
        (pages / "small.json").write_text(json.dumps({**page, "study": study}))
        assert harness(*COMMAND, "--format", "json")[0] == code
    for text, said in (("{}", "no page of a sweep"), ("{", "small.json")):
        (pages / "small.json").write_text(text)
        code, _, err = harness(*COMMAND, "--format", "json")
        assert (code, said in err) == (2, True), err
        assert (pages / "small.json").read_text() == text


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("name", ["small.md", "small-heat.png", "small.tex"])
def test_a_tracked_page_is_refused(pages: Path, harness: Harness, name: str) -> None:
    pages.mkdir(parents=True)
    (pages / name).write_text("committed")
    for arguments in (("init", "-q"), ("add", "reports")):
        subprocess.run(["git", *arguments], check=True)
    code, _, err = harness(*COMMAND)
    assert code == 2
    assert f"{name} is tracked by git and would change" in err
    assert (pages / name).read_text() == "committed"
    assert not Path("runs/optuna.db").exists()
    assert harness(*COMMAND, "--force")[0] == 0
