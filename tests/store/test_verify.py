"""Verifying a run store: whatever stands in the place of a file is named, and nothing hangs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import files
from harness.errors import Damaged, UserError
from harness.store import claim as claims
from harness.store import predictions, verify
from harness.store.record import Records
from tests import claims as planted
from tests.store import stores

INSTEAD: dict[str, Callable[[Path], object]] = {
    "folder": lambda path: path.mkdir(),
    "pipe": lambda path: os.mkfifo(path),
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return stores.plant(tmp_path / "runs")


def _files(runs: Path) -> list[Path]:
    kinds = ("records", "checkpoints", "weights")
    return [sorted(path for path in (runs / kind).iterdir())[0] for kind in kinds]


@pytest.mark.parametrize("kind", INSTEAD)
def test_what_is_no_regular_file_is_named_and_does_not_hang(runs: Path, kind: str) -> None:
    before = {finding.path for finding in verify.check(runs, verify.Count())}
    for path in _files(runs):
        whole = path.read_bytes()
        path.unlink()
        INSTEAD[kind](path)
        found = {finding.path for finding in verify.check(runs, verify.Count())}
        assert path in found - before
        Records(runs).read(path.stem)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.write_bytes(whole)


@pytest.mark.parametrize("kind", INSTEAD)
def test_claims_that_are_no_files_do_not_hang(tmp_path: Path, kind: str) -> None:
    for end in (".json", ".lock"):
        path = planted.dead(tmp_path, "a").with_suffix(end)
        path.unlink(missing_ok=True)
        INSTEAD[kind](path)
        claims.owners(tmp_path)
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: object, *arguments: int, **options: object) -> int:
        if str(path).endswith((".npz", ".json")) and "runs" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    (stored,) = (runs / "predictions").iterdir()
    with pytest.raises(UserError, match="Permission denied") as refused:
        predictions.read(stored, "0" * 64)
    assert not isinstance(refused.value, Damaged)
    with pytest.raises(UserError, match="Permission denied") as refused:
        files.read_json(next((runs / "records").iterdir()))
    assert not isinstance(refused.value, Damaged)


def test_a_lost_marker_is_told_from_an_old_store(runs: Path) -> None:
    (runs / ".harness-store").unlink()
    with pytest.raises(UserError, match="run store that has lost its marker .harness-store"):
        Records(runs)


def test_weights_made_anew_and_removed_later_are_not_missed(runs: Path) -> None:
    (first, *_) = sorted((runs / "weights").iterdir())
    records = Records(runs)
    record = records.read(first.stem)
    assert record is not None
    files.set_aside(first)
    assert records.was_set_aside(first.stem)
    records.write(record)  # made anew, and removed by `harness clean` since
    assert not records.was_set_aside(first.stem)
