"""Compact records: same lines, same bytes; nothing is lost by a merge; changes are told."""

from __future__ import annotations

import gzip
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.errors import Damaged
from harness.store import compact, unchanged
from harness.store.compact import KeptImages, KeptRecord, KeptTable, Line
from tests import records

NAME = "records.jsonl.gz"


def _record(key: str, **changes: object) -> KeptRecord:
    values = {
        "key": key,
        "record": "e" * 64,
        "status": "failed",
        "error": "too hot",
        "definition": {"seed": 0, "data": "d" * 64},
        "provenance": records.provenance(),
    }
    return KeptRecord(**(values | changes))  # type: ignore[arg-type]


LINES: tuple[Line, ...] = (
    KeptImages(key="a" * 64, names="n" * 64, labels="0101", groups="0011", n=4),
    _record("b" * 64),
    KeptTable(key="table1", runs=("b" * 64,), files={"table1.md": "f" * 64}),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    compact.merge(tmp_path, LINES)
    archive = compact.read(tmp_path)
    assert archive is not None
    read = (*archive.images.values(), *archive.records.values(), *archive.tables.values())
    assert read == LINES
    assert archive.damage == ()


def test_a_folder_without_the_file_has_none(tmp_path: Path) -> None:
    assert compact.read(tmp_path) is None
    assert compact.read(tmp_path / "nowhere") is None


def test_the_order_of_writing_does_not_change_a_byte(tmp_path: Path) -> None:
    once = compact.merge(tmp_path / "one", LINES).read_bytes()
    for line in reversed(LINES):
        compact.merge(tmp_path / "two", [line])
    assert (tmp_path / "two" / NAME).read_bytes() == once
    assert once[4:8] == bytes(4)  # no time


def test_one_line_per_thing_sorted_by_kind_and_key(tmp_path: Path) -> None:
    keys = ["c" * 64, "a" * 64, "b" * 64]
    compact.merge(tmp_path, [_record(key) for key in keys])
    lines = gzip.decompress((tmp_path / NAME).read_bytes()).splitlines()
    assert [compact.decode(line).key for line in lines] == sorted(keys)


def test_lines_of_others_stay_and_those_of_the_same_key_are_replaced(tmp_path: Path) -> None:
    compact.merge(tmp_path, [_record("a" * 64), _record("b" * 64)])
    compact.merge(tmp_path, [_record("b" * 64, error="too cold")])
    archive = compact.read(tmp_path)
    assert archive is not None
    assert [r.error for r in archive.records.values()] == ["too hot", "too cold"]


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    path = compact.merge(tmp_path, LINES)
    before = path.stat().st_ino
    compact.merge(tmp_path, LINES[1:])
    assert path.stat().st_ino == before


def test_a_file_is_read_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, "SETTLED", -1.0)  # it has just been written
    compact.merge(tmp_path, LINES[:1])
    first = compact.read(tmp_path)
    assert first is not None and compact.read(tmp_path) is first
    compact.merge(tmp_path, LINES)
    again = compact.read(tmp_path)
    assert again is not None and len(again.records) == 1


@pytest.mark.parametrize("position", [3, 40, 90, -5])
def test_a_changed_line_is_told_and_never_dropped(tmp_path: Path, position: int) -> None:
    path = compact.merge(tmp_path, LINES)
    lines = gzip.decompress(path.read_bytes()).splitlines()
    changed = bytearray(lines[1])
    changed[position] ^= 1
    path.write_bytes(gzip.compress(b"\n".join((lines[0], bytes(changed), lines[2])) + b"\n"))
    archive = compact.read(tmp_path)
    assert archive is not None
    assert not archive.records
    (damage,) = archive.damage
    assert damage.startswith("line 2 ")
    assert "digest" in damage
    compact.merge(tmp_path, [_record("c" * 64)])
    assert bytes(changed) in gzip.decompress(path.read_bytes()).splitlines()


def test_a_later_version_is_told_and_kept(tmp_path: Path) -> None:
    import hashlib

    body = b'{"format":9,"kind":"record"}'
    later = b'{"digest":"' + hashlib.sha256(body).hexdigest().encode() + b'",' + body[1:]
    (tmp_path / NAME).write_bytes(gzip.compress(later + b"\n"))
    archive = compact.read(tmp_path)
    assert archive is not None
    assert archive.damage == ("line 1 has format 9; a later version of the harness wrote it",)
    compact.merge(tmp_path, LINES)
    assert later in gzip.decompress((tmp_path / NAME).read_bytes()).splitlines()


@pytest.mark.parametrize("spoil", [lambda b: b[:-20], lambda b: b"no gzip", lambda b: b""])
def test_a_file_that_cannot_be_read_is_refused_and_set_aside_when_written(
    tmp_path: Path, spoil: object, capfd: pytest.CaptureFixture[str]
) -> None:
    path = compact.merge(tmp_path, LINES)
    spoiled = spoil(path.read_bytes())  # type: ignore[operator]
    path.write_bytes(spoiled)
    with pytest.raises(Damaged, match=r"cannot be read \(truncated\?\)"):
        compact.read(tmp_path)
    compact.merge(tmp_path, LINES)
    assert compact.read(tmp_path) is not None
    assert (tmp_path / f"{NAME}.damaged").read_bytes() == spoiled
    assert "set aside" in capfd.readouterr().err


def _add(folder: Path, key: str) -> None:
    compact.merge(folder, [_record(key)])


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    keys = [f"{i:064x}" for i in range(8)]
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_add, args=(tmp_path, key)) for key in keys]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    archive = compact.read(tmp_path)
    assert archive is not None
    assert [*archive.records] == keys


@given(
    values=arrays(np.int64, st.integers(1, 50), elements=st.integers(0, 5000)),
)
def test_whole_numbers_survive(values: np.ndarray) -> None:
    text = compact.encode_whole(values)
    assert (compact.decode_whole(text, len(values), "x") == values).all()


def test_up_to_36_classes_take_one_character_each() -> None:
    assert compact.encode_whole(np.array([0, 9, 10, 35])) == "09az"


@pytest.mark.parametrize(("text", "n"), [("01", 3), ("0-1", 3), ("", 2), ("é1", 2)])
def test_text_of_another_length_is_damaged(text: str, n: int) -> None:
    with pytest.raises(Damaged, match=f"one class for each of {n} images"):
        compact.decode_whole(text, n, "The line")


def test_numbers_survive_as_32_bits_and_undefined_ones_too() -> None:
    values = np.array([0.1, np.nan, 3.0])
    read = compact.decode_numbers(compact.encode_numbers(values), 3, "x")
    np.testing.assert_array_equal(read, values.astype(np.float32))
    for text in ("!", "AAAA"):
        with pytest.raises(Damaged):
            compact.decode_numbers(text, 3, "x")


def test_thirty_runs_of_three_seeds_at_the_papers_size_stay_small(tmp_path: Path) -> None:
    """Table 1 with 1311, 3001 and 522 images: predictions right in about four of five."""
    random = np.random.default_rng(0)
    lines: list[Line] = []
    for number, n in enumerate((1311, 3001, 522)):
        labels = random.integers(0, 7, n)
        lines.append(
            KeptImages(
                key=f"{number:064x}",
                names="0" * 64,
                labels=compact.encode_whole(labels),
                groups=compact.encode_whole(random.integers(0, 2000, n)),
                n=n,
            )
        )
        for run in range(30):
            wrong = random.random((2, n)) < 0.2
            guessed = np.where(wrong, random.integers(0, 7, (2, n)), labels)
            lines.append(
                _record(
                    random.bytes(32).hex(),
                    images=f"{number:064x}",
                    predicted={
                        "last": compact.encode_whole(guessed[0]),
                        "best": compact.encode_whole(guessed[1]),
                    },
                    definition={"seed": run, "data": random.bytes(32).hex()},
                )
            )
    assert compact.merge(tmp_path, lines).stat().st_size < 300_000
