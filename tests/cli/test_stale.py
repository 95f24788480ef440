"""``harness run --stale`` trains what other sources have made, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import own_tables, prepared
from tests.conftest import Harness

OPTIONS = own_tables.OPTIONS


@pytest.fixture
def table(own_folder: Path, harness: Harness) -> Path:
    """Return the file of a table whose sound row is finished."""
    prepared.ensure(own_folder / "data")
    path = own_tables.write()
    code, _, err = harness("run", "own.py", *OPTIONS)
    assert code == 0, err
    return path


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _files() -> dict[str, bytes]:
    folders = ("records", "weights", "predictions")
    paths = [path for folder in folders for path in Path("runs", folder).iterdir()]
    return {str(path): path.read_bytes() for path in paths}


def _plan(harness: Harness) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(
        harness("plan", "own.py", *OPTIONS[:4], "--json", "--no-cost")[1]
    )
    return facts


def _length(files: dict[str, bytes], changed: set[str]) -> set[int]:
    """Return the numbers of stages of the records among changed files."""
    records = [json.loads(files[name]) for name in changed if "/records/" in name]
    return {len(record["definition"]["stages"]) for record in records}


def test_only_stale_stages_are_trained(table: Path, harness: Harness) -> None:
    before = _files()
    assert _plan(harness)["stale"] == 0
    code, out, _ = harness("run", "own.py", *OPTIONS, "--stale")
    assert code == 0 and "Nothing that can be trained again is stale." in out
    assert _files() == before
    _edit(table, "self.factor * loss", "2 * self.factor * loss")  # of fine-tuning alone
    _edit(table, "table(*())", 'table("refused")')  # a row that has no record
    facts = _plan(harness)
    assert (facts["done"], facts["stale"], facts["missing"]) == (1, 1, 2)
    assert "1 done, 1 stale, 2 missing" in harness("plan", "own.py", *OPTIONS[:4])[1]
    assert "†" in harness("report", "own.py", *OPTIONS[:4])[1]
    code, out, err = harness("run", "own.py", *OPTIONS, "--stale")
    assert code == 0, err
    assert "1 stage trained" in out and "0 failed" in out and "†" not in out
    after = _files()
    changed = {name for name in after if after[name] != before.get(name)}
    assert after.keys() == before.keys() and _length(after, changed) == {2}
    facts = _plan(harness)
    assert (facts["done"], facts["stale"], facts["missing"]) == (2, 0, 2)


def test_a_stage_that_starts_from_a_stale_one_is_trained_again_too(
    table: Path, harness: Harness
) -> None:
    before = _files()
    _edit(table, "outputs.square().mean()", "outputs.abs().mean()")
    assert _plan(harness)["stale"] == 2
    code, out, err = harness("run", "own.py", *OPTIONS, "--stale")
    assert code == 0, err
    assert "2 stages trained" in out
    after = _files()
    assert _length(after, {name for name in after if after[name] != before[name]}) == {1, 2}
    assert _plan(harness)["stale"] == 0


def test_the_former_record_stays_until_the_new_one_is_complete(
    table: Path, harness: Harness
) -> None:
    before = _files()
    _edit(table, 'return {"total": self.factor * loss}', "raise ValueError('late bug')")
    code, out, err = harness("run", "own.py", *OPTIONS, "--stale")
    assert code == 1
    assert "ValueError: late bug (own.py:" in err and "1 failed" in out and "†" in out
    assert _files() == before
    assert "late bug" in harness("status", "--errors", "--runs", "runs/renewal")[1]
    assert "0 failed" in harness("status")[1]
    _edit(table, "raise ValueError('late bug')", 'return {"total": 3 * self.factor * loss}')
    assert harness("run", "own.py", *OPTIONS, "--stale")[0] == 0
    assert _files() != before and _plan(harness)["stale"] == 0


def test_what_contradicts_it_is_refused(table: Path, harness: Harness) -> None:
    code, _, err = harness("run", "own.py", *OPTIONS, "--stale", "--fresh")
    assert code == 2 and "--stale only what other sources have made; give one" in err
    _edit(table, "self.factor * loss", "2 * self.factor * loss")
    before = _files()
    code, _, err = harness("run", "own.py", *OPTIONS, "--stale", "--seeds", "7")
    assert code == 0, err  # another seed has no record, so that nothing of it is stale
    assert _files() == before
