"""Owners of claims as other processes see them: who lives, and who renews the claim no more."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from harness import files
from harness.errors import UserError
from harness.progress import duration
from harness.store import claim
from harness.store.claim import HEARTBEAT, Owner

STALE = 3 * HEARTBEAT
"""Seconds without a renewal after which a claim is shown as stale."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The owner of a claim, as another process sees it.

    Attributes:
        owner: the content of the claim's file.
        lives: whether the claim is the owner's yet.
        silent: seconds since the owner has renewed the claim, by this machine's clock.
    """

    owner: Owner
    lives: bool
    silent: float

    @property
    def stale(self) -> bool:
        """Whether a living owner misses its heartbeats: it is stopped, or its disk is gone."""
        return self.lives and self.silent > STALE

    @property
    def noted(self) -> bool:
        """Whether something is wrong with the owner."""
        return self.stale or not self.lives

    def said(self) -> str:
        """Return who it is, and since when it is silent where something is wrong."""
        who = f"process {self.owner.pid} on {self.owner.host}"
        return f"{who}, without a heartbeat for {duration(self.silent)}" if self.noted else who


def holders(folder: Path) -> dict[str, Holder]:
    """Return the owners of all claims by key, also those who have ended."""
    paths = sorted(folder.glob("claims/[!.]*.json"))
    return {path.stem: holder for path in paths if (holder := _holder(path)) is not None}


def holder_of(folder: Path, key: str) -> Holder | None:
    """Return the owner of a claim, also one who has ended; None where there is no claim."""
    path = folder / "claims" / f"{key}.json"
    return _holder(path) if path.exists() else None


def _holder(path: Path) -> Holder | None:
    """Return the owner in a claim's file; None where it is gone by now."""
    with contextlib.suppress(OSError):
        living = claim.living_owner(path)
        silent = max(0.0, time.time() - path.stat().st_mtime)
        return Holder(owner=living or _read(path), lives=living is not None, silent=silent)
    return None


def _read(path: Path) -> Owner:
    try:
        return files.read_as(path, Owner)
    except UserError:
        return Owner(host="unknown", pid=0)
