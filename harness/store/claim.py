"""Claims: one process trains a stage while others wait or do something else.

A claim is a file with its owner's name whose time is renewed by a heartbeat; the claim of a dead
owner expires (at once on the same machine, after ``EXPIRY`` seconds elsewhere).
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

from harness.errors import UserError
from harness.store import form

HEARTBEAT = 10.0
EXPIRY = 90.0


@contextlib.contextmanager
def claim(folder: Path, key: str) -> Iterator[bool]:
    """Try to claim a stage for the block, in a store of this form; yield whether it is ours.

    Raises:
        UserError: the store has another form, or a migration began.
    """
    form.mark(folder)
    with hold(folder, key) as ours:
        if ours:
            form.check(folder)  # either a migration sees this claim, or it is seen here
        yield ours


@contextlib.contextmanager
def hold(folder: Path, key: str) -> Iterator[bool]:
    """As ``claim``, whatever the store's form.

    The heartbeat runs in a thread of its own, so that long epochs do not lose the claim.
    """
    path = folder / "claims" / f"{key}.json"
    if not _take(path):
        yield False
        return
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    thread.start()
    try:
        yield True
    finally:
        stop.set()
        thread.join()
        path.unlink(missing_ok=True)


def living(folder: Path) -> set[str]:
    """Return the keys of the stages that a living owner has claimed."""
    return {path.stem for path in folder.glob("claims/[!.]*.json") if not _expired(path)}


def owners(folder: Path) -> dict[str, tuple[str, int]]:
    """Return host and process of the living owners by their stage's key."""
    found = {}
    for key in living(folder):
        with contextlib.suppress(FileNotFoundError, ValueError):
            content = json.loads((folder / "claims" / f"{key}.json").read_text(encoding="utf-8"))
            found[key] = (str(content["host"]), int(content["pid"]))
    return found


def _take(path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _expired(path):
            # Only one of several waiters can rename the dead claim away.
            with contextlib.suppress(FileNotFoundError):
                grave = path.with_name(f".{uuid.uuid4().hex}")
                path.rename(grave)
                grave.unlink()
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
        owner = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except ValueError:
        return age > HEARTBEAT  # the owner died between creating and writing it
    if owner["host"] == socket.gethostname():
        return not _alive(owner["pid"])
    return age > EXPIRY


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        with contextlib.suppress(FileNotFoundError):
            path.touch()
