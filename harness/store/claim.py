"""Claims: files that let only one process at a time train a stage.

A claim holds host and process id of its owner, which renews the file's modification time every
``HEARTBEAT`` seconds. The claim of a process that ended without removing it expires: at once for
processes of the same host, after ``EXPIRY`` seconds for those of other hosts.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from harness import files
from harness.errors import UserError
from harness.store import form

HEARTBEAT = 10.0
"""Seconds between two renewals of a claim."""

EXPIRY = 90.0
"""Seconds without a renewal after which a claim of another host expires."""


@contextlib.contextmanager
def claim(folder: Path, key: str) -> Iterator[bool]:
    """Try to claim a stage for the block; yield whether this process has the claim.

    Raises:
        UserError: the store has another form or is being migrated, or cannot be written.
    """
    form.mark(folder)
    with hold(folder, key) as ours:
        if ours:
            # Again, now that the claim exists: a migration that began in between either finds the
            # claim and stops, or is found here.
            form.check(folder)
        yield ours


@contextlib.contextmanager
def hold(folder: Path, key: str) -> Iterator[bool]:
    """Like ``claim``, but in a store of any form.

    A thread renews the claim, so that it does not expire during a long epoch.
    """
    path = folder / "claims" / f"{key}.json"
    if not _acquire(path):
        yield False
        return
    stop = threading.Event()
    thread = threading.Thread(target=_renew, args=(path, stop), daemon=True)
    thread.start()
    try:
        yield True
    finally:
        stop.set()
        thread.join()
        path.unlink(missing_ok=True)


def living(folder: Path) -> set[str]:
    """Return the keys of stages whose claim has not expired."""
    return {path.stem for path in folder.glob("claims/[!.]*.json") if not _expired(path)}


def owners(folder: Path) -> dict[str, tuple[str, int]]:
    """Return host and process id of the owner of every claim that has not expired, by key."""
    owners_by_key = {}
    for key in living(folder):
        with contextlib.suppress(FileNotFoundError, ValueError):
            content = files.read_json(folder / "claims" / f"{key}.json")
            owners_by_key[key] = (str(content["host"]), int(content["pid"]))
    return owners_by_key


def _acquire(path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _expired(path):
            # Renaming is atomic: of several waiting processes only one removes the expired claim.
            with contextlib.suppress(FileNotFoundError):
                renamed = path.with_name(f".{uuid.uuid4().hex}")
                path.rename(renamed)
                renamed.unlink()
        try:
            stream = path.open("x", encoding="utf-8")
        except FileExistsError:
            return False
        with stream:
            json.dump({"host": socket.gethostname(), "pid": os.getpid()}, stream)
    except OSError as error:
        raise UserError(
            f"Cannot write {path}: {error.strerror}. Free space or choose another --runs folder."
        ) from error
    return True


def _expired(path: Path) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
        owner = files.read_json(path)
    except FileNotFoundError:
        return False
    except ValueError:
        return age > HEARTBEAT  # empty: the owner ended between creating and writing it
    if owner["host"] == socket.gethostname():
        return not _is_running(owner["pid"])
    return age > EXPIRY


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _renew(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        with contextlib.suppress(FileNotFoundError):
            path.touch()
