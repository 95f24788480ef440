"""Serve a page on this machine alone, and rebuild it while runs go on; nothing is written.

It listens on the loopback address, answers GET and HEAD of two paths, and refuses requests that
name another host, so that no website can read it through a browser (DNS rebinding).
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from harness.console import warn
from harness.errors import UserError, text_of
from harness.store.status import Running, running

ADDRESS = "127.0.0.1"
"""The only address that is listened on."""

EVERY = 2.0
"""Seconds between two looks at the run store."""


class Pages:
    """The latest page, rebuilt when records change.

    Attributes:
        runs: the run store.
    """

    def __init__(self, runs: Path, build: Callable[[str], str]) -> None:
        """Build the first page.

        Args:
            runs: the run store.
            build: returns the HTML of a version, which the page asks its server for.

        Raises:
            UserError: there is nothing to show.
        """
        self.runs = runs
        self._build = build
        self._version, self._refused = stamp(runs), ""
        self._html = build(self._version).encode()

    @property
    def html(self) -> bytes:
        """The latest page."""
        return self._html

    def status(self) -> dict[str, Any]:
        """Return the version of the page and what is being trained."""
        now = time.time()
        return {
            "version": self._version,
            "running": [line(stage, now) for stage in running(self.runs)],
        }

    def refresh(self) -> bool:
        """Rebuild the page if records changed; return whether it was rebuilt.

        Of a page that cannot be built one line is printed, and the last one stays.
        """
        version = stamp(self.runs)
        if version in (self._version, self._refused):
            return False
        try:
            html = self._build(version).encode()
        except UserError as error:
            self._refused = version  # said once, until the records change again
            warn(error)
            return False
        self._html, self._version, self._refused = html, version, ""
        return True

    def watch(self, stop: threading.Event) -> None:
        """Refresh until the event is set; a rebuild waits as long as the last one took."""
        wait = EVERY
        while not stop.wait(wait):
            begun = time.monotonic()
            self.refresh()
            wait = max(EVERY, time.monotonic() - begun)


def stamp(runs: Path) -> str:
    """Return a digest of the names and times of a store's records."""
    known = hashlib.sha256()
    for path in sorted(runs.glob("records/[!.]*.json")):
        try:
            known.update(f"{path.name} {path.stat().st_mtime_ns}\n".encode())
        except OSError:  # it was removed in between
            continue
    return known.hexdigest()[:16]


def line(stage: Running, now: float) -> str:
    """Return what is said of a stage that is being trained."""
    if stage.place is None:
        return f"running: {stage.key[:12]}"
    left = stage.seconds_left(now)
    rest = "" if left is None else f", about {round(left)} s left"
    return f"running: {stage.place.title}, epoch {stage.place.epoch} of {stage.place.epochs}{rest}"


def server(pages: Pages, port: int) -> ThreadingHTTPServer:
    """Return a server of the pages that listens; port 0 takes a free one.

    Raises:
        UserError: the port is taken or may not be used.
    """
    handler = type("Handler", (_Handler,), {"pages": pages})
    try:
        return _Server((ADDRESS, port), handler)
    except OSError as error:
        raise UserError(
            f"Cannot listen on {ADDRESS}:{port}: {error.strerror or error}. Give another --port, or"
            " 0 for a free one."
        ) from error


class _Server(ThreadingHTTPServer):
    """A server whose clients may close their connection at any time."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing of a closed connection, and one line of anything else."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError | TimeoutError):
            warn(f"a request could not be answered: {type(error).__name__}: {text_of(error)}")


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of the page and of its status."""

    pages: Pages
    server_version = "harness"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer with the page or the status."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer with the headers alone."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        assert isinstance(self.server, ThreadingHTTPServer)
        port = self.server.server_port
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0] not in (f"{ADDRESS}:{port}", f"localhost:{port}"):
            self._send(
                403, "text/plain; charset=utf-8", b"Another host was asked for.\n", body=body
            )
            return
        path = self.path.partition("?")[0]
        if path == "/":
            self._send(200, "text/html; charset=utf-8", self.pages.html, body=body)
        elif path == "/status.json":
            content = json.dumps(self.pages.status()).encode()
            self._send(200, "application/json", content, body=body)
        else:
            self._send(404, "text/plain; charset=utf-8", b"There is no such page.\n", body=body)

    def _send(self, code: int, kind: str, content: bytes, *, body: bool) -> None:
        self.send_response(code)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(content))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: a page asks every two seconds."""
