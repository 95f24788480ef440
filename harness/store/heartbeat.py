"""Progress of running stages: a small file beside each claim, which ``harness status`` reads.

It is written at most once per second; results do not depend on it.
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

from harness import files
from harness.errors import UserError
from harness.progress import Pace
from harness.store.claim import Claim, ClaimLost
from harness.store.result import Count, Seconds

SUFFIX = ".progress"
"""Ending of the files in the folder of claims."""

EVERY = 1.0
"""Shortest time between two writes, in seconds."""


@dataclass(frozen=True, kw_only=True)
class StageProgress:
    """How far the training of a stage has come.

    Attributes:
        title: of the stage.
        started: time when this process began it, in seconds since 1970.
        updated: time of these figures, likewise.
        epoch: number of completed epochs.
        epochs: of the whole stage.
        first: epochs completed before this process began; None until it has completed one.
        each: mean seconds of this process's epochs, see ``Pace``; None until it has completed one.
    """

    title: str
    started: Seconds
    updated: Seconds
    epoch: Count
    epochs: Count
    first: Count | None = None
    each: Seconds | None = None

    @property
    def left(self) -> float | None:
        """Estimated seconds from ``updated`` to the end, at this process's mean time per epoch."""
        return None if self.each is None else self.each * (self.epochs - self.epoch)


class Heartbeat:
    """Writer of one stage's progress file, which is removed when the ``with`` block ends."""

    def __init__(
        self, folder: Path, key: str, title: str, epochs: int, claim: Claim | None = None
    ) -> None:
        """Begin at the current time, in a run store in which the stage is claimed."""
        self._claim = claim
        self.path = folder / "claims" / f"{key}{SUFFIX}"
        now = time.time()
        self.place = StageProgress(title=title, started=now, updated=now, epoch=0, epochs=epochs)
        self._written = 0.0
        self._pace = Pace(now)

    def __enter__(self) -> Self:
        """Write the file, with no epoch completed."""
        self._write()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError, ClaimLost):
            if self._claim is not None:
                self._claim.check()  # else the file is another process's by now
            self.path.unlink(missing_ok=True)

    def begin(self, epochs: int) -> None:
        """Start the clock of the epochs, of which an earlier process has trained some."""
        self._pace = Pace(time.time())
        self.place = replace(self.place, epoch=epochs, updated=time.time())
        self._write()

    def skip(self, seconds: float) -> None:
        """Leave out seconds since the last epoch that were not spent on training."""
        self._pace.skip(seconds)

    def epoch(self, epoch: int, epochs: int) -> None:
        """Update the file after a finished epoch (0-based)."""
        now = time.time()
        first = epoch if self.place.first is None else self.place.first
        each = max(0.0, self._pace.epoch(now))  # this clock may be set meanwhile
        self.place = replace(
            self.place, epoch=epoch + 1, epochs=epochs, first=first, each=each, updated=now
        )
        if time.monotonic() - self._written >= EVERY:
            self._write()

    def _write(self) -> None:
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}{files.TEMPORARY}")
        if self._claim is not None:
            self._claim.check()
        # A failed write must not end the training; a full disk is reported when the checkpoint or
        # the record is written.
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(asdict(self.place)), encoding="utf-8")
            temporary.replace(self.path)
        self._written = time.monotonic()


def read(folder: Path) -> Iterator[tuple[str, StageProgress]]:
    """Yield the key and progress of every stage that has a file."""
    for path in sorted(folder.glob(f"claims/[!.]*{SUFFIX}")):
        with contextlib.suppress(OSError, UserError):
            yield path.stem, files.read_as(path, StageProgress)
