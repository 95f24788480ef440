"""Migrating a run store: everything has its new key, whenever and however often it is killed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness import files
from harness.canonical import digest
from harness.cli.main import main
from harness.store import form
from harness.store import weights as weights_of
from harness.store.checkpoint import Checkpoints
from harness.store.record import Records
from tests import claims
from tests.store import stores

MIGRATE = ["migrate", "--runs", "runs"]


@pytest.fixture
def old(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a store of form 2 where the present form is 3; its folder's is the working one."""
    folder = stores.plant(Path("runs"))
    stores.use(monkeypatch, stores.RENAMING)
    return folder


def test_everything_has_its_new_key(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    former = {p.stem for name in (*form.KEYED, "latency") for p in (old / name).glob("*")}
    predictions = next((old / "predictions").iterdir()).read_bytes()
    assert main(MIGRATE) == 0
    out = capsys.readouterr().out
    assert (
        "3 records, 1 checkpoints, 2 weights, 1 predictions, 1 latency brought from form 2" in out
    )
    assert "left alone" not in out

    records = Records(old)
    for number in (1, 2):
        record = records.read(digest(stores.after(stages=number)))
        assert record is not None and record.status == "done"
        assert record.definition == stores.after(stages=number)
        weights = weights_of.load(old, record.key, record.result.weights)
        assert torch.equal(weights["w"], torch.full((3,), float(number)))
    assert record.result.predictions == "p" * 64
    assert records.predictions_path(record.key).read_bytes() == predictions
    np.testing.assert_array_equal(
        np.load(records.predictions_path(record.key))["probability"], np.eye(3)
    )
    failed = records.read(digest(stores.after(0.9, stages=1)))
    assert failed is not None and failed.error == "DivergedError: no"
    state = Checkpoints(old, digest(stores.after(0.7, stages=1))).load()
    assert state is not None and torch.equal(state["task"]["w"], torch.full((3,), 7.0))
    assert state["definition"] == stores.after(0.7, stages=1)
    (timing,) = (old / "latency").iterdir()
    defined = json.loads(timing.read_text())["definition"]
    assert defined["stages"][0]["method"] == stores.after()["stages"][0]["method"]
    assert timing.stem == digest(defined)

    keys = form.former_keys(old)
    assert keys.keys() == former
    assert keys[digest(stores.definition())] == digest(stores.after())
    assert not former & {
        p.stem for name in (*form.KEYED, "latency") for p in (old / name).glob("*")
    }
    marker = form.check(old)
    assert marker is not None and [entry.form for entry in marker.history] == [2, 3]
    assert not (old / form.JOURNAL).exists() and not (old / ".migration").exists()

    before = stores.contents(old)
    assert main(MIGRATE) == 0
    assert "has form 3; there is nothing to do" in capsys.readouterr().out
    assert stores.contents(old) == before


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stores.contents(old)
    assert main([*MIGRATE, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "3 records, 1 checkpoints, 2 weights, 1 predictions, 1 latency would be brought" in out
    assert stores.contents(old) == before


def test_keys_of_two_migrations_lead_to_the_last(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(MIGRATE) == 0
    second = stores.Migration(fields={"test.mine": {"mask_share": "share_of_masks"}})
    stores.use(monkeypatch, stores.RENAMING, second)
    assert main(["status", "--runs", "runs"]) == 2
    assert main(MIGRATE) == 0
    first, middle = digest(stores.definition()), digest(stores.after())
    keys = form.former_keys(old)
    assert keys[first] == keys[middle] != middle
    assert Records(old).read(keys[first]) is not None
    at_once = stores.plant_old(Path("other"), monkeypatch, stores.RENAMING, second)
    assert main(["migrate", "--runs", "other"]) == 0
    assert form.former_keys(at_once)[first] == keys[first]


def _wrong_key(folder: Path) -> str:
    path = folder / "records" / f"{'e' * 64}.json"
    source = folder / "records" / f"{digest(stores.definition())}.json"
    path.write_bytes(source.read_bytes())
    return f"records/{path.name}: its definition does not match its key"


def _truncated(folder: Path) -> str:
    path = folder / "records" / f"{'e' * 64}.json"
    path.write_text("{")
    return f"records/{path.name}: it is no record that this version reads"


def _orphan(folder: Path) -> str:
    Checkpoints(folder, "e" * 64).save(stores.state(1.0))
    return f"checkpoints/{'e' * 64}.pt: its definition is not known"


def _damaged_state(folder: Path) -> str:
    path = folder / "checkpoints" / f"{'e' * 64}.pt"
    path.write_bytes(b"no checkpoint")
    return f"checkpoints/{path.name}: its definition is not known"


def _other_weights(folder: Path) -> str:
    path = folder / "weights" / f"{digest(stores.definition())}.safetensors"
    path.write_bytes(path.read_bytes() + b"!")
    return f"weights/{path.name}: these are not the weights that the record names"


def _old_timing(folder: Path) -> str:
    path = folder / "latency" / f"{'e' * 64}.json"
    path.write_text("{}")
    return f"latency/{path.name}: its definition is not known"


def _taken(folder: Path) -> str:
    path = folder / "predictions" / f"{digest(stores.after())}.npz"
    path.write_bytes(b"mine")
    return f"records/{digest(stores.definition())}.json: another stage would get the same key"


def _no_words(folder: Path) -> str:
    defined = stores.definition(0.3)
    defined["stages"][0]["method"]["mask_share"] = 0.4
    path = stores.write(Records(folder), defined)
    return f"records/{path.name}: the next form cannot express its definition"


@pytest.mark.parametrize(
    "spoil",
    [
        _wrong_key,
        _truncated,
        _orphan,
        _damaged_state,
        _other_weights,
        _old_timing,
        _taken,
        _no_words,
    ],
)
def test_what_cannot_be_brought_over_is_left_alone_and_named(
    spoil: Callable[[Path], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = stores.plant(Path("runs"))
    line = spoil(folder)
    before = stores.contents(folder)
    stores.use(monkeypatch, stores.RENAMING)
    assert main(MIGRATE) == 0
    assert f"left alone  {line}\n" in capsys.readouterr().out
    name = line.partition(":")[0]
    assert stores.contents(folder)[name] == before[name]
    # The rest has moved.
    assert Records(folder).read(digest(stores.after(0.9, stages=1))) is not None


def test_a_store_that_is_in_use_is_refused(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (old / "claims").mkdir()
    owner = {"host": socket.gethostname(), "pid": os.getpid()}
    (old / "claims" / f"{'a' * 64}.json").write_text(json.dumps(owner))
    before = stores.contents(old)
    assert main(MIGRATE) == 2
    assert f"is in use by process {os.getpid()}" in capsys.readouterr().err
    assert stores.contents(old) == before
    (old / "claims/migrate.json").write_text(json.dumps(owner))
    assert main(MIGRATE) == 2
    assert "Another process is migrating runs" in capsys.readouterr().err


def test_a_process_that_begins_meanwhile_stops_the_migration(
    old: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stores.contents(old)
    real = files.write_json
    owner = {"host": socket.gethostname(), "pid": os.getpid()}
    path = old / "claims" / f"{'a' * 64}.json"

    def write(target: Path, value: Any) -> None:
        real(target, value)
        if target.name == form.JOURNAL:
            path.write_text(json.dumps(owner))

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", write)
        assert main(MIGRATE) == 2
    assert "is in use" in capsys.readouterr().err
    path.unlink()
    (old / "claims").rmdir()
    assert stores.contents(old) == before


def test_claims_of_the_dead_do_not_stop_it_and_go(old: Path) -> None:
    (old / "claims").mkdir()
    key = digest(stores.definition(0.7, stages=1))
    claims.dead(old, key)
    (old / "claims" / f"{key}.progress").write_text("{}")
    assert main(MIGRATE) == 0
    assert list((old / "claims").iterdir()) == []


@pytest.mark.parametrize(("folder", "part"), [("nowhere", "no run store in"), ("of-0.1", "0.1")])
def test_without_a_store_to_migrate(
    folder: str, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "of-0.1").mkdir()
    (tmp_path / "of-0.1/optuna.db").write_text("")
    before = stores.contents(tmp_path)
    for extra in ([], ["--dry-run"]):
        assert main(["migrate", "--runs", str(tmp_path / folder), *extra]) == 2
        err = capsys.readouterr().err
        assert part in err and len(err.splitlines()) == 1
    assert stores.contents(tmp_path) == before


def test_a_full_disk_leaves_the_store_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (old / "claims").mkdir()
    before = stores.contents(old)
    real, written = os.fsync, []
    limit = 0

    def fsync(handle: int) -> None:
        written.append(handle)
        if len(written) > limit:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    while True:
        written.clear()
        code = main(MIGRATE)
        err = capsys.readouterr().err
        if code == 0:
            break
        assert code == 2
        assert "No space left on device" in err and len(err.splitlines()) == 1
        assert stores.contents(old) == before
        limit += 1
    # Five files with keys inside, the map, the marker and the journal; each file and its folder.
    assert limit == 16
    assert Records(old).read(digest(stores.after())) is not None


def _killed_at(number: int) -> int:
    """Migrate in a process of its own that is killed before its ``number``-th change of files.

    Returns:
        The signal that ended it, 0 for none.
    """
    child = os.fork()
    if child == 0:
        count = 0

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal count
                count += 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return call

        for name in ("replace", "rename", "unlink", "link", "fsync", "rmdir", "mkdir"):
            setattr(os, name, counted(getattr(os, name)))
        os._exit(main(MIGRATE))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    assert os.WEXITSTATUS(status) == 0
    return 0


def _without_padding(folder: Path) -> dict[str, str]:
    return {n: d for n, d in stores.contents(folder).items() if not n.startswith("claims")}


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_finishes_it(
    old: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(old, "original")
    before = _without_padding(old)
    assert main(MIGRATE) == 0
    expected = _without_padding(old)
    stages = {"as it was": 0, "under way": 0, "done": 0}
    number = 1
    while True:
        shutil.rmtree(old)
        shutil.copytree("original", old)
        if _killed_at(number) == 0:
            break
        capfd.readouterr()
        now = _without_padding(old)
        code = main(["status", "--runs", "runs"])
        err = capfd.readouterr().err
        if (old / form.JOURNAL).exists():
            stages["under way"] += 1
            assert code == 2 and "`harness migrate --runs runs` finishes it" in err
        elif "has form 2" in err:
            stages["as it was"] += 1
            assert before.items() <= now.items()  # older versions can still use it
        else:
            stages["done"] += 1
            assert code == 0
        # Killed again while it finishes, and then let through.
        assert _killed_at(3 + number % 5) in (0, signal.SIGKILL)
        assert _killed_at(0) == 0
        assert _without_padding(old) == expected, number
        number += 1
    assert all(count > 0 for count in stages.values()), stages
    assert stages["under way"] > 15
