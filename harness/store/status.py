"""The stages of a run store that run, with owner and progress, were interrupted, or failed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.store import claim, heartbeat, interrupted, owner
from harness.store.heartbeat import StageProgress
from harness.store.interrupted import Interrupted
from harness.store.owner import Holder
from harness.store.record import Record, Records

KEY = re.compile("[0-9a-f]{64}")
"""Key of a stage, the name of its claim."""

SLOW = 60.0
"""Seconds since the last epoch that are never worth a word."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A stage that a process is training, or was training when it ended.

    Attributes:
        key: of the stage.
        holder: the owner, and whether it lives.
        place: progress; None until the owner has written it.
    """

    key: str
    holder: Holder
    place: StageProgress | None

    @property
    def host(self) -> str:
        """Name of the owner's machine."""
        return self.holder.owner.host

    @property
    def pid(self) -> int:
        """The owner's process id."""
        return self.holder.owner.pid

    def slow(self, now: float) -> float | None:
        """Return the seconds since the last epoch where they are those of three epochs or more."""
        if self.place is None or self.place.each is None:
            return None
        since = now - self.place.updated
        return since if since > max(SLOW, 3 * self.place.each) else None

    def to_json(self, now: float) -> dict[str, Any]:
        """Return plain JSON values; ``now`` is the current time in seconds since 1970."""
        place = self.place
        since = None if place is None else _iso_time(place.started)
        return {
            "key": self.key,
            "title": place and place.title,
            "host": self.host,
            "pid": self.pid,
            "since": since,
            "epoch": place and place.epoch,
            "epochs": place and place.epochs,
            "seconds_left": self.seconds_left(now),
            "stale": self.holder.stale,
            "silent_seconds": round(self.holder.silent, 1),
            "last_epoch_seconds_ago": place and round(max(0.0, now - place.updated), 1),
        }

    def seconds_left(self, now: float) -> float | None:
        """Return the estimated seconds from ``now`` to the end; None while unknown."""
        if self.place is None or self.place.left is None:
            return None
        return round(max(0.0, self.place.left - (now - self.place.updated)), 1)


def running(folder: Path) -> list[Running]:
    """Return the stages whose claim has not expired."""
    return [stage for stage in claimed(folder) if stage.holder.lives]


def claimed(folder: Path) -> list[Running]:
    """Return the stages that have a claim, also those whose owner has ended.

    Claims of other work, as that of who writes to MLflow, are no stages.
    """
    places = dict(heartbeat.read(folder))
    return [
        Running(key=key, holder=holder, place=places.get(key))
        for key, holder in sorted(owner.holders(folder).items())
        if KEY.fullmatch(key)
    ]


def resumable(folder: Path) -> list[Interrupted]:
    """Return the unfinished stages that have a state and that no process trains.

    Raises:
        UserError: a record cannot be read.
    """
    records = Records(folder)
    keys = {path.stem for path in folder.glob("checkpoints/*.pt")}
    keys |= {path.stem for path in folder.glob("previous/*.pt")}
    # ``read``, not ``finished``: states of finished stages are left-overs of a killed process.
    read = {key: records.read(key) for key in keys}
    done = {key for key, record in read.items() if record is not None and record.status == "done"}
    return interrupted.find(folder, frozenset(done | claim.living(folder)))


def failures(folder: Path) -> list[Record]:
    """Return the failed records of stages that no process is training again.

    Raises:
        UserError: a record cannot be read.
    """
    records, claimed = Records(folder), claim.living(folder)
    keys = sorted(p.stem for p in folder.glob("records/[!.]*.json"))
    existing = [record for key in keys if (record := records.read(key)) is not None]
    return [r for r in existing if r.status == "failed" and r.key not in claimed]


def _iso_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
