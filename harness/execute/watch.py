"""The watch of a command: it is told when a stage begins, of every epoch, and how the stage ends.

Nothing that a watch does changes a number of the training, and none of its calls may raise or wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from harness.execute.failure import DeviceLostError
from harness.plan.plan import StageRun
from harness.store.record import Record


class StageWatch(Protocol):
    """Interface of what follows the training of a command's stages; see ``tracking_live``."""

    def begin(self, step: StageRun) -> None:
        """Learn that this process begins or continues a stage."""

    def epoch(self, step: StageRun, epoch: int, figures: Mapping[str, float]) -> None:
        """Learn the figures of a finished epoch (0-based)."""

    def end(self, step: StageRun, record: Record | None) -> None:
        """Learn that a stage has ended, with its record; None where it was interrupted."""


class NoWatch:
    """A watch that looks at nothing."""

    def begin(self, step: StageRun) -> None:
        """Do nothing."""

    def epoch(self, step: StageRun, epoch: int, figures: Mapping[str, float]) -> None:
        """Do nothing."""

    def end(self, step: StageRun, record: Record | None) -> None:
        """Do nothing."""


@contextmanager
def watched(watch: StageWatch, step: StageRun) -> Iterator[Callable[[Record], None]]:
    """Tell a watch of a stage that is trained in the block; yield what takes its record."""
    records: list[Record] = []
    watch.begin(step)
    try:
        yield records.append
    except DeviceLostError as error:
        records.append(error.record)
        raise
    finally:
        watch.end(step, records[-1] if records else None)
