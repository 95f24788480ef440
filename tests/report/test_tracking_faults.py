"""Faults of MLflow: odd names, servers that do not answer, locked and damaged databases, losses."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness import sqlite
from harness.errors import UserError
from harness.report import (
    tracking,
    tracking_job,
    tracking_ledger,
    tracking_names,
    tracking_runs,
    tracking_server,
)
from harness.report.tracking_ledger import Mirror
from tests.report.mirrors import mirror
from tests.report.tracked import client_of, nested, runs

NAMES = (
    "it's",
    'a "quoted" one',
    "`tick`",
    "back\\slash",
    "100 %",
    "two\nlines",
    "bell\x07 and \x1b[31m",
    "nul\x00",
    "😀 émoji",
    "half \udc80 of a pair",
    "x" * 600,
    "",
    ".",
    "..",
    "/root",
    "a//b/",
    "_x27_",
    "tags.`a` = 'b' OR 1=1 --",
    "a;b?c#d&e=f:g,h",
    "\u202eright to left",
)


pytestmark = pytest.mark.slow


def _write(folder: Path, *runs: Mirror, table: str = "table1", **options: Any) -> Any:
    return tracking.mirror(table, "smoke", runs, [], folder=folder, **options)


def _client(folder: Path) -> tuple[Any, str]:
    client = client_of(folder)
    experiment = client.get_experiment_by_name(tracking_names.experiment("table1", "smoke"))
    assert experiment is not None
    return client, experiment.experiment_id


def _children(folder: Path) -> list[Any]:
    assert {run.info.status for run in runs(folder)} <= {"FINISHED", "FAILED"}
    return nested(folder)


@settings(deadline=None)  # the first one imports mlflow
@given(st.text())
@example("_x27_")
@example("_x_")
@example("2x_x_x//'")
def test_every_name_is_encoded_so_that_mlflow_accepts_it_and_it_can_be_read(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name

    encoded = tracking_names.encoded(name)
    assert tracking_names.decoded(encoded) == name
    key = tracking_names.key(name)
    assert len(key) <= 250
    _validate_metric_name(key)
    _validate_param_name(key)


@given(st.text(), st.text())
def test_no_two_names_are_encoded_alike(one: str, two: str) -> None:
    assert (one == two) == (tracking_names.encoded(one) == tracking_names.encoded(two))
    assert (one == two) == (
        tracking_names.key(one + "x" * 300) == tracking_names.key(two + "x" * 300)
    )


def test_ordinary_names_are_kept() -> None:
    for name in ("last/accuracy", "finetune.recipe.base_lr", "cost/thop_macs", "é", "a b-c"):
        assert tracking_names.key(name) == name


def test_runs_and_tables_of_any_name_are_mirrored_once(store: Path) -> None:
    for table in ("it's a `table` 😀", '100 % \\ "x"\n\udc80'):
        runs = [
            mirror(
                store,
                name,
                table=table,
                parameters={name: name, "plain": 1},
                metrics={name: 0.5},
                history=[{"epoch": 0.0, name: 0.25, "loss": 1.0}],
                tags={"profile": "smoke", name: name},
                digest=f"{table!a}{name!a}",
            )
            for name in NAMES
        ]
        for written in (len(NAMES), 0):
            mirrored = _write(store, *runs, table=table)
            assert (mirrored.written, mirrored.failures) == (written, {})
        assert tracking_ledger.pending(runs, store) == []
    children = _children(store)
    assert len(children) == 2 * len(NAMES)
    for child in children:
        (metric,) = (n for n in child.data.metrics if n != "loss")
        if len(metric) < 250:
            assert tracking_names.decoded(metric) in NAMES
        assert child.data.metrics["loss"] == 1.0


def test_artifacts_of_any_name_are_attached(store: Path) -> None:
    paths = []
    for number, name in enumerate(
        ("it's.md", "100%25.md", "a?b#c.md", "😀.md", "a b`.md", 'a"\\b')
    ):
        path = store / str(number) / name
        path.parent.mkdir()
        path.write_text(name)
        paths.append(path)
    mirrored = tracking.mirror(
        "table1", "smoke", [mirror(store, artifacts=tuple(paths))], paths, folder=store
    )
    assert mirrored.failures == {}
    client, _ = _client(store)
    (child,) = _children(store)
    names = {file.path for file in client.list_artifacts(child.info.run_id)}
    assert names == {path.name for path in paths}


def test_a_run_that_is_refused_does_not_stop_the_others(
    store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = [
        mirror(store, "first", key="aa" * 32),
        mirror(store, "no file", key="bb" * 32, artifacts=(store / "missing.json",)),
        mirror(store, "no number", key="cc" * 32, metrics={"a": "b\x1b[31m"}),
        mirror(store, "last", key="dd" * 32),
    ]
    mirrored = tracking.publish("table1", "smoke", runs, [], folder=store)
    assert mirrored is not None
    assert mirrored.written == 2
    assert mirrored.failures.keys() == {"no file", "no number"}
    err = capfd.readouterr().err
    assert len(err.splitlines()) == 1
    assert "2 not mirrored to MLflow: no file (No such file or directory), no number (" in err
    assert "\x1b" not in err
    assert {c.data.tags["harness.name"] for c in _children(store)} == {"first", "last"}
    assert tracking_ledger.pending(runs, store) == runs[1:3]
    healed = [replace(run, artifacts=(), metrics={"a": 1.0}) for run in runs]
    assert _write(store, *healed).written == 2


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://127.0.0.1:1", "http://127.0.0.1:1 cannot be used: Connection refused"),
        ("http://u:secret@127.0.0.1:1", "http://127.0.0.1 cannot be used: Connection refused"),
        ("http://no.such.host.invalid", "Name or service not known|No address|Temporary failure"),
        ("http://127.0.0.1:{silent}", "cannot be used: .*(no answer within 1 s|timed out)"),
        ("postgresql://u:secret@h/x", "postgresql://h cannot be used: the Python package 'psycopg"),
        ("foo://u:secret@h/x", "foo://h cannot be used"),
        ("http://[::1", "cannot be used: Invalid IPv6 URL"),
        ("http://", "cannot be used"),
        ("sqlite:////dev/null/x.db", "sqlite:////dev/null/x.db cannot be used"),
        ("postgresql://u:secret@h:port/x", "postgresql://h cannot be used"),
        ("::", "cannot be used"),
        ("\x00", "cannot be used"),
    ],
)
def test_a_server_that_cannot_be_used_is_one_line(
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    silent_port: int,
    uri: str,
    said: str,
) -> None:
    if uri == "\x00":  # no environment holds it, but a file of settings may
        monkeypatch.setattr(tracking_server, "uri_of", lambda _: uri)
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(silent=silent_port))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1" if "silent" in uri else "10")
    begin = time.monotonic()
    assert tracking.publish("t", "smoke", [mirror(store)], [], folder=store) is None
    assert time.monotonic() - begin < 10
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert re.search(said, err), err
    assert "secret" not in err
    assert "harness track" in err
    assert (store / "mlflow.db").exists()


def test_the_limit_is_ten_seconds_unless_the_user_sets_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    assert tracking_server.limit() == 10
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    assert tracking_server.limit() == 60
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "soon")
    assert tracking_server.limit() == 10


def test_a_server_that_fails_in_the_middle_ends_the_mirroring_at_once(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once per run: a sweep of a hundred trials would wait for a hundred time limits."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the experiment is found, nothing else works
            asked.append(self.path)
            found = "get-by-name" in self.path
            body = {"experiment": {"experiment_id": "1", "name": "x", "lifecycle_stage": "active"}}
            content = json.dumps(body).encode() if found else b"<html>\nproxy error"
            self.send_response(200 if found else 502)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    runs = [mirror(store, f"run {number}") for number in range(50)]
    with pytest.raises(UserError, match="cannot be used") as error:
        _write(store, *runs)
    server.shutdown()
    assert "\n" not in str(error.value)
    assert len(asked) < 5


@pytest.mark.parametrize(
    "name", ["a?b", "a%41b", "a#b", "it's", "a b", "é😀", "{x}", "a\\b", 'a"b']
)
def test_the_database_lies_in_the_store_whatever_its_name(
    tmp_path: Path, empty_database: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    run = mirror(folder)
    assert _write(folder, run).written == 1
    assert tracking_ledger.pending([run], folder) == []
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert {path.name for path in folder.iterdir()} == {
        *(".harness-store", "claims", "mlartifacts", "mlflow-mirrored.json", "mlflow.db"),
        "record.json",
    }
    assert len(_children(folder)) == 1


def test_a_new_database_is_made_in_a_store_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "100%25?"
    folder.mkdir()
    assert _write(folder, mirror(folder)).written == 1
    assert [path.name for path in tmp_path.iterdir()] == ["100%25?"]


@pytest.mark.parametrize("mode", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_locked_database_is_waited_for_and_never_condemned(
    store: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    _write(store, mirror(store))
    before = (store / "mlflow.db").read_bytes()
    monkeypatch.setattr(tracking_server, "SECONDS", 0.5)
    changed = mirror(store, digest="2")
    other = sqlite3.connect(store / "mlflow.db", check_same_thread=False)
    other.execute(f"BEGIN {mode}")
    begin = time.monotonic()
    with pytest.raises(UserError, match="is locked: another process") as error:
        _write(store, changed)
    assert time.monotonic() - begin < 5
    assert "remove" not in str(error.value)
    assert (store / "mlflow.db").read_bytes() == before
    assert not list(store.glob("*.damaged*"))
    monkeypatch.setattr(tracking_server, "SECONDS", 10)
    threading.Timer(0.3, other.rollback).start()
    assert _write(store, changed).written == 1
    other.close()


def _damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "text":
        content = bytearray(b"no database")
    elif how == "header":
        content[:16] = b"\xff" * 16
    elif how == "truncated":
        content = content[: len(content) // 2]
    elif how == "zeros":
        content[4096:] = bytes(len(content) - 4096)
    else:
        for begin in range(4096, len(content), 4096):
            content[begin : begin + 8] = b"\xff" * 8
    path.write_bytes(content)


def test_a_journal_is_set_aside_with_its_database(store: Path) -> None:
    """It would be played back into the new database, for which it was not written."""
    (store / "mlflow.db").write_bytes(b"no database")
    for ending in sqlite.COMPANIONS:
        (store / f"mlflow.db{ending}").write_text(ending)
    tracking_server.set_aside(store, sqlite3.DatabaseError("file is not a database"))
    for ending in ("", *sqlite.COMPANIONS):
        assert not (store / f"mlflow.db{ending}").exists()
        assert (store / f"mlflow.db.damaged{ending}").read_text() == (ending or "no database")


@pytest.mark.parametrize("how", ["text", "header", "truncated", "zeros", "pages"])
def test_a_damaged_database_is_set_aside_and_written_anew(
    store: Path, empty_database: Path, capfd: pytest.CaptureFixture[str], how: str
) -> None:
    run = mirror(store)
    _write(store, run)
    capfd.readouterr()
    for number in (1, 2):
        _damage(store / "mlflow.db", how)
        (store / "mlflow.db-journal").write_bytes(b"of the damaged one")
        damaged = (store / "mlflow.db").read_bytes()
        assert tracking_ledger.pending([run], store) == [run]
        with pytest.MonkeyPatch.context() as patch:  # saves a second
            patch.setattr(
                tracking_server, "_make_database", lambda path: shutil.copy(empty_database, path)
            )
            assert _write(store, run).written == 1
        kept = store / ("mlflow.db.damaged" if number == 1 else f"mlflow.db.damaged.{number}")
        assert kept.read_bytes() == damaged
        err = capfd.readouterr().err
        assert len(err.splitlines()) == 1, err
        assert f"is kept as {kept.name} and written anew from the records" in err
        assert not (store / "mlflow.db-journal").exists()
        assert len(_children(store)) == 1
        assert tracking_ledger.pending([run], store) == []


def test_sound_databases_are_never_set_aside(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another version, without a table, on a full disk, or belonging to somebody else."""
    _write(store, mirror(store))
    changed = mirror(store, digest="2")

    def refused(error: str) -> None:
        before = (store / "mlflow.db").read_bytes()
        with pytest.raises(UserError, match=error):
            _write(store, changed)
        assert (store / "mlflow.db").read_bytes() == before
        assert not list(store.glob("*.damaged*"))

    full = sqlite3.OperationalError("database or disk is full")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking_runs, "log", lambda *_: (_ for _ in ()).throw(full))
        with pytest.raises(UserError, match="cannot be used: database or disk is full"):
            _write(store, changed)
    assert not list(store.glob("*.damaged*"))
    with sqlite3.connect(store / "mlflow.db") as connection:
        connection.execute("ALTER TABLE runs RENAME TO runs_of_another_version")
    refused("cannot be used: no such table: runs")
    elsewhere = store / "elsewhere.db"
    elsewhere.write_text("no database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlite.url(elsewhere))
    refused("not a database")
    assert elsewhere.read_text() == "no database"


def test_what_the_server_lost_is_written_again(
    store: Path, empty_database: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = [mirror(store, f"run {number}", key=f"{number:064x}") for number in range(4)]
    _write(store, *runs)
    client, experiment = _client(store)

    def whole(written: int) -> None:
        assert len(tracking_ledger.pending(runs, store)) == written
        assert _write(store, *runs).written == written
        assert len(_children(store)) == 4
        assert tracking_ledger.pending(runs, store) == []

    children = _children(store)
    client.delete_run(children[0].info.run_id)
    whole(1)
    client.set_tag(children[1].info.run_id, "harness.digest", "another")
    whole(1)
    client.set_terminated(children[2].info.run_id, "RUNNING")
    whole(1)
    client.delete_run(children[3].data.tags["mlflow.parentRunId"])  # the table's own run
    assert len(tracking_ledger.pending(runs, store)) == 4
    _write(store, *runs)
    assert tracking_ledger.pending(runs, store) == []
    capfd.readouterr()
    client.delete_experiment(experiment)
    assert len(tracking_ledger.pending(runs, store)) == 4
    _write(store, *runs)
    assert tracking_ledger.pending(runs, store) == []
    (line,) = capfd.readouterr().err.splitlines()
    assert "experiment msmae-harness: table1 (smoke) had been deleted; it is restored" in line
    (store / "mlflow.db").unlink()
    shutil.copy(empty_database, store / "mlflow.db")  # replaced by another one
    whole(4)


def test_a_server_that_was_wiped_at_the_same_address_is_filled_again(
    store: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = store / "elsewhere.db"
    shutil.copy(empty_database, elsewhere)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere}")
    run, other = mirror(store), mirror(store, "other", key="cd" * 32)
    _write(store, run)
    elsewhere.unlink()
    shutil.copy(empty_database, elsewhere)
    assert tracking_ledger.pending([run], store) == []  # asked once a day
    assert tracking_ledger.pending([run, other], store) == [other]
    assert _write(store, run, other).written == 2  # whatever the ledger says
    now = time.time()
    for later in (tracking_ledger.RECHECK, -1e6):  # a day later, and after the clock was set back
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        assert tracking_ledger.pending([run], store) == [run]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["runs", "compared", "SERVER", "x"]), inner, max_size=3
            )
        ),
    )
)
@example({"SERVER": {"compared": {"a": None}, "runs": {}}})
@example({"SERVER": {"runs": None}})
def test_a_ledger_of_any_content_counts_as_empty(content: Any) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = mirror(folder)
        text = json.dumps(content).replace("SERVER", tracking_ledger._server(folder))
        (folder / tracking_ledger.LEDGER).write_text(text)
        assert tracking_ledger.pending([run], folder) == [run]
        tracking_ledger.note(folder, "table1", "smoke", [run])
        assert _name_in_ledger(folder)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"9" * 5000])
def test_a_ledger_that_is_no_json_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    run = mirror(tmp_path)
    (tmp_path / tracking_ledger.LEDGER).write_bytes(content)
    assert tracking_ledger.pending([run], tmp_path) == [run]
    tracking_ledger.note(tmp_path, "table1", "smoke", [run])
    assert _name_in_ledger(tmp_path)


def _name_in_ledger(folder: Path) -> bool:
    (copied,) = (
        c
        for c in tracking_ledger._read(folder).values()
        if c.runs.get("table1/smoke/mae / btmd / seed 0/" + "ab" * 32)
    )
    return bool(copied.compared)


LIGHT = """
import sys
from pathlib import Path
from harness.report import tracking_ledger
from tests.report.mirrors import mirror
folder = Path(sys.argv[1])
assert tracking_ledger.pending([mirror(folder)], folder) == []
assert not {"mlflow", "sqlalchemy"} & sys.modules.keys()
"""


def test_a_command_with_nothing_to_do_imports_no_mlflow(store: Path) -> None:
    _write(store, mirror(store))
    subprocess.run([sys.executable, "-c", LIGHT, str(store)], check=True, env=os.environ)


def test_more_runs_than_one_answer_holds_are_compared(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking_job, "PAGE", 3)
    runs = [
        mirror(store, f"{n}", key=f"{n:064x}", artifacts=(), history=(), parameters={})
        for n in range(10)
    ]
    assert _write(store, *runs).written == 10
    assert _write(store, *runs).written == 0
    assert len(_children(store)) == 10
