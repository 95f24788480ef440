"""A PostgreSQL and an MLflow server of this machine for tests, to be killed and restarted."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 120.0
"""Seconds within which a server answers after its start."""

DEBIAN = Path("/usr/lib/postgresql")
"""Debian's folder of PostgreSQL's programs, which are not on the path."""


def program(name: str) -> str | None:
    """Return the path of a program of PostgreSQL, the newest version's."""
    found = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return str(found[-1]) if found else shutil.which(name)


def missing() -> str | None:
    """Return why the servers cannot be started here; None if they can."""
    lacking = [name for name in ("initdb", "postgres", "createdb") if program(name) is None]
    if lacking:
        return (
            f"{', '.join(lacking)} not installed: apt-get install -y --no-install-recommends"
            " postgresql"
        )
    packages = [
        name for name in ("mlflow", "optuna", "psycopg") if not importlib.util.find_spec(name)
    ]
    return (
        f"{', '.join(packages)} not installed: pip install 'psycopg[binary]'" if packages else None
    )


def free_port() -> int:
    """Return a port that is free."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Server:
    """A process that serves, with all its children in one session."""

    def __init__(self, command: Sequence[str], folder: Path, answers: Callable[[], bool]) -> None:
        """Start the server and wait until it answers; its output is appended to FOLDER/log."""
        self._command, self._folder, self._answers = command, folder, answers
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, stdout=log, stderr=log, start_new_session=True
            )
        limit = time.monotonic() + PATIENCE
        while not self._answers():
            said = (self._folder / "log").read_text(errors="replace")[-2000:]
            assert self._process.poll() is None and time.monotonic() < limit, said
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill it (SIGKILL) with all its children, and wait until none is left."""
        self._process.kill()
        self._process.wait()
        limit = time.monotonic() + PATIENCE
        for pid in _session(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while _session(self._process.pid):
            assert time.monotonic() < limit, "a child is left"
            time.sleep(0.1)


def _session(leader: int) -> list[int]:
    """Return the living processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = stat.read_text().rpartition(")")[2].split()
            if int(words[3]) == leader and words[0] != "Z":
                found.append(int(stat.parent.name))
    return found


@contextmanager
def postgresql(folder: Path, *databases: str) -> Iterator[tuple[Server, str]]:
    """Run a PostgreSQL with databases within the block; yield it and its URL without a database.

    It does not run as root, but then as the user postgres.
    """
    folder.mkdir(parents=True)
    home, port = folder / "data", free_port()
    as_user: list[str] = []
    if os.getuid() == 0:
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(folder, "postgres", "postgres")
    own = {"cwd": folder, "check": True, "capture_output": True}
    at = ("--host=127.0.0.1", f"--port={port}", "--username=harness")
    made = (program("initdb"), "--username=harness", "--auth=trust", "--no-sync", str(home))
    subprocess.run([*as_user, *map(str, made)], **own)  # type: ignore[call-overload]

    def answers() -> bool:
        command = [str(program("psql")), *at, "--command=SELECT 1", "postgres"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    # 27 characters of a socket's name would not fit below the folders of tests.
    options = (
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-c",
        "unix_socket_directories=",
        "-D",
        str(home),
    )
    server = Server([*as_user, str(program("postgres")), *options], folder, answers)
    try:
        for name in databases:
            subprocess.run([str(program("createdb")), *at, name], **own)  # type: ignore[call-overload]
        yield server, f"postgresql+psycopg://harness@127.0.0.1:{port}"
    finally:
        server.kill()


@contextmanager
def mlflow(folder: Path, database: str) -> Iterator[tuple[Server, str]]:
    """Run an MLflow server with a store of artifacts within the block; yield it and its URL."""
    folder.mkdir(parents=True)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    words = (
        *("server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts")),
    )

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    server = Server([sys.executable, "-m", "mlflow", *words], folder, answers)
    try:
        yield server, address
    finally:
        server.kill()
