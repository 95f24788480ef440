"""The running stages of a run store, with owner and progress, and the failed ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.store import claim, heartbeat
from harness.store.heartbeat import StageProgress
from harness.store.record import Record, Records


@dataclass(frozen=True, kw_only=True)
class Running:
    """A stage that a process is training.

    Attributes:
        key: of the stage.
        host: name of the owner's machine.
        pid: the owner's process id.
        place: progress; None until the owner has written it.
    """

    key: str
    host: str
    pid: int
    place: StageProgress | None

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
        }

    def seconds_left(self, now: float) -> float | None:
        """Return the estimated seconds from ``now`` to the end; None while unknown."""
        if self.place is None or self.place.left is None:
            return None
        return round(max(0.0, self.place.left - (now - self.place.updated)), 1)


def running(folder: Path) -> list[Running]:
    """Return the stages whose claim has not expired."""
    places = dict(heartbeat.read(folder))
    owners = claim.owners(folder)
    return [
        Running(key=key, host=owner.host, pid=owner.pid, place=places.get(key))
        for key, owner in sorted(owners.items())
    ]


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
