"""Claims: only one process at a time trains a stage, runs a trial, or writes to MLflow or Optuna.

An owner holds a lock of the kernel on ``claims/KEY.lock``, which ends with its process however that
ends, also in a killed container, and which a stopped process keeps. For machines that share a
folder but no locks, ``claims/KEY.json`` names the owner by a random token; its time of change is
renewed every ``HEARTBEAT`` seconds, and it expires when a process has seen it unchanged for
``EXPIRY`` seconds. A claim is taken over by comparing and swapping the token. An owner that finds
another token in its place stops, writes nothing more and removes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import filelock
import msgspec

from harness import files
from harness.errors import UserError
from harness.interrupt import EndsStage
from harness.store import form

HEARTBEAT = 10.0
"""Seconds between two renewals of a claim."""

EXPIRY = 90.0
"""Seconds without a renewal after which a claim of another machine expires."""

SKEW = 600.0
"""Seconds by which the clocks of machines may differ; some folders (Lustre, CephFS) take the times
of files from the machine that writes, so that times of two machines do not compare."""

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
"""Errors of file systems that have no locks; there, tokens and heartbeats decide alone."""


class ClaimLost(EndsStage):
    """Another process has taken this one's claim over; its work goes on there."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The content of a claim's file.

    Attributes:
        host: name of the owner's machine.
        pid: its process id, in its own namespace of process ids.
        token: a random name of this claim.
        boot: identifies the running kernel, and with it the machine; None where unknown.
        pid_namespace: in which ``pid`` counts; None where unknown.
        started: when the process started, in the kernel's ticks since boot; None where unknown.
    """

    host: str
    pid: Annotated[int, msgspec.Meta(ge=0)]
    token: str = ""
    boot: str | None = None
    pid_namespace: str | None = None
    started: int | None = None


class Claim:
    """The claim that this process has on a key."""

    def __init__(self, path: Path, owner: Owner, lock: filelock.FileLock | None) -> None:
        """Start to renew the claim.

        Args:
            path: of the claim's file.
            owner: what the file holds.
            lock: of the kernel; None on a file system without locks.
        """
        self.path, self.owner = path, owner
        self._lock = lock
        self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    @property
    def token(self) -> str:
        """The random name of this claim, which states written under it carry."""
        return self.owner.token

    def check(self) -> None:
        """Make sure that the claim is still this process's, before anything is written.

        Raises:
            ClaimLost: the claim's file is gone, or names another owner.
        """
        if not self._lost:
            found = _read(self.path)
            self._lost = found is None or found.token != self.token
        if self._lost:
            raise ClaimLost(f"the claim {self.path} was taken over by another process")

    def release(self) -> None:
        """Give the claim back; nothing is removed if it is another process's by now."""
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            _remove(self.path, self.token)
        _free(self._lock)

    def _renew(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            try:
                self.check()
                os.utime(self.path)
            except ClaimLost:
                return
            except OSError:
                continue  # the disk may answer again; until then the claim grows older


@contextlib.contextmanager
def claim(folder: Path, key: str) -> Iterator[Claim | None]:
    """Try to claim a key for the block; yield the claim, None while another process has it.

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
def hold(folder: Path, key: str) -> Iterator[Claim | None]:
    """Like ``claim``, but in a store of any form.

    A thread renews the claim, so that it does not expire during a long epoch.
    """
    ours = _acquire(folder / "claims" / f"{key}.json")
    try:
        yield ours
    finally:
        if ours is not None:
            ours.release()


def living(folder: Path) -> set[str]:
    """Return the keys whose claim's owner lives."""
    return set(owners(folder))


def owners(folder: Path) -> dict[str, Owner]:
    """Return the living owners of all claims by key."""
    paths = folder.glob("claims/[!.]*.json")
    return {path.stem: owner for path in paths if (owner := living_owner(path)) is not None}


def living_owner(path: Path) -> Owner | None:
    """Return the owner in a claim's file if it lives; else None."""
    with contextlib.suppress(OSError):
        owner = _read(path)
        if owner is not None and (is_locked(_lock_path(path)) or not _expired(path, owner)):
            return owner
    return None


def _acquire(path: Path) -> Claim | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for pause in (0.01, 0.03, 0.0):
            lock, held = _take_lock(_lock_path(path))
            if not held:
                break
            time.sleep(pause)  # ``owners`` of another process may be looking just now
        else:
            return None
        try:
            owner = _swap(path, exclusive=lock is not None)
        except BaseException:
            _free(lock)
            raise
        if owner is None:
            _free(lock)
            return None
        return Claim(path, owner, lock)
    except OSError as error:
        raise files.cannot_write(path, error) from error


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _take_lock(path: Path) -> tuple[filelock.FileLock | None, bool]:
    """Take the kernel's lock; return it and whether another process holds it.

    Where the file system has no locks, both are missing: ``(None, False)``.
    """
    lock = filelock.FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return None, True
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return None, False
    return lock, False


def _free(lock: filelock.FileLock | None) -> None:
    """Remove the file of a lock that this process holds, then free the lock.

    A process that has opened the removed file notices that it has no name, and opens a new one.
    """
    if lock is not None:
        with contextlib.suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock of a claim."""
    import fcntl

    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EACCES)
    finally:
        os.close(handle)
    return False


def _swap(path: Path, *, exclusive: bool) -> Owner | None:
    """Put this process's name into a claim's file if that is free; return it, else None.

    Args:
        path: of the claim's file.
        exclusive: whether this process holds the kernel's lock.
    """
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{files.TEMPORARY}")
    taken: Path | None = None
    try:
        previous = _read(path)
        if previous is not None and not _expired(path, previous, exclusive=exclusive):
            return None
        owner = this_process()
        temporary.write_bytes(msgspec.json.encode(asdict(owner)))
        if previous is None:
            os.link(temporary, path)  # fails if another process was first
            return owner
        # Compare and swap: of all that want to replace this token, one can make this link.
        link = path.with_name(f".{path.stem}.{previous.token or 'none'}.taken")
        _link_instead_of_dead(temporary, link, exclusive=exclusive)
        taken = link
        if _read(path) != previous:
            return None  # another process has replaced it in between
        temporary.replace(path)
        return owner
    except (FileExistsError, FileNotFoundError):
        return None
    finally:
        temporary.unlink(missing_ok=True)
        if taken is not None:
            taken.unlink(missing_ok=True)


def _link_instead_of_dead(source: Path, link: Path, *, exclusive: bool) -> None:
    """Make a link, also in the place of one whose process died between linking and replacing.

    Raises:
        FileExistsError: another living process has made the link.
    """
    try:
        os.link(source, link)
    except FileExistsError:
        other = _read(link)
        if other is None or not _expired(link, other, exclusive=exclusive):
            raise
        _remove(link, other.token)
        os.link(source, link)


def _remove(path: Path, token: str) -> None:
    """Remove a claim's file if it holds a token."""
    found = _read(path)
    if found is None or found.token != token:
        return
    gone = path.with_name(f".{path.stem}.{token}{files.TEMPORARY}")
    path.rename(gone)
    moved = _read(gone)
    if moved is not None and moved.token != token:  # replaced since it was read: put it back
        with contextlib.suppress(FileExistsError):
            os.link(gone, path)
    gone.unlink(missing_ok=True)


def _read(path: Path) -> Owner | None:
    """Return the owner in a claim's file, None where there is no file.

    A file that is no claim has an owner without a token, who is judged by the file's age.
    """
    try:
        return files.read_as(path, Owner)
    except FileNotFoundError:
        return None
    except UserError:  # also one that may not be read
        return Owner(host="unknown", pid=0)


def _expired(path: Path, owner: Owner, *, exclusive: bool = True) -> bool:
    """Whether a claim's owner is dead; ``exclusive``: the kernel's lock is, or could be, ours."""
    here = this_process()
    if owner.boot is not None and owner.boot == here.boot:
        if exclusive:
            return True  # of this kernel, which has freed its lock
        if owner.pid_namespace is not None and owner.pid_namespace == here.pid_namespace:
            return _started(owner.pid) != owner.started
    return is_silent(path, owner.token)


def is_silent(path: Path, token: str) -> bool:
    """Whether a claim was seen unchanged for ``EXPIRY``, or is older than clocks could explain."""
    try:
        changed = path.stat().st_mtime_ns
    except FileNotFoundError:
        _SEEN.pop(path, None)
        return False
    now = time.monotonic()
    seen = _SEEN.get(path)
    if seen is None or seen[:2] != (token, changed):
        seen = _SEEN[path] = (token, changed, now)
    return now - seen[2] > EXPIRY or _now(path.parent) - changed / 1e9 > EXPIRY + SKEW


_SEEN: dict[Path, tuple[str, int, float]] = {}
"""Token and time of change of others' claims, and when first seen, by the steady clock."""


def _now(folder: Path) -> float:
    """Return the time of the machine that keeps a folder, which sets the times of its files.

    Clocks of machines differ, and may be set while a claim is held.
    """
    probe = folder / f".{uuid.uuid4().hex}{files.TEMPORARY}"
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink(missing_ok=True)
    except OSError:
        return time.time()  # the folder cannot be written
    return now


def this_process() -> Owner:
    """Return this process as the owner of a new claim."""
    return Owner(
        host=socket.gethostname(),
        pid=os.getpid(),
        token=uuid.uuid4().hex,
        boot=_text("/proc/sys/kernel/random/boot_id"),
        pid_namespace=_link("/proc/self/ns/pid"),
        started=_started(os.getpid()),
    )


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _link(path: str) -> str | None:
    try:
        return str(Path(path).readlink())
    except OSError:
        return None


def _started(pid: int) -> int | None:
    """Return when a process started, in the kernel's ticks since boot; None if there is none."""
    text = _text(f"/proc/{pid}/stat")
    # The name in brackets may hold blanks; the start is the 22nd field of all, proc(5).
    return None if text is None else int(text.rpartition(")")[2].split()[19])
