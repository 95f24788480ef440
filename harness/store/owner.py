"""Owners of claims: which process it is, and whether it lives and renews its claim."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from harness.progress import duration

HEARTBEAT = 10.0
"""Seconds between two renewals of a claim."""

STALE = 3 * HEARTBEAT
"""Seconds without a renewal after which a claim is shown as stale."""


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


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The owner of a claim, as another process sees it.

    Attributes:
        owner: the content of the claim's file.
        lives: whether the claim is the owner's yet.
        silent: seconds since the owner has renewed the claim.
    """

    owner: Owner
    lives: bool
    silent: float

    @property
    def stale(self) -> bool:
        """Whether a living owner misses its heartbeats: it is stopped, or its disk is gone."""
        return self.lives and self.silent > STALE

    def said(self) -> str:
        """Return who it is, and since when it is silent where that is longer than usual."""
        who = f"process {self.owner.pid} on {self.owner.host}"
        return f"{who}, without a heartbeat for {duration(self.silent)}" if self.noted else who

    @property
    def noted(self) -> bool:
        """Whether something is wrong with the owner."""
        return self.stale or not self.lives


def this_process() -> Owner:
    """Return this process as the owner of a new claim."""
    return Owner(
        host=socket.gethostname(),
        pid=os.getpid(),
        token=uuid.uuid4().hex,
        boot=_text("/proc/sys/kernel/random/boot_id"),
        pid_namespace=_link("/proc/self/ns/pid"),
        started=started_at(os.getpid()),
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


def started_at(pid: int) -> int | None:
    """Return when a process started, in the kernel's ticks since boot; None if there is none."""
    text = _text(f"/proc/{pid}/stat")
    # The name in brackets may hold blanks; the start is the 22nd field of all, proc(5).
    return None if text is None else int(text.rpartition(")")[2].split()[19])
