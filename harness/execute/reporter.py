"""Where the progress of a stage goes: the terminal, other processes, and the command's watch."""

from __future__ import annotations

from dataclasses import dataclass

from harness.execute.watch import StageWatch
from harness.plan.plan import StageRun
from harness.progress import Progress
from harness.store.heartbeat import Heartbeat


@dataclass(frozen=True)
class StageReporter:
    """Reports a stage's progress on the terminal, to other processes, and to a watch."""

    progress: Progress
    heartbeat: Heartbeat
    step: StageRun
    watch: StageWatch

    def line(self, text: str) -> None:
        """Show a line of text."""
        self.progress.line(text)

    def epoch(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        """Show a finished epoch (0-based)."""
        self.heartbeat.epoch(epoch, epochs)
        self.watch.epoch(self.step, epoch, figures)
        self.progress.epoch(epoch, epochs, figures)
