"""What a process that waits says of the processes that train the stages it waits for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from harness.plan.plan import StageRun
from harness.progress import Progress, duration
from harness.store import status
from harness.store.status import Running

AGAIN = 60.0
"""Seconds between two lines on the same stages while nothing is wrong."""


class Others:
    """Says who trains the stages that are waited for, and when an owner falls silent or dies."""

    def __init__(self, runs: Path, progress: Progress) -> None:
        """Look into a run store; lines go to the progress."""
        self._runs, self._progress = runs, progress
        self._said: frozenset[tuple[str, bool, bool]] = frozenset()
        self._at = 0.0

    def look(self, steps: Sequence[StageRun]) -> None:
        """Print a line for each stage that another process trains, if that is news."""
        titles = {step.key: step.title for step in steps}
        seen = [stage for stage in status.claimed(self._runs) if stage.key in titles]
        news = frozenset((s.key, s.holder.stale, s.holder.lives) for s in seen)
        now = time.monotonic()
        if self._at and news == self._said and now - self._at < AGAIN:
            return
        if not seen and not self._at:  # it has ended in between, or keeps no claim
            self._progress.line(f"waiting: another process trains {steps[0].title}")
        for stage in seen:
            self._progress.line(f"waiting: {_line(stage, titles[stage.key])}")
        self._said, self._at = news, now


def _line(stage: Running, title: str) -> str:
    """Return who trains a stage and how far it is."""
    now, place = time.time(), stage.place
    how = "trains" if stage.holder.lives else "has ended, it trained"
    text = f"process {stage.pid} on {stage.host} {how} {title}"
    if place is not None:
        text += f", epoch {place.epoch}/{place.epochs}"
        if (left := stage.seconds_left(now)) is not None and not stage.holder.noted:
            text += f", about {duration(left)} left"
    if stage.holder.noted:
        text += f"; no heartbeat for {duration(stage.holder.silent)}"
    elif (slow := stage.slow(now)) is not None:
        text += f"; no epoch for {duration(slow)}"
    return text
