"""A report reads each record and each file of predictions once, and describes a stage once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from harness import canonical, files
from harness.spec import described
from harness.store import unchanged
from harness.store.record import Records
from tests import records
from tests.conftest import Harness
from tests.page import stores


def test_each_file_is_read_once_and_each_stage_described_once(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, "SETTLED", -1.0)  # the files have just been written
    made = stores.fill(stores.planned(seeds=(0, 1, 2)))
    read: Counter[str] = Counter()
    texts: Counter[object] = Counter()
    original, describing = unchanged.read, canonical.canonical

    def counted(path: Path) -> object:
        read[path.name] += 1
        return original(path)

    def described_once(value: object) -> str:
        if isinstance(value, dict) and "method" in value:
            texts[canonical.canonical(value)] += 1
        return describing(value)

    monkeypatch.setattr(unchanged, "read", counted)
    monkeypatch.setattr(described, "canonical", described_once)
    assert (
        harness(
            *("report", "table1", "--profile", "smoke", "--datasets", "btmd"),
            *("--rows", "mae,msmae", "--seeds", "0-2", "--out", "out"),
        )[0]
        == 0
    )
    stages = {step.key for step in made.stage_runs}
    predicted = {step.key for step in made.stage_runs if step.stage.phase != "pretrain"}
    assert {n.removesuffix(".json") for n in read if n.endswith(".json")} == stages
    assert {n.removesuffix(".npz") for n in read if n.endswith(".npz")} == predicted
    del read["records.jsonl.gz"]  # it is asked for, and not there yet
    assert set(read.values()) == {1}
    assert texts and set(texts.values()) == {1}, "seeds share their stages"


def test_a_changed_record_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "SETTLED", -1.0)
    made = stores.fill(stores.planned(seeds=(0,)))
    store = Records(made.options.runs)
    key = made.stage_runs[0].key
    first = store.read(key)
    assert first is not None and store.read(key) is first
    store.write(replace(first, provenance=records.provenance(seconds=9.5)))
    again = store.read(key)
    assert again is not None and again.provenance.seconds == 9.5
    store.discard(key)
    assert store.read(key) is None


def test_a_file_that_was_just_written_is_not_kept(tmp_path: Path) -> None:
    """Its times might not tell a change within the same tick of the clock."""
    path = tmp_path / "one"
    path.write_bytes(b"1")
    assert unchanged.read(path) == (b"1", None)


def test_a_file_that_is_set_aside_is_seen_in_a_folder_that_was_not_there(tmp_path: Path) -> None:
    path = tmp_path / "weights" / "one.pt"
    assert not unchanged.has_aside(path)
    path.parent.mkdir()
    assert not unchanged.has_aside(path)
    path.with_name(f"{path.name}{files.DAMAGED}").touch()
    assert unchanged.has_aside(path)


def test_what_can_be_changed_in_place_is_looked_at_each_time() -> None:
    known: described.OncePerObject[str] = described.OncePerObject()
    one, other, changing = (1, 2), (1.0, 2), ({"a": 1},)
    assert known.of(one, make=lambda: repr(one)) == ("(1, 2)", True)
    assert known.of(one, make=lambda: pytest.fail("made twice")) == ("(1, 2)", True)
    assert known.of(other, make=lambda: repr(other)) == ("(1.0, 2)", True), "equal, and another"
    assert known.of(changing, make=lambda: repr(changing)) == ("({'a': 1},)", False)
    changing[0]["a"] = 2
    assert known.of(changing, make=lambda: repr(changing)) == ("({'a': 2},)", False)


@pytest.mark.parametrize("value", [1, True, 1.0, None, "1", 0.0, -0.0, {"b": 1, "a": True}, [1]])
def test_composed_texts_are_canonical(value: object) -> None:
    whole = {"b": value, "a": 1, "c": None}
    for _ in range(2):
        text = described.composed({"b": value, "c": None}, {"a": "1"})
        assert text == canonical.canonical(whole)


def test_a_key_is_the_digest_of_its_definition() -> None:
    for step in stores.planned("table1", rows=None, seeds=(0, 7)).stage_runs:
        assert step.key == canonical.digest(step.run.definition(step.num_stages))
