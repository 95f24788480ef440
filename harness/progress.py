"""Progress of training on standard error: a live bar on a terminal, plain lines in a log.

Standard output is left to tables and other results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.console import bars, note
from harness.errors import shown

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

LOG_EVERY = 30.0
"""Seconds between plain lines of one stage; its last epoch always has a line."""


class Progress:
    """Shows the current stage, its epochs and its figures (loss, accuracy, IoU)."""

    def __init__(self, *, plain: bool = False) -> None:
        """Show a live bar if standard error is a terminal, unless ``plain`` lines are requested."""
        self._live = not plain and sys.stderr.isatty()
        self._rich: RichProgress | None = None
        self._task: TaskID | None = None
        self._logged = 0.0
        self._began = 0.0
        self._resumed_at: int | None = None
        self._title = ""

    @contextmanager
    def stage(self, title: str, position: int, total: int) -> Iterator[None]:
        """Show one stage during the block, as number ``position`` (from 0) of ``total``."""
        self._title = f"[{position + 1}/{total}] {title}"
        self._began, self._resumed_at = time.monotonic(), None
        self._logged = 0.0
        if not self._live:
            yield
            return
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:.0f}/{task.total:.0f} epochs", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
        )
        with bars(*columns) as shown_bars:
            self._rich = shown_bars
            self._task = shown_bars.add_task(shown(self._title), total=1, figures="")
            try:
                yield
            finally:
                self._rich = self._task = None

    def epoch(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        """Show the figures of a finished epoch."""
        text = _figures(figures)
        if self._rich is not None and self._task is not None:
            self._rich.update(self._task, completed=epoch + 1, total=epochs, figures=text)
            return
        now = time.monotonic()
        if self._resumed_at is None:
            self._resumed_at = epoch
        # Time left from the epochs trained in this process, not those before a resumption.
        done = epoch + 1 - self._resumed_at
        if epoch + 1 == epochs or now - self._logged >= LOG_EVERY:
            left = seconds_left(now - self._began, done, epochs - epoch - 1)
            self.line(f"{self._title}: epoch {epoch + 1}/{epochs}, {text}, {left:.0f} s left")
            self._logged = now

    def line(self, text: str) -> None:
        """Write one line."""
        if self._rich is not None:
            self._rich.console.print(shown(text))
        else:
            note(text)


def seconds_left(elapsed: float, done: int, remaining: int) -> float:
    """Return the seconds that remaining epochs take, each as long as those done so far."""
    return elapsed / done * remaining


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
