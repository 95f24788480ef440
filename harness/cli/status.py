"""``harness status``: show what is being trained, and what failed."""

from __future__ import annotations

import argparse
import time

from harness.console import say, say_json
from harness.spec.run import stage_title
from harness.store.status import Running, failures, running


def run(args: argparse.Namespace) -> int:
    """Print the stages that are being trained and those that failed."""
    now = time.time()
    active, failed = running(args.runs), failures(args.runs)
    if args.json:
        facts = {
            "running": [stage.to_json(now) for stage in active],
            "failed": [
                {"key": r.key, "title": stage_title(r.definition), "error": r.error} for r in failed
            ],
        }
        say_json(facts)
        return 0
    for stage in active:
        say(_line(stage, now))
    for record in failed:
        say(f"failed   {stage_title(record.definition)} ({record.key[:12]}): {record.error}")
    say(f"{args.runs}: {len(active)} running, {len(failed)} failed.")
    return 0


def _line(stage: Running, now: float) -> str:
    """Return the line of a stage that is being trained."""
    owner = f"on {stage.host}, process {stage.pid}"
    if stage.place is None:
        return f"running  {stage.key[:12]}, {owner}"
    seconds_left = stage.seconds_left(now)
    remaining = "" if seconds_left is None else f", about {_duration(seconds_left)} left"
    return (
        f"running  {stage.place.title}: epoch {stage.place.epoch}/{stage.place.epochs}{remaining};"
        f" {owner}, for {_duration(now - stage.place.started)}"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
