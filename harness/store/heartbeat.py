"""Where trainings stand: a small file beside each claim, for ``harness status`` to read.

A hint and no record: it is written at most once a second, and lost without harm.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from harness.progress import seconds_left

SUFFIX = ".progress"
EVERY = 1.0
"""Seconds between two writings at least."""


@dataclass(frozen=True, kw_only=True)
class StageProgress:
    """How far a training is.

    Attributes:
        title: of the stage.
        started: when this process began it (seconds since 1970).
        updated: when this was written.
        epoch: epochs done.
        epochs: in all.
        first: epochs that were done before this process began it; None until it has done one.
    """

    title: str
    started: float
    updated: float
    epoch: int
    epochs: int
    first: int | None = None

    @property
    def left(self) -> float | None:
        """Seconds from ``updated`` to the last epoch's end, as fast as so far."""
        done = 0 if self.first is None else self.epoch - self.first
        if done <= 0:
            return None
        return seconds_left(self.updated - self.started, done, self.epochs - self.epoch)


class Heartbeat:
    """Keep the file of one stage up to date; it goes when the ``with`` block ends."""

    def __init__(self, folder: Path, key: str, title: str, epochs: int) -> None:
        """Begin now, in a run store that holds the stage's claim."""
        self.path = folder / "claims" / f"{key}{SUFFIX}"
        now = time.time()
        self.place = StageProgress(title=title, started=now, updated=now, epoch=0, epochs=epochs)
        self._written = 0.0

    def __enter__(self) -> Self:
        """Write the first place."""
        self._write()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def epoch(self, epoch: int, epochs: int) -> None:
        """Take the number of a finished epoch (0-based)."""
        first = epoch if self.place.first is None else self.place.first
        self.place = replace(
            self.place, epoch=epoch + 1, epochs=epochs, first=first, updated=time.time()
        )
        if time.monotonic() - self._written >= EVERY:
            self._write()

    def _write(self) -> None:
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        # Training does not end for want of a hint; a full disk is told by what matters.
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(asdict(self.place)), encoding="utf-8")
            temporary.replace(self.path)
        self._written = time.monotonic()


def read(folder: Path) -> Iterator[tuple[str, StageProgress]]:
    """Yield the key and place of every stage that has a file."""
    for path in sorted(folder.glob(f"claims/[!.]*{SUFFIX}")):
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
            yield path.stem, StageProgress(**json.loads(path.read_text(encoding="utf-8")))
