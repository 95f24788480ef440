"""``harness status``: show what is being trained, and what failed."""

from __future__ import annotations

import argparse
import json
import time

from harness.spec.run import stage_title
from harness.store.status import Running, failures, running


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


def _line(one: Running, now: float) -> str:
    owner = f"on {one.host}, process {one.pid}"
    if one.place is None:
        return f"running  {one.key[:12]}, {owner}"
    left = one.seconds_left(now)
    remaining = "" if left is None else f", about {_duration(left)} left"
    return (
        f"running  {one.place.title}: epoch {one.place.epoch}/{one.place.epochs}{remaining};"
        f" {owner}, for {_duration(now - one.place.started)}"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
