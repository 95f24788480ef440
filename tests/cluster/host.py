"""One of two imitated hosts: it races for the stages of a folder until each has its record.

Started by ``tests.cluster.hosts`` in namespaces of its own, under libfaketime:
``python -m tests.cluster.host FOLDER ROUNDS LOCKS TIMES``.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import filelock

from harness.store import claim as claims
from harness.store.claim import Claim, ClaimLost, claim
from harness.store.record import Records
from tests import records

HEARTBEAT, EXPIRY = 0.05, 1.0
"""Seconds in place of 10 and 90."""

STEPS = 8
"""Epochs of a stage."""

STEP = 0.004
"""Seconds of an epoch."""


def key_of(number: int) -> str:
    """Return the key of a round's stage."""
    return f"{number:064x}"


def main(folder: Path, rounds: int, locks: str, times: str) -> None:
    """Train the stages of all rounds, in order, unless the other host does."""
    _imitate(folder, locks, times)
    store = Records(folder)
    with (folder / f"log-{socket.gethostname()}").open("a", buffering=1) as log:

        def say(what: str, number: int, *more: int) -> None:
            log.write(" ".join(map(str, (what, number, *more))) + "\n")

        for number in range(rounds):
            while store.read(key_of(number)) is None:
                with claim(folder, key_of(number)) as ours:
                    if ours is not None and store.read(key_of(number)) is None:
                        try:
                            _train(store, number, ours, say)
                        except ClaimLost:
                            say("lost", number, time.monotonic_ns())
                time.sleep(0.005)


def _train(store: Records, number: int, ours: Claim, say: Any) -> None:
    """Train a stage; every moment is said, in nanoseconds of the clock that both hosts share."""
    say("begin", number, time.monotonic_ns())
    for _ in range(STEPS):
        time.sleep(STEP)
        began = time.monotonic_ns()
        ours.check()
        say("check", number, began, time.monotonic_ns())

    def fence() -> None:
        began = time.monotonic_ns()
        ours.check()
        say("write", number, began, time.monotonic_ns())

    store.write(records.record(key_of(number), {"host": socket.gethostname()}), before=fence)


def _imitate(folder: Path, locks: str, times: str) -> None:
    """Let locks and times of files be those of a kind of shared folder.

    Args:
        folder: the store.
        locks: "shared", as NFS has them; "local", which other hosts do not see (NFS with
            ``local_lock``, Lustre with ``localflock``); "none", as Lustre refuses them.
        times: "server", whose clock sets the times of files, as with NFS; "client", whose own clock
            does, as with Lustre, CephFS and GlusterFS.
    """
    claims.HEARTBEAT, claims.EXPIRY = HEARTBEAT, EXPIRY
    # Python's sleep waits for a moment of the monotonic clock, which libfaketime 0.9.10 refuses.
    time.sleep = lambda seconds: threading.Event().wait(seconds) and None
    if locks == "none":

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        filelock.FileLock.acquire = refuse  # type: ignore[method-assign, assignment]
    if locks == "local":
        own = folder / f"locks-{socket.gethostname()}"
        own.mkdir(exist_ok=True)
        claims._lock_path = lambda path: own / f"{path.stem}.lock"
    if times == "client":
        write = Path.write_bytes

        def write_bytes(path: Path, content: Any) -> int:
            count = write(path, content)
            os.utime(path)  # by the host's own clock, as libfaketime sets it
            return count

        Path.write_bytes = write_bytes  # type: ignore[method-assign]
        claims._now = lambda folder: time.time()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
