"""Where the progress of a stage goes: the terminal, other processes, and the command's watch."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from harness.execute.output import LINE, OutputLimit
from harness.execute.watch import StageWatch
from harness.plan.plan import StageRun
from harness.progress import Progress
from harness.store.claim import Claim, this_process
from harness.store.heartbeat import Heartbeat
from harness.store.interrupted import By
from harness.train.figures import check_figures


@dataclass(frozen=True)
class StageReporter:
    """Reports a stage's progress on the terminal, to other processes, and to a watch.

    ``output`` limits what the method itself prints.
    """

    progress: Progress
    heartbeat: Heartbeat
    step: StageRun
    watch: StageWatch
    output: OutputLimit = field(default_factory=OutputLimit)

    def line(self, text: str) -> None:
        """Show a line of text, which may be a method's."""
        self.progress.line(text if len(text) <= LINE else f"{text[:LINE]} ...")

    def begin(self, epochs: int) -> None:
        """Say that training begins now, after some epochs of an earlier process."""
        self.heartbeat.begin(epochs)
        self.progress.begin(epochs)

    def epoch(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        """Show a finished epoch (0-based).

        Raises:
            ValueError: a method's measurement is no number.
        """
        check_figures(figures)
        self.output.begin_epoch()
        self.heartbeat.epoch(epoch, epochs)
        self.watch.epoch(self.step, epoch, figures)
        begin = time.monotonic()
        self.progress.epoch(epoch, epochs, figures)
        self.heartbeat.skip(time.monotonic() - begin)


def written_by(step: StageRun, claim: Claim | None, command: str) -> By:
    """Return what the states of a stage say of this process, for when it is interrupted."""
    here = this_process() if claim is None else claim.owner
    return By(
        title=step.title,
        rows=step.rows,
        host=here.host,
        pid=here.pid,
        command=command,
        folder=str(Path.cwd()),
    )
