"""Faults of an own method: each is a failed run with its place, and the other rows go on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.execute.output import EPOCH, LINE, OutputError, OutputLimit
from harness.store import failures
from tests import own_tables, prepared
from tests.conftest import Harness


@pytest.fixture(autouse=True)
def images(own_folder: Path) -> None:
    prepared.ensure(own_folder / "data")


def _records() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in Path("runs/records").glob("*.json")]


def _by_fault() -> dict[str, dict[str, Any]]:
    """Return the records of pre-trainings by their fault."""
    stages = [(record["definition"]["stages"], record) for record in _records()]
    return {s[0]["method"]["fault"]: record for s, record in stages if len(s) == 1}


def test_each_fault_is_a_failed_run_with_its_place_and_the_rest_goes_on(harness: Harness) -> None:
    own_tables.write(*own_tables.FAULTS)
    code, out, err = harness("run", "own.py", *own_tables.OPTIONS, "--probes")
    assert code == 1, err[-3000:]
    assert "Traceback" not in err
    count = len(own_tables.FAULTS)
    assert f"2 stages trained, 0 found done, {2 * count} failed" in out
    assert "yy\n" in err  # a line that it began is ended, also where it closes the stream
    assert not list(Path("elsewhere").glob("**/*"))
    assert str(Path.cwd()) not in out + err
    records = _by_fault()
    assert records.pop("")["status"] == "done"
    for fault in own_tables.FAULTS:
        record = records[fault]
        assert record["status"] == "failed"
        assert record["error"].endswith(f" ({own_tables.line_of(fault)})"), record["error"]
        assert "\n" not in record["error"] and "\x1b" not in record["error"]
        assert len(record["error"]) <= 500
        kept = failures.path_of(Path("runs"), record["key"]).read_text()
        assert kept.startswith("Traceback") and len(kept) < 1_100_000
    assert records["value"]["error"].startswith("ValueError: my bug with a second line (")
    changed = "ChangedSettingsError: it changed its settings while it was trained (fault)"
    assert records["settings"]["error"].startswith(changed)
    for fault in ("nothing", "no_total"):
        assert 'losses must return {"total": loss, ...}' in records[fault]["error"]
    assert "after_epoch must return" in records["no_figures"]["error"]
    assert "requirements" not in records["helper_build"]["error"]
    ended = "ProcessEndError: os._exit(0): its process ended with code 0 ("
    assert records["exits"]["error"].startswith(ended)
    assert records["odd"]["error"].startswith("Odd: (its text cannot be shown: SystemExit)")


def test_a_method_that_changes_the_folder_moves_no_file(harness: Harness, own_folder: Path) -> None:
    own_tables.write("moves")
    folders = ("--data", "data", "--runs", "runs", "--out", "here")
    code, out, err = harness("run", "own.py", *own_tables.OPTIONS, *folders)
    assert code == 0, err
    assert "here/" in out and str(own_folder) not in out + err
    assert {path.name for path in Path("elsewhere").rglob("*")} <= {"elsewhere"}
    assert [record["status"] for record in _records()] == ["done"] * 4
    assert not list(Path("runs").glob("claims/*.json")) and list(Path("here").glob("**/own*.md"))


def test_a_later_stage_and_the_footnote_name_the_cause(harness: Harness) -> None:
    own_tables.write("value", "escape")
    code, out, err = harness("run", "own.py", *own_tables.OPTIONS)
    assert code == 1, err
    cause = f"ValueError: my bug with a second line ({own_tables.line_of('value')})"
    later = [r for r in _records() if len(r["definition"]["stages"]) == 2 and r["error"]]
    assert f"pretrain failed: {cause}" in [record["error"] for record in later]
    assert f" pretrain failed: {cause}\n" in out
    assert "the stage before" not in out + err
    assert f"… ({own_tables.line_of('escape')})" in out  # shortened, and the place stays
    kept = {failures.read(Path("runs"), record["key"]) or "" for record in later}
    assert all("its traceback is in" in text for text in kept)


def test_status_shows_the_errors(harness: Harness) -> None:
    own_tables.write("name")
    harness("run", "own.py", *own_tables.OPTIONS)
    code, out, _ = harness("status", "--errors")
    assert code == 0
    assert "return undefined_name" in out and "in runs/failures/" in out
    assert "return undefined_name" not in harness("status")[1]
    (first, second) = json.loads(harness("status", "--errors", "--json")[1])["failed"]
    assert Path(first["traceback"]).is_file() and Path(second["traceback"]).is_file()
    assert "undefined_name" in first["text"] + second["text"]


@pytest.mark.slow
def test_workers_fail_alike(harness: Harness) -> None:
    own_tables.write(*own_tables.FAULTS)
    code, _, err = harness("run", "own.py", *own_tables.OPTIONS, "--jobs", "2")
    assert code == 1, err
    places = {f: r["error"].rpartition(" ")[2] for f, r in _by_fault().items() if r["error"]}
    # Without --probes nobody asks for features.
    assert places == {f: f"({own_tables.line_of(f)})" for f in own_tables.FAULTS if f in places}
    assert len(places) >= len(own_tables.FAULTS) - 1


@pytest.mark.slow
def test_a_stage_that_ends_its_worker_has_failed_and_the_rest_goes_on(harness: Harness) -> None:
    own_tables.write("segfault", "value")
    code, out, err = harness("run", "own.py", *own_tables.OPTIONS, "--jobs", "2")
    assert code == 1, err
    records = _by_fault()
    line = f"own.py:{1 + own_tables.METHODS.split(chr(10)).index(own_tables.BUILD)}"
    assert records["segfault"]["error"] == f"its process ended by SIGSEGV ({line})"
    assert records[""]["status"] == "done" and records["value"]["status"] == "failed"
    assert "2 stages trained, 0 found done, 4 failed" in out
    assert "memory is not estimated of methods that do not ship: Start, Tune" in err


def test_output_is_limited_per_line_and_per_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    limit = OutputLimit()
    before = sys.stdout
    with limit.watching():
        print("a line", file=sys.stderr)
        limit.begin_epoch()
        for _ in range(EPOCH // LINE):
            print("x" * (LINE - 1))
        with pytest.raises(OutputError, match="in an epoch"):
            print("y")
        limit.begin_epoch()
        print()
        sys.stdout.write("x" * LINE)
        with pytest.raises(OutputError, match="a line of more than"):
            sys.stdout.write("x")
    assert sys.stdout is before
    assert len(capsys.readouterr().out) == EPOCH + 1 + LINE + 1  # its line is ended
