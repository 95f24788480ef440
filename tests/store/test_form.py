"""A store of another form is refused in one line, and not one byte of it changes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.errors import UserError
from harness.store import form
from harness.store.claim import claim
from harness.store.record import Records
from tests.store import stores

COMMANDS = (
    ("run", "table1", "--profile", "smoke"),
    ("run", "table1", "--profile", "smoke", "--fresh"),
    ("sweep", "sweep_masking", "--profile", "smoke"),
    ("report", "table1", "--profile", "smoke"),
    ("report", "sweep_masking", "--profile", "smoke"),
    ("track", "table1", "--profile", "smoke"),
    ("status",),
    ("clean", "--keep", "last"),
    ("doctor",),
    ("plan", "table1", "--profile", "smoke"),
)
KEY = "ab" * 32


def _of_0_1(name: str) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_text("{}")

    return plant


def _marked(text: str) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        stores.plant(folder)
        (folder / form.MARKER).write_text(text)

    return plant


def _being_migrated(folder: Path) -> None:
    stores.plant(folder)
    (folder / form.JOURNAL).write_text("{}")


REFUSED = {
    "0.1 record": (_of_0_1(f"records/{KEY}.json"), "version 0.1", "--runs runs-0.2"),
    "0.1 checkpoint": (_of_0_1(f"checkpoints/{KEY}.pt"), "version 0.1", "nothing in this one"),
    "0.1 weights": (_of_0_1(f"weights/{KEY}.pt"), "version 0.1", "decoded smaller"),
    "0.1 predictions": (_of_0_1(f"predictions/{KEY}.npz"), "version 0.1", "named modules"),
    "0.1 ledger": (_of_0_1("mlflow-mirrored.json"), "version 0.1", "mlflow-mirrored.json"),
    "0.1 studies": (_of_0_1("optuna.db"), "version 0.1", "optuna.db"),
    "newer": (_marked('{"form": 9, "history": []}'), "has form 9", "Update the harness"),
    "truncated": (_marked('{"form":'), "cannot be read (truncated?)", '{"form": 2}'),
    "without a form": (_marked("{}"), "cannot be read", ".harness-store"),
    "of form 1": (_marked('{"form": 1}'), "cannot be read", ".harness-store"),
    "being migrated": (_being_migrated, "is being migrated", "`harness migrate --runs runs`"),
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", [*REFUSED, "older"])
def test_a_store_of_another_form_is_refused_and_does_not_change(
    name: str,
    command: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if name == "older":
        stores.plant(Path("runs"))
        stores.use(monkeypatch, stores.RENAMING)
        parts: tuple[str, ...] = ("has form 2", "reads form 3", "`harness migrate --runs runs`")
    else:
        plant, *parts_ = REFUSED[name]
        plant(Path("runs"))
        parts = tuple(parts_)
    before = stores.contents(tmp_path)
    assert main(list(command)) == 2
    err = capsys.readouterr().err
    assert len(err.strip().splitlines()) == 1
    for part in parts:
        assert part in err
    assert stores.contents(tmp_path) == before


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_whoever_opens_it(name: str, tmp_path: Path) -> None:
    REFUSED[name][0](tmp_path / "runs")
    before = stores.contents(tmp_path)
    with pytest.raises(UserError, match=re.escape(REFUSED[name][1])):
        Records(tmp_path / "runs")
    with pytest.raises(UserError), claim(tmp_path / "runs", KEY):
        pass
    assert stores.contents(tmp_path) == before


def test_files_of_others_are_no_store(tmp_path: Path) -> None:
    for name in ("records/notes.json", "weights/resnet.pt", "mlflow.db", "readme", f"{KEY}.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    before = stores.contents(tmp_path)
    assert form.check(tmp_path) is None
    form.mark(tmp_path)
    marker = form.check(tmp_path)
    assert marker is not None and marker.form == 2
    assert stores.contents(tmp_path).keys() - before.keys() == {form.MARKER}


def test_a_store_is_marked_before_anything_is_written_into_it(tmp_path: Path) -> None:
    assert form.check(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()
    with claim(tmp_path / "claims", KEY):
        assert json.loads((tmp_path / "claims" / form.MARKER).read_text())["form"] == 2
    stores.write(Records(tmp_path / "records"), stores.definition())
    assert json.loads((tmp_path / "records" / form.MARKER).read_text())["form"] == 2


def test_a_claim_does_not_outlive_the_begin_of_a_migration(tmp_path: Path) -> None:
    form.mark(tmp_path)
    real = form.check
    calls = []

    def begins_meanwhile(folder: Path) -> object:
        calls.append(folder)
        if len(calls) == 2:  # after the claim was written
            (folder / form.JOURNAL).write_text("{}")
        return real(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(form, "check", begins_meanwhile)
        with pytest.raises(UserError, match="is being migrated"), claim(tmp_path, KEY):
            pytest.fail("claimed")
    assert list((tmp_path / "claims").iterdir()) == []


def test_doctor_tells_the_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert "runs: no run store yet" in capsys.readouterr().out
    assert not Path("runs").exists()
    form.mark(Path("runs"))
    assert main(["doctor"]) == 0
    assert "runs: form 2" in capsys.readouterr().out
