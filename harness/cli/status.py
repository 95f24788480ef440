"""``harness status``: show what is being trained, what was interrupted, and what failed."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.console import say, say_json
from harness.execute import queue
from harness.progress import duration
from harness.spec.run import stage_title
from harness.store import failures as tracebacks
from harness.store import jobs
from harness.store.interrupted import Interrupted
from harness.store.record import Record
from harness.store.status import Running, claimed, failures, resumable

LAST = 60
"""Lines of a traceback that are shown."""

LONGEST = 300
"""Characters of a line of a traceback that are shown."""


def run(args: argparse.Namespace) -> int:
    """Print the stages that are trained, that were interrupted and that failed."""
    now = time.time()
    stages = claimed(args.runs)
    active = [stage for stage in stages if stage.holder.lives]
    dead = [stage for stage in stages if not stage.holder.lives]
    queued = _queued(args.runs)
    left, failed = resumable(args.runs), failures(args.runs)
    states = {one.key: one for one in left}
    left = [one for one in left if one.key not in {record.key for record in failed}]
    if args.json:
        facts = {
            "running": [stage.to_json(now) for stage in active],
            "dead": [stage.to_json(now) for stage in dead],
            "interrupted": [one.to_json() for one in left],
            "failed": [_failed_json(r, states.get(r.key), args) for r in failed],
            "jobs": [asdict(job) for job in queued],
        }
        say_json(facts)
        return 0
    for job in queued:
        say(f"job      {job.name} ({job.launcher}): {job.said}")
    for stage in active:
        say(_line(stage, now))
    for stage in dead:
        say(_dead(stage))
    for one in left:
        say(*_interrupted(one, now))
    for record in failed:
        state = states.get(record.key)
        epoch = "" if state is None or state.epoch is None else f"; tried again after {_at(state)}"
        say(f"failed   {_title(record, state)} ({record.key[:12]}): {record.error}{epoch}")
        if args.errors:
            say(*_traceback(args.runs, record.key))
    ended = f"{len(dead)} dead, " if dead else ""
    counts = f"{len(active)} running, {ended}{len(left)} interrupted, {len(failed)} failed"
    say(f"{args.runs}: {counts}.")
    return 0


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A job of a cluster: its name, state and how it is said; no state where that is unknown."""

    name: str
    launcher: str
    state: str | None
    node: str | None
    said: str


def _queued(runs: Path) -> list[_Job]:
    """Return the jobs that commands have submitted for a store and that have not ended."""
    submissions = jobs.read(runs)
    known = queue.squeue() if submissions else None
    found = []
    for one in submissions:
        for name in one.jobs:
            state = None if known is None else known.get(name)
            if state is not None:
                said, place = state.said(), state.nodes or None
            elif known is None:
                said, place = f"submitted from {one.host}; squeue does not answer here", None
            else:
                continue  # it has ended; its file is about to be removed, or its command was killed
            word = None if state is None else state.state
            found.append(_Job(name=name, launcher=one.launcher, state=word, node=place, said=said))
    return found


def _title(record: Record, state: Interrupted | None) -> str:
    return stage_title(record.definition) if state is None else state.title


def _failed_json(
    record: Record, state: Interrupted | None, args: argparse.Namespace
) -> dict[str, Any]:
    path = tracebacks.path_of(args.runs, record.key)
    facts = {
        "key": record.key,
        "title": _title(record, state),
        "error": record.error,
        "epoch": state and state.epoch,
        "traceback": str(path) if path.is_file() else None,
    }
    return {**facts, "text": tracebacks.read(args.runs, record.key)} if args.errors else facts


def _traceback(runs: Path, key: str) -> Iterator[str]:
    """Yield the last lines of a failed stage's traceback, each of bounded length."""
    text = tracebacks.read(runs, key)
    if text is None:
        yield "         no traceback of it is kept"
        return
    lines = text.rstrip("\n").split("\n")
    if len(lines) > LAST:
        yield f"         ... {len(lines) - LAST} lines before; all are in the file below"
    for line in lines[-LAST:]:
        yield f"         {line if len(line) <= LONGEST else line[:LONGEST] + ' ...'}"
    yield f"         in {tracebacks.path_of(runs, key)}"


def _at(one: Interrupted) -> str:
    """Return the last epoch of a state, of how many."""
    return f"epoch {one.epoch}" + ("" if one.epochs is None else f"/{one.epochs}")


def _line(stage: Running, now: float) -> str:
    """Return the line of a stage that is being trained."""
    owner = f"on {stage.host}, process {stage.pid}"
    head = "stale   " if stage.holder.stale else "running "
    silent = stage.holder.silent
    wrong = f"; no heartbeat for {duration(silent)}" if stage.holder.stale else ""
    if stage.place is None:
        return f"{head} {stage.key[:12]}, {owner}{wrong}"
    seconds_left = stage.seconds_left(now)
    remaining = ""
    if seconds_left is not None and not wrong:
        remaining = f", about {duration(seconds_left)} left"
        if (slow := stage.slow(now)) is not None:
            remaining = f", no epoch for {duration(slow)}"
    return (
        f"{head} {stage.place.title}: epoch {stage.place.epoch}/{stage.place.epochs}{remaining};"
        f" {owner}, for {duration(now - stage.place.started)}{wrong}"
    )


def _dead(stage: Running) -> str:
    """Return the line of a stage whose owner has ended without giving it back."""
    what, place = stage.key[:12], stage.place
    if place is not None:
        what = f"{place.title}: epoch {place.epoch}/{place.epochs}"
    owner = f"process {stage.pid} on {stage.host}"
    return f"dead     {what}; {owner} has ended, no heartbeat for {duration(stage.holder.silent)}"


def _interrupted(one: Interrupted, now: float) -> Iterator[str]:
    """Yield the lines of a stage that can go on."""
    by = one.by
    writer = "" if by is None else f", by process {by.pid} on {by.host}"
    written = f"written {duration(max(0.0, now - one.written))} ago{writer}"
    if one.problem is not None:
        yield f"interrupted {one.key[:12]}: its state {one.problem}; {written}"
        return
    yield f"interrupted {one.title} ({one.key[:12]}): after {_at(one)}, {written}"
    if by is not None and by.command:
        elsewhere = by.folder and Path(by.folder) != Path.cwd()
        place = f"cd {shlex.quote(by.folder)} && " if elsewhere else ""
        yield f"         goes on with: {place}{by.command}"
    else:
        yield "         the command that began it goes on"
