"""Reading and writing of files: strict typed JSON, errors of the disk, names set aside."""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pytest
import torch

from harness import files
from harness.errors import Damaged, UserError, shown


@dataclass(frozen=True, kw_only=True)
class Point:
    """A value with a range, a number and a table."""

    n: Annotated[int, msgspec.Meta(ge=0)]
    x: float
    by_name: dict[str, float | None]


GOOD = b'{"n": 1, "x": 1, "by_name": {"a": null}}'

BAD = {
    "empty": b"",
    "truncated": GOOD[:-3],
    "not a number": b'{"n": 1, "x": NaN, "by_name": {}}',
    "infinite": b'{"n": 1, "x": 1e999, "by_name": {}}',
    "400 digits": b'{"n": ' + b"9" * 400 + b', "x": 1, "by_name": {}}',
    "400 digits for a float": b'{"n": 1, "x": ' + b"9" * 400 + b', "by_name": {}}',
    "5000 digits": b"9" * 5000,
    "nested": b"[" * 100_000,
    "nested object": b'{"a":' * 100_000,
    "null": b"null",
    "list": b"[]",
    "a boolean for a number": b'{"n": true, "x": 1, "by_name": {}}',
    "text for a number": b'{"n": 1, "x": "1", "by_name": {}}',
    "below its range": b'{"n": -1, "x": 1, "by_name": {}}',
    "a field is missing": b'{"n": 1}',
    "latin-1": b'{"n": 1, "x": 1, "by_name": {"\xe9": 1}}',
    "a surrogate": b'{"n": 1, "x": 1, "by_name": {"\xed\xa0\x80": 1}}',
    "utf-16": GOOD.decode().encode("utf-16"),
    "NUL": GOOD + b"\0",
}


ONLY_A_TYPE_FINDS = (
    "null",
    "list",
    "a boolean for a number",
    "text for a number",
    "below its range",
    "a field is missing",
)


def test_a_good_file_becomes_a_value_of_the_type(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(GOOD)
    assert files.read_as(path, Point) == Point(n=1, x=1.0, by_name={"a": None})
    assert files.read_json(path) == json.loads(GOOD)
    with pytest.raises(FileNotFoundError):
        files.read_as(tmp_path / "b.json", Point)


@pytest.mark.parametrize("kind", [Point, Any])
@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_line_that_names_it(tmp_path: Path, case: str, kind: Any) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(BAD[case])
    try:
        value = files.read_as(path, kind)
    except Damaged as error:
        assert str(error).startswith(str(path)) and len(str(error).splitlines()) == 1
        assert error.path == str(path) and error.what in str(error)
    else:
        assert kind is Any and json.dumps(value)
        assert case in ONLY_A_TYPE_FINDS


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="it is a folder"):
        files.read_as(tmp_path, Point)


class Full:
    """A stream whose disk is full after some bytes."""

    def __init__(self, limit: int, number: int) -> None:
        self.left, self.number = limit, number

    def write(self, content: Any) -> int:
        self.left -= memoryview(content).nbytes
        if self.left < 0:
            raise OSError(self.number, "in other words")
        return memoryview(content).nbytes

    def flush(self) -> None: ...
    def tell(self) -> int:
        return 0

    def seek(self, *_: int) -> int:
        return 0

    def read(self, _: int = -1) -> bytes:
        return b""


WRITERS: dict[str, Callable[[Any], object]] = {
    "torch": lambda stream: torch.save({"a": torch.zeros(100_000)}, stream),
    "numpy": lambda stream: np.savez_compressed(stream, a=np.random.default_rng(0).random(50_000)),
    "bytes": lambda stream: stream.write(b"0" * 400_000),
}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("limit", [0, 1, 200, 5_000, 300_000])
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_found_whatever_the_library_calls_it(
    tmp_path: Path, name: str, limit: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.Recorder
    monkeypatch.setattr(files, "Recorder", lambda stream: real(Both(stream, Full(limit, number))))
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(UserError, match="Cannot write .*a.bin: in other words"):
        files.write_atomically(path, WRITERS[name])
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"] and path.read_bytes() == b"old"


class Both:
    """A real stream that asks a failing one first."""

    def __init__(self, stream: Any, first: Full) -> None:
        self.stream, self.first = stream, first

    def write(self, content: Any) -> int:
        self.first.write(content)
        return int(self.stream.write(content))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/0"), errno.EIO),
        (sqlite3.OperationalError("database or disk is full"), errno.ENOSPC),
        (sqlite3.OperationalError("disk I/O error"), errno.EIO),
        (RuntimeError("[Errno 28] No space left on device: 'x'"), errno.ENOSPC),
    ],
)
def test_errors_of_a_disk_are_told_by_cause_or_words(error: Exception, number: int) -> None:
    outer = RuntimeError("unexpected pos 64 vs 0")
    outer.__cause__ = error
    for seen in (error, outer):
        found = files.disk_error(seen)
        assert found is not None and found.errno == number


def test_other_errors_are_none_of_a_disk() -> None:
    circle = RuntimeError("a")
    circle.__context__ = ValueError("b")
    circle.__context__.__context__ = circle
    for error in (circle, FileNotFoundError(2, "none"), RuntimeError("CUDA error")):
        assert files.disk_error(error) is None


def test_files_are_set_aside_under_free_names(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("1", "2", "3"):
        path.write_text(text)
        files.set_aside(path)
    contents = {p.name: p.read_text() for p in tmp_path.iterdir()}
    assert contents == {"a.json.damaged": "1", "a.json.damaged.2": "2", "a.json.damaged.3": "3"}


def test_control_characters_are_shown_escaped() -> None:
    assert shown("\x1b[31mred\n\u202e\x9b\udc80\u2028 é 漢 ok") == (
        "\\x1b[31mred\\n\\u202e\\x9b\\udc80\\u2028 é 漢 ok"
    )
