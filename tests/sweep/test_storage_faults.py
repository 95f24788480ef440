"""Faults of Optuna's storage: damage of every kind, locks, lost connections, odd folders."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from harness import sqlite
from harness.cli.main import main
from harness.errors import Damaged, UserError
from harness.interrupt import Stopped
from harness.report import tracking
from harness.sweep import report, search, storage, study
from harness.sweep.trial import Pruned, Result
from tests import prepared
from tests.conftest import Harness
from tests.sweep.sweeps import QUICK, SWEEP

CORRUPTIONS = int(os.environ.get("HARNESS_CORRUPTIONS", "20"))
"""Random corruptions of a database that are tried; more for a thorough search."""

SMALL = SWEEP.replace('throw_ratio")),', 'throw_ratio")),\n            Choice(name="rate", '
                      'fields=("finetune.recipe.base_lr",), choices=(1e-3, 2e-3)),')  # fmt: skip


def _instead(*_: Any) -> Result:
    return Result(accuracy=0.5, macs=1e9)


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a study of six trials in every state; nothing is trained."""
    folder = tmp_path_factory.mktemp("made")
    prepared.ensure(folder / "data")
    (folder / "small.py").write_text(SMALL)
    count = iter(range(100))

    def attempt(_: Any, __: Any, attempt: Any, ___: Any) -> Result | None:
        number = next(count)
        attempt.note("key", f"{number:064x}")
        attempt.see(0, number / 10)
        if number == 4:
            return None
        if number == 5:
            return Result(accuracy=None, macs=None, error="an error\x1b[31m of two\nlines")
        if number == 7:
            raise Stopped(signal.SIGINT)
        return Result(accuracy=number / 10, macs=1e9 + number)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(search, "_attempt", attempt)
        patch.setattr(report, "_figures", lambda _: [])
        assert main(["sweep", "small.py", *QUICK, "--trials", "9", "--track", "off"]) == 130
    yield folder


@pytest.fixture
def folder(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder in place of the working directory; trials end at once."""
    own = Path.cwd()
    shutil.copytree(made, own, dirs_exist_ok=True, symlinks=True)
    monkeypatch.setattr(search, "_attempt", _instead)
    monkeypatch.setattr(report, "_figures", lambda _: [])
    return own


SWEEP_COMMAND = ("sweep", "small.py", *QUICK, "--trials", "9", "--track", "off", "--format", "json")
COMMANDS = (
    ("status",),
    ("report", "small.py", *QUICK, "--format", "json,csv"),
    SWEEP_COMMAND,
)


def test_the_study_is_sound_and_goes_on(folder: Path, harness: Harness) -> None:
    database = sqlite3.connect("runs/optuna.db")
    states = [s for (s,) in database.execute("SELECT state FROM trials ORDER BY number")]
    assert states == ["COMPLETE"] * 4 + ["PRUNED", "FAIL", "COMPLETE", "RUNNING"]
    assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    for command in COMMANDS:
        code, _, err = harness(*command)
        assert code == 0, err
    assert not list(folder.glob("runs/.*.partial"))


def _flip(path: Path, chance: random.Random) -> str:
    content = bytearray(path.read_bytes())
    places = [chance.randrange(len(content) * 8) for _ in range(chance.choice([1, 1, 8, 64, 1000]))]
    for place in places:
        content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)
    return f"{len(places)} bits from {min(places)}"


def _truncate(path: Path, chance: random.Random) -> str:
    size = chance.choice([0, 1, 15, 100, 4096, chance.randrange(path.stat().st_size)])
    os.truncate(path, size)
    return f"to {size} bytes"


def _overwrite(path: Path, chance: random.Random) -> str:
    content = bytearray(path.read_bytes())
    length = chance.choice([16, 512, 4096])
    begin = chance.randrange(0, len(content) - length)
    filling = chance.choice([bytes(length), b"\xff" * length, chance.randbytes(length)])
    content[begin : begin + length] = filling
    path.write_bytes(content)
    return f"{length} bytes from {begin} with {filling[:4]!r}"


def _foreign(path: Path, chance: random.Random) -> str:
    kind = chance.choice(["text", "png", "random", "mlflow", "empty", "folder"])
    path.unlink()
    if kind == "mlflow":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE experiments (name TEXT)")
    elif kind == "folder":
        path.mkdir()
    else:
        content = {"text": b"hello\n", "png": b"\x89PNG\r\n\x1a\n" * 99, "empty": b""}
        path.write_bytes(content.get(kind) or (b"" if kind == "empty" else chance.randbytes(5000)))
    return kind


JSONS = (
    *("", "{", "null", "[]", "{}", "1", '"x"', "NaN", "1e999", "9" * 400, "[" * 5000, "true"),
    *('{"space": null}', '{"run": {"stages": [1]}}', "-1", '"\\ud800"', '"\\u001b[31m"', "\x00"),
)
VALUES: tuple[Any, ...] = (
    *(None, "text", b"\xff\x00", -1, 0, 10**17, 1e308, -1e308, float("inf"), "RUNNING", "COMPLETE"),
    *("9" * 400, "nan", 2**62, 0.5),
)


def _rewrite(path: Path, chance: random.Random) -> str:
    """Write what SQLite accepts and the schema does not foresee, as SQLite checks no types."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        tables = sorted(storage.TABLES)
        table = chance.choice(tables)
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        column = chance.choice(columns)
        rows = [row for (row,) in connection.execute(f"SELECT rowid FROM {table}")] or [1]
        row = chance.choice(rows)
        kind = chance.choice(["json", "json", "value", "value", "value", "delete", "clear", "drop"])
        value: Any = None
        try:
            if kind == "json":
                table, column = chance.choice(
                    [
                        *[("trial_user_attributes", "value_json")] * 2,
                        *[("study_user_attributes", "value_json")] * 2,
                        ("trial_system_attributes", "value_json"),
                        ("trial_params", "distribution_json"),
                    ]
                )
                value = chance.choice(JSONS)
                connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
            elif kind == "value":
                value = chance.choice(VALUES)
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = {row}", (value,))
            elif kind == "delete":
                connection.execute(f"DELETE FROM {table} WHERE rowid = {row}")
            elif kind == "clear":
                connection.execute(f"DELETE FROM {table}")
            else:
                connection.execute(f"DROP TABLE {table}")
        except sqlite3.IntegrityError:
            return "nothing"
    return f"{kind} {table}.{column} row {row}: {value!r:.60}"


KINDS: tuple[Callable[[Path, random.Random], str], ...] = (
    _flip, _truncate, _overwrite, _foreign, _rewrite, _rewrite, _rewrite,
)  # fmt: skip


@pytest.mark.parametrize("begin", range(0, CORRUPTIONS, 10))
def test_damage_of_any_kind_is_one_line_that_names_the_file(
    folder: Path, harness: Harness, begin: int
) -> None:
    sound = Path("runs/optuna.db").read_bytes()
    for number in range(begin, begin + 10):
        chance = random.Random(number)
        path = Path("runs/optuna.db")
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(sound)
        how = KINDS[number % len(KINDS)](path, chance)
        before = path.read_bytes() if path.is_file() else b""
        for command in COMMANDS:
            try:
                code, _, err = harness(*command)
            except Exception as error:  # noqa: BLE001  # a traceback, for the user
                pytest.fail(f"{number}: {how}: {command[0]}: {error!r}")
            where = f"{number}: {how}: {command[0]}: {err}"
            assert code in (0, 1, 2), where
            assert "Traceback" not in err, where
            if code == 2:
                assert len(err.splitlines()) == 1, where
                assert err.isprintable() or err[:-1].isprintable(), where
                for word in ("remove", "delete", "--fresh"):
                    assert word not in err, where
                if "No study" not in err and "of another sweep" not in err:
                    assert "runs/optuna.db" in err, where
            if command[0] == "report" and code == 2 and path.is_file():
                assert path.read_bytes() == before, where


def _change(sql: str, *values: Any) -> None:
    with sqlite3.connect("runs/optuna.db") as connection:
        connection.execute(sql, values)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "UPDATE trial_values SET value = 7 WHERE trial_id = 2",
            "trial 1: its accuracy is 7",
        ),
        (
            "UPDATE trial_user_attributes SET value_json = '\"7\"' WHERE key = 'key'",
            "trial 0: attributes.key: expected `str` matching regex",
        ),
        (
            "UPDATE trial_user_attributes SET value_json = '{\"a\": 1}' WHERE key = 'macs'",
            "trial 0: attributes.macs: expected `float | null`, got `object`",
        ),
        (
            "UPDATE trial_intermediate_values SET intermediate_value = 1.5 WHERE trial_id = 3",
            "trial 2: intermediate_values",
        ),
        (
            "UPDATE trial_intermediate_values SET intermediate_value_type = 'NAN'",
            "seems to be damaged",
        ),
        (
            "UPDATE trial_params SET param_value = 70 WHERE param_name = 'interval'",
            "trial 0: interval is 70, outside 10 to 20",
        ),
        ("UPDATE trials SET number = 5 WHERE number = 2", "trial 2: its number is 3"),
        ("UPDATE trials SET state = 'ASLEEP' WHERE number = 2", "cannot be used"),
        ("DELETE FROM trial_values WHERE trial_id = 1", "trial 0: not 1 values of objectives"),
        ("DELETE FROM trial_params WHERE trial_id = 1", "trial 0: it has no"),
        ("DELETE FROM study_user_attributes", "the study has trials but no definition"),
        ("UPDATE study_user_attributes SET value_json = '7'", "the study's definition is no text"),
        ("UPDATE study_user_attributes SET value_json = '\"{}\"'", "definition does not fit"),
        ("UPDATE study_user_attributes SET value_json = '\"{\"'", "definition cannot be read"),
        ("DROP TABLE trial_values", "lacks the tables trial_values"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_wrong_contents_are_named(harness: Harness, sql: str, said: str) -> None:
    _change(sql)
    for command in COMMANDS[1:]:
        code, _, err = harness(*command)
        assert code == 2
        assert said in err, err
        assert "runs/optuna.db (the Optuna storage)" in err
        assert "Stages that are trained are kept in the records" in err
        assert len(err.splitlines()) == 1


@pytest.mark.usefixtures("folder")
def test_what_was_advised_works(harness: Harness) -> None:
    Path("runs/optuna.db").write_bytes(b"")
    code, _, err = harness(*SWEEP_COMMAND)
    assert (code, "the file is empty" in err) == (2, True), err
    assert harness(*SWEEP_COMMAND, "--storage", "sqlite:///new.db")[0] == 0
    assert Path("runs/optuna.db").read_bytes() == b""


def test_a_strangers_database_is_not_written(folder: Path, harness: Harness) -> None:
    with sqlite3.connect("places.db") as connection:
        connection.execute("CREATE TABLE places (url TEXT)")
    before = Path("places.db").read_bytes()
    code, _, err = harness(*SWEEP_COMMAND, "--storage", "sqlite:///places.db")
    assert code == 2
    assert "a database of something else, with the tables places" in err
    assert Path("places.db").read_bytes() == before


@pytest.mark.parametrize(
    "name", ["a?b", "a%41b", "a#b", "it's", "a b", "é😀", "{x}", "a\\b", 'a"b']
)
def test_the_database_lies_in_the_store_whatever_its_name(folder: Path, name: str) -> None:
    shutil.rmtree(folder / "runs")
    before = set(folder.iterdir())
    url = storage.url_of(None, Path(name))
    opened = storage.open_storage(url)
    optuna.create_study(storage=opened, study_name="s").set_user_attr("a", 1)
    assert set(folder.iterdir()) - before == {folder / name}
    assert [path.name for path in (folder / name).iterdir()] == ["optuna.db"]
    assert storage.name_of(url) == str(folder / name / "optuna.db")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting that is short enough for a test."""
    monkeypatch.setattr(storage, "BUSY", 0.1)
    monkeypatch.setattr(storage, "PATIENCE", 1.0)


@pytest.mark.usefixtures("folder", "impatient")
def test_a_locked_database_is_waited_for_and_then_said(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect("runs/optuna.db", check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    code, _, err = harness(*SWEEP_COMMAND)
    assert code == 2
    said, last = err.splitlines()
    assert "database is locked); trying again for up to 1 s" in said
    assert "is locked by another process, for more than 1 s" in last
    assert "nothing that was trained is lost" in last
    say = storage._say

    def release(error: Exception) -> None:
        say(error)
        other.rollback()

    monkeypatch.setattr(storage, "_say", release)
    monkeypatch.setattr(storage, "PATIENCE", 60.0)
    code, _, err = harness(*SWEEP_COMMAND)
    assert code == 0, err
    assert err.count("trying again") == 1
    other.close()


@pytest.mark.usefixtures("folder", "impatient")
def test_a_lock_during_trials_only_delays_them(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever operation meets it: reports, attributes, results, new trials."""
    others: list[threading.Timer] = []

    def attempt(_: Any, __: Any, attempt: Any, ___: Any) -> Result | None:
        other = sqlite3.connect("runs/optuna.db", check_same_thread=False)
        other.execute("BEGIN IMMEDIATE" if len(others) % 2 else "BEGIN EXCLUSIVE")
        others.append(threading.Timer(0.3, other.rollback))
        others[-1].start()
        if len(others) % 2:
            attempt.note("key", "0" * 64)
            attempt.see(0, 0.5)
        return Result(accuracy=0.5, macs=1e9)

    monkeypatch.setattr(search, "_attempt", attempt)
    code, _, err = harness(*SWEEP_COMMAND, "--study", "another", "--trials", "4")
    assert code == 0, err
    for other in others:
        other.join()
    with sqlite3.connect("runs/optuna.db") as connection:
        query = (
            "SELECT state FROM trials JOIN studies USING (study_id) WHERE study_name = 'another'"
        )
        assert connection.execute(query).fetchall() == [("COMPLETE",)] * 4


def _restarting(monkeypatch: pytest.MonkeyPatch, failures: int, *, after: bool) -> list[str]:
    """Let every operation of a storage fail as it does while a server restarts.

    Args:
        monkeypatch: undoes it.
        failures: how often each operation fails.
        after: fail after the operation was carried out, so that only its answer is lost.
    """
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import OperationalError

    failed: list[str] = []
    lost = OperationalError("SELECT 1", {}, Exception("server closed the connection unexpectedly"))

    def failing(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if failed.count(name) >= failures:
                return operation(*args, **kwargs)
            failed.append(name)
            if after:
                operation(*args, **kwargs)
            raise lost

        call.__name__ = name
        return call

    names = ["set_trial_state_values", "_create_new_trial", "_get_trials", "set_trial_user_attr"]
    names += ["set_trial_intermediate_value", "_set_trial_param"]
    for name in names:
        monkeypatch.setattr(RDBStorage, name, failing(name, getattr(RDBStorage, name)))
    storage._patient_class.cache_clear()
    return failed


@pytest.fixture
def other_class() -> Iterator[None]:
    """Forget the storage class that a test has made from a changed one."""
    yield
    storage._patient_class.cache_clear()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.usefixtures("folder", "other_class")
def test_operations_are_tried_again_after_a_lost_connection(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    failed = _restarting(monkeypatch, 2, after=after)
    monkeypatch.setattr(search, "_attempt", lambda _, __, attempt, ___: _reported(attempt))
    code, _, err = harness(*SWEEP_COMMAND, "--study", "another", "--trials", "2")
    assert code == 0, err
    assert len(set(failed)) == 6
    assert "server closed the connection unexpectedly); trying again" in err
    with sqlite3.connect("runs/optuna.db") as connection:
        query = (
            "SELECT state FROM trials JOIN studies USING (study_id) WHERE study_name = 'another'"
        )
        states = [state for (state,) in connection.execute(query)]
    # Trials that were made although no answer came wait to be drawn next.
    assert states == ["COMPLETE"] * 2 + ["WAITING"] * int(after)


def _reported(attempt: Any) -> Result:
    attempt.note("key", "0" * 64)
    attempt.see(0, 0.5)
    return Result(accuracy=0.5, macs=1e9)


@pytest.mark.usefixtures("folder", "impatient", "other_class")
def test_a_connection_that_stays_lost_ends_the_command_in_one_line(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    open_storage = storage.open_storage

    def keep(url: str, *, patient: bool) -> Any:
        opened.append(open_storage(url, patient=patient))
        return opened[-1]

    def trained(*_: Any) -> Result:
        _restarting(monkeypatch, 10**6, after=False)
        operation = storage._patient_class().set_trial_state_values
        monkeypatch.setattr(type(opened[0]), "set_trial_state_values", operation)
        return Result(accuracy=0.5, macs=1e9)

    monkeypatch.setattr(study, "open_storage", keep)
    monkeypatch.setattr(search, "_attempt", trained)
    code, _, err = harness(*SWEEP_COMMAND, "--study", "another", "--trials", "3")
    assert code == 2
    last = err.splitlines()[-1]
    assert "cannot be reached, for more than 1 s: server closed the connection unexpectedly" in last
    assert "Traceback" not in err


KILLED = """
import sys
from harness.sweep import storage
storage.open_storage(sys.argv[1])
"""


def test_a_kill_while_the_database_is_made_leaves_none(folder: Path) -> None:
    shutil.rmtree(folder / "runs")
    (folder / "runs").mkdir()
    path = folder / "runs/optuna.db"
    for size in (1, 60_000):
        process = subprocess.Popen([sys.executable, "-c", KILLED, sqlite.url(path)])
        limit = time.monotonic() + 60
        while not any(p.stat().st_size >= size for p in path.parent.glob(".optuna.db.*.partial")):
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.0002)
        process.kill()
        process.wait()
        assert not path.exists() or sqlite.damage(path, 1) is None
    storage.open_storage(sqlite.url(path))
    assert sqlite.damage(path, 1) is None


def test_errors_of_a_disk_are_no_damage(
    folder: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, number in (("database or disk is full", 13), ("disk I/O error", 10)):
        full = sqlite3.OperationalError(words)
        full.sqlite_errorcode = number

        def fail(*_: Any, full: Exception = full) -> None:
            raise full

        with monkeypatch.context() as patch:
            patch.setattr(sqlite, "damage", fail)
            code, _, err = harness(*SWEEP_COMMAND)
        assert code == 2
        assert f"cannot be written: {words}. Free space" in err
        assert "damaged" not in err
    with pytest.raises(UserError) as error, storage.reachable("sqlite:///runs/optuna.db"):
        raise TypeError("an int")
    assert isinstance(error.value, Damaged)
    with pytest.raises(Pruned):
        raise Pruned


@pytest.mark.usefixtures("folder")
def test_an_outage_of_mlflow_ends_no_sweep_and_is_made_good(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setattr(search, "_attempt", lambda _, __, attempt, ___: _reported(attempt))
    tracked = [word for word in SWEEP_COMMAND if word not in ("--track", "off")]
    code, _, err = harness(*tracked, "--study", "another", "--trials", "4")
    assert code == 0, err
    warnings = [line for line in err.splitlines() if "not mirrored" in line]
    assert 1 <= len(warnings) <= 5
    assert "MLflow at http://127.0.0.1:1 cannot be used: Connection refused" in warnings[0]
    select = ("track", "small.py", *QUICK, "--study", "another")
    code, _, err = harness(*select)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "Connection refused" in err
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    code, out, err = harness(*select)
    assert (code, err) == (0, "")
    assert "another: 4 runs mirrored to MLflow." in out
    assert "another: MLflow has all 4 finished runs, nothing to mirror." in harness(*select)[1]


@pytest.mark.usefixtures("folder")
def test_a_server_that_makes_each_call_wait_does_not_make_each_trial_wait(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def slow(*_: Any, **__: Any) -> None:
        calls.append(time.monotonic())
        time.sleep(0.5)
        raise UserError("MLflow gives no answer.")

    monkeypatch.setattr(tracking, "mirror", slow)
    tracked = [word for word in SWEEP_COMMAND if word not in ("--track", "off")]
    code, _, err = harness(*tracked, "--study", "another", "--trials", "6")
    assert code == 0, err
    assert len(calls) == 2  # after the first trial, and at the end
    assert err.count("not mirrored: MLflow gives no answer.") == 2
