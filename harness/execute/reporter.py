"""Where the progress of a stage goes: the terminal, and by its heartbeat other processes."""

from __future__ import annotations

from dataclasses import dataclass

from harness.progress import Progress
from harness.store.heartbeat import Heartbeat


@dataclass(frozen=True)
class StageReporter:
    """Reports a stage's progress on the terminal and, by its heartbeat, to other processes."""

    progress: Progress
    heartbeat: Heartbeat

    def line(self, text: str) -> None:
        """Show a line of text."""
        self.progress.line(text)

    def epoch(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        """Show a finished epoch (0-based)."""
        self.heartbeat.epoch(epoch, epochs)
        self.progress.epoch(epoch, epochs, figures)
