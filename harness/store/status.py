"""What is being trained in a run store, by whom and how far, and what failed."""

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
    """A stage with a living owner; ``place`` is None in its first moment."""

    key: str
    host: str
    pid: int
    place: StageProgress | None

    def to_json(self, now: float) -> dict[str, Any]:
        """Return plain values; durations in seconds, counted from ``now``."""
        place = self.place
        since = None if place is None else _instant(place.started)
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
        """Return the seconds that the stage will take from now; None while unknown."""
        if self.place is None or self.place.left is None:
            return None
        return round(max(0.0, self.place.left - (now - self.place.updated)), 1)


def running(folder: Path) -> list[Running]:
    """Return the stages that living owners have claimed."""
    places = dict(heartbeat.read(folder))
    owners = claim.owners(folder)
    return [
        Running(key=key, host=host, pid=pid, place=places.get(key))
        for key, (host, pid) in sorted(owners.items())
    ]


def failures(folder: Path) -> list[Record]:
    """Return the failed records of stages that nobody is trying again.

    Raises:
        UserError: a record cannot be read.
    """
    records, owned = Records(folder), claim.living(folder)
    keys = sorted(p.stem for p in folder.glob("records/[!.]*.json"))
    found = [record for key in keys if (record := records.read(key)) is not None]
    return [r for r in found if r.status == "failed" and r.key not in owned]


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
