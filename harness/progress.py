"""Progress of training on standard error: a live bar on a terminal, plain lines in a log.

Standard output is left to tables and other results.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.console import bars, note
from harness.errors import shown

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

LOG_EVERY = 30.0
"""Seconds between plain lines of one stage; its last epoch always has a line."""

PAUSED = 5.0
"""Times the median that an epoch lasts which was not spent on training alone."""

Rest = Callable[[float, int], float | None]
"""From a stage's seconds per epoch and its epochs left to the seconds left of the whole plan."""


@dataclass
class Pace:
    """Time per epoch of this process, from the moment when the first of them began.

    The first epoch holds the slow first step (kernels are chosen, memory is taken), so that it
    counts only until a second one has ended. An epoch of more than ``PAUSED`` times the median is
    left out of the mean: the process was stopped in it, or the machine asleep. Times are in
    seconds of one clock, whichever.
    """

    began: float
    spent: list[float] = field(default_factory=list)

    def epoch(self, now: float) -> float:
        """Count an epoch that ended now; return the mean seconds of an epoch."""
        self.spent.append(now - self.began)
        self.began = now
        counted = self.spent[1:] or self.spent
        usual = statistics.median(counted)
        return statistics.fmean([s for s in counted if s <= PAUSED * usual] or counted)

    def skip(self, seconds: float) -> None:
        """Leave out seconds since the last epoch that were not spent on training."""
        self.began += seconds


class Progress:
    """Shows the current stage, its epochs and its figures (loss, accuracy, IoU)."""

    def __init__(self, *, plain: bool = False) -> None:
        """Show a live bar if standard error is a terminal, unless ``plain`` lines are requested."""
        self._live = not plain and sys.stderr.isatty()
        self._rich: RichProgress | None = None
        self._task: TaskID | None = None
        self._logged = 0.0
        self._pace = Pace(0.0)
        self._rest: Rest | None = None
        self._title = ""

    def foresee(self, rest: Rest | None) -> None:
        """Show also the time left of the whole plan, as ``rest`` estimates it; None ends that."""
        self._rest = rest

    def begin(self, epochs: int) -> None:
        """Start the clock of the stage's epochs, after its data and its state have been read.

        Args:
            epochs: that an earlier process has trained, from whose state this one goes on.
        """
        self._pace = Pace(time.monotonic())
        if epochs:
            self.line(f"{self._title}: goes on at epoch {epochs + 1}")

    @contextmanager
    def stage(self, title: str, position: int, total: int) -> Iterator[None]:
        """Show one stage during the block, as number ``position`` (from 0) of ``total``."""
        self._title = f"[{position + 1}/{total}] {title}"
        self._pace = Pace(time.monotonic())
        self._logged = 0.0
        if not self._live:
            yield
            return
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:.0f}/{task.total:.0f} epochs", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.fields[figures]}", markup=False),
        )
        with bars(*columns) as shown_bars:
            self._rich = shown_bars
            self._task = shown_bars.add_task(shown(self._title), total=1, figures="", left="")
            try:
                yield
            finally:
                self._rich = self._task = None

    def epoch(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        """Show the figures of a finished epoch."""
        text, now = _figures(figures), time.monotonic()
        each, remaining = self._pace.epoch(now), epochs - epoch - 1
        if self._rich is not None and self._task is not None:
            left = self._left(each, remaining)
            self._rich.update(
                self._task, completed=epoch + 1, total=epochs, figures=text, left=left
            )
        elif remaining == 0 or now - self._logged >= LOG_EVERY:
            left = self._left(each, remaining)
            self.line(f"{self._title}: epoch {epoch + 1}/{epochs}, {text}, {left}")
            self._logged = now
        self._pace.skip(time.monotonic() - now)  # an estimate of the plan takes time

    def _left(self, each: float, remaining: int) -> str:
        """Return how long the stage and the plan take yet, from the seconds of an epoch."""
        text = f"{duration(each * remaining)} left"
        rest = None if self._rest is None else self._rest(each, remaining)
        return text if rest is None else f"{text}, of the plan {duration(rest)}"

    def line(self, text: str) -> None:
        """Write one line."""
        if self._rich is not None:
            self._rich.console.print(shown(text))
        else:
            note(text)


def duration(seconds: float) -> str:
    """Return a time for people: "45 s", "3 min 07 s", "2 h 05 min", "3 d 04 h"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _figures(figures: dict[str, float]) -> str:
    parts = [f"loss {figures['loss/total']:.4f}"]
    # Under the clean split the part that is reported plays no role before the table.
    if "validation/accuracy" in figures:
        parts.append(f"validation accuracy {100 * figures['validation/accuracy']:.2f} %")
    elif "eval/accuracy" in figures:
        parts.append(f"accuracy {100 * figures['eval/accuracy']:.2f} %")
    if "validation/iou" in figures:
        parts.append(f"validation IoU {100 * figures['validation/iou']:.2f} %")
    elif "eval/iou" in figures:
        parts.append(f"IoU {100 * figures['eval/iou']:.2f} %")
    return ", ".join(parts)
