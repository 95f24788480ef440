"""The server of a page: whom it answers, what it writes, when it rebuilds."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.page import serve
from harness.page.serve import Pages
from harness.store import heartbeat
from harness.store.claim import Owner
from harness.store.heartbeat import StageProgress
from harness.store.owner import Holder
from harness.store.status import Running
from tests.conftest import Harness
from tests.page import stores


@pytest.fixture
def pages() -> Pages:
    Path("runs/records").mkdir(parents=True)
    built: list[str] = []

    def build(version: str) -> str:
        built.append(version)
        return f"<p>{len(built)}</p>"

    return Pages(Path("runs"), build)


@pytest.fixture
def port(pages: Pages) -> Iterator[int]:
    with serve.server(pages, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def ask(
    port: int, path: str = "/", method: str = "GET", host: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={"Host": host or f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), content


def test_it_answers_with_the_page(port: int) -> None:
    code, headers, content = ask(port, "/?x=1")
    assert (code, content) == (200, b"<p>1</p>")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert ask(port, host=f"localhost:{port}")[0] == 200
    assert ask(port, method="HEAD")[::2] == (200, b"")


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1", "127.0.0.1:1", "[::1]", ""])
def test_requests_that_name_another_host_are_refused(port: int, host: str) -> None:
    code, _, content = ask(port, host=host or " ")
    assert code in (400, 403)
    assert b"<p>" not in content


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/runs/records", "//etc/passwd", "/x%00"])
def test_there_are_two_paths(port: int, path: str) -> None:
    assert ask(port, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_takes_nothing(port: int, method: str) -> None:
    assert ask(port, method=method)[0] == 501


def test_other_machines_cannot_connect(pages: Pages) -> None:
    with serve.server(pages, 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Cannot listen on 127.0.0.1:{number}.*--port"):
            serve.server(Pages.__new__(Pages), number)


def test_it_is_rebuilt_when_a_record_comes_and_only_then(pages: Pages) -> None:
    before = pages.status()["version"]
    assert not pages.refresh()
    Path("runs/records/.a.json.partial").write_text("")
    assert not pages.refresh()
    Path("runs/records/a.json").write_text("{}")
    assert pages.refresh()
    assert pages.html == b"<p>2</p>"
    assert pages.status()["version"] != before
    assert not pages.refresh()


def test_a_page_that_cannot_be_built_leaves_the_last_one(
    pages: Pages, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(version: str) -> str:
        raise UserError("The margin is another.")

    pages._build = fail
    before = pages.status()["version"]
    Path("runs/records/a.json").write_text("{}")
    assert not pages.refresh()
    assert pages.html == b"<p>1</p>"
    assert pages.status()["version"] == before
    assert "The margin is another." in capsys.readouterr().err


def test_it_watches_until_it_is_told_to_stop(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "EVERY", 0.01)
    stop = threading.Event()
    thread = threading.Thread(target=pages.watch, args=(stop,))
    thread.start()
    Path("runs/records/a.json").write_text("{}")
    until = time.monotonic() + 10
    while pages.html != b"<p>2</p>" and time.monotonic() < until:
        time.sleep(0.01)
    stop.set()
    thread.join(10)
    assert pages.html == b"<p>2</p>"
    assert not thread.is_alive()


def test_running_stages_are_told(port: int) -> None:
    code, _, content = ask(port, "/status.json")
    assert code == 200
    assert json.loads(content)["running"] == []
    place = StageProgress(title="pretrain mae", started=0, updated=10, epoch=5, epochs=20, each=2.0)
    holder = Holder(owner=Owner(host="h", pid=1), lives=True, silent=0.0)
    stage = Running(key="a" * 64, holder=holder, place=place)
    assert serve.line(stage, 10.0) == "running: pretrain mae, epoch 5 of 20, about 30 s left"
    assert serve.line(Running(key="a" * 64, holder=holder, place=None), 10.0) == (
        "running: aaaaaaaaaaaa"
    )
    assert heartbeat.SUFFIX == ".progress"


@pytest.mark.slow
def test_a_signal_ends_it_without_a_word_of_checkpoints() -> None:
    stores.fill(stores.planned(rows=("mae",), seeds=(0,)))
    before = sorted((p, p.stat().st_mtime_ns) for p in Path("runs").rglob("*"))
    words = ["serve", "table1", "--profile", "smoke", "--datasets", "btmd", "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "harness", *words, "--runs", "runs", "--data", "data"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        address = next(line for line in lines if line.startswith("http://127.0.0.1:"))
        port = int(address.split("/")[2].partition(":")[2])
        assert b"82.46" in ask(port)[2]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == ""
    assert sorted((p, p.stat().st_mtime_ns) for p in Path("runs").rglob("*")) == before


def test_the_command_says_what_is_missing(harness: Harness) -> None:
    code, _, err = harness("serve", "--runs", "runs", "--data", "data")
    assert code == 2
    assert "No table that ships has a run in runs" in err
    assert not Path("runs").exists()
