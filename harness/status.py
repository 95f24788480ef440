"""``harness status``: what is being trained in a run store, by whom and how far; what failed."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import claim, whereabouts
from harness.record import Record, Records
from harness.spec import stage_title
from harness.whereabouts import Place


@dataclass(frozen=True, kw_only=True)
class Running:
    """A stage with a living owner; ``place`` is None in its first moment."""

    key: str
    host: str
    pid: int
    place: Place | None

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
            "seconds_left": _left(place, now),
        }


def run(args: argparse.Namespace) -> int:
    """Print what runs and what failed."""
    now = time.time()
    at_work, failed = running(args.runs), failures(args.runs)
    if args.json:
        facts = {
            "running": [one.to_json(now) for one in at_work],
            "failed": [
                {"key": r.key, "title": stage_title(r.definition), "error": r.error} for r in failed
            ],
        }
        print(json.dumps(facts, indent=1))
        return 0
    for one in at_work:
        print(_line(one, now))
    for record in failed:
        print(f"failed   {stage_title(record.definition)} ({record.key[:12]}): {record.error}")
    print(f"{args.runs}: {len(at_work)} running, {len(failed)} failed.")
    return 0


def running(folder: Path) -> list[Running]:
    """Return the stages that living owners have claimed."""
    places = dict(whereabouts.read(folder))
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


def _line(one: Running, now: float) -> str:
    owner = f"on {one.host}, process {one.pid}"
    if one.place is None:
        return f"running  {one.key[:12]}, {owner}"
    left = _left(one.place, now)
    remaining = "" if left is None else f", about {_duration(left)} left"
    return (
        f"running  {one.place.title}: epoch {one.place.epoch}/{one.place.epochs}{remaining};"
        f" {owner}, for {_duration(now - one.place.started)}"
    )


def _left(place: Place | None, now: float) -> float | None:
    if place is None or place.left is None:
        return None
    return round(max(0.0, place.left - (now - place.updated)), 1)


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
