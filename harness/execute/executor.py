"""Execute a plan: each unique stage once, one record each; failures stay with their run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from harness.execute.stage import ExecutionOptions, Trainer
from harness.plan.options import Options
from harness.plan.plan import Plan, StageRun
from harness.progress import Progress
from harness.spec.recipe import Prepared
from harness.store.checkpoint import Checkpoints
from harness.store.claim import claim
from harness.store.record import Record, Records

POLL = 2.0
"""Seconds between looks at stages that other processes are training."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What executing a plan did: stages trained now, found done, and failed."""

    trained: int
    found: int
    failed: tuple[Record, ...]


class Executor:
    """Train what a plan lacks, one stage after the other, on one device.

    A stage that another process trains is put off, and only waited for when no other is free.
    """

    def __init__(
        self,
        plan: Plan,
        device: torch.device,
        progress: Progress,
        execution: ExecutionOptions | None = None,
    ) -> None:
        """Keep the plan; ``execution`` says how its stages are trained."""
        self.plan = plan
        self.options: Options = plan.options
        self.progress = progress
        self.records = Records(self.options.runs)
        self.execution = execution or ExecutionOptions()
        self.trainer = Trainer(self.options, device, self.execution)
        self._failed: Mapping[str, str] = {}
        self._open: set[str] = set()

    def execute(self) -> Outcome:
        """Bring every step to a record and return what was done.

        Raises:
            UserError: the disk is full or cannot be written, a store does not match, or this
                machine lacks what a method needs.
        """
        steps = self._in_data_order()
        # Records that are trained anew may be unreadable.
        check(steps if self.execution.fresh else pending(steps, self.records))
        if self.execution.fresh:
            discard(steps, self.records)
        known = self.execution.failed
        self._failed = failures(steps, self.records) if known is None else known
        trained = found = 0
        failed: list[Record] = []
        waiting, told = list(enumerate(steps)), False
        while waiting:
            later, self._open = [], {step.key for _, step in waiting}
            for position, step in waiting:
                record, ours = self._settle(step, position, len(steps))
                if record is None:
                    later.append((position, step))
                elif record.status == "done":
                    trained, found = trained + ours, found + (not ours)
                else:
                    failed.append(record)
                    if ours:  # the command names all at its end
                        self.progress.line(f"failed: {step.title}: {record.error}")
            if len(later) == len(waiting):
                if not told:
                    title = later[0][1].title
                    self.progress.line(f"waiting: another process trains {title}")
                told = True
                time.sleep(POLL)
            waiting = later
        return Outcome(trained=trained, found=found, failed=tuple(failed))

    def _in_data_order(self) -> list[StageRun]:
        """Steps of one data set follow one another: it is loaded once."""
        order = [c.used.name for c in self.plan.columns]
        return sorted(self.plan.stage_runs, key=lambda step: order.index(step.run.dataset))

    def _settle(self, step: StageRun, position: int, total: int) -> tuple[Record | None, bool]:
        """Return the step's record, and whether it was made now; None while others are at it."""
        if (record := self._settled(step.key)) is not None:
            return record, False
        before = step.run.key(step.num_stages - 1) if step.num_stages > 1 else None
        if before in self._open and self._settled(before) is None:
            return None, False
        with claim(self.options.runs, step.key) as ours:
            if not ours:
                return None, False
            if (record := self._settled(step.key)) is not None:
                return record, False
            with self.progress.stage(step.title, position, total):
                return self.trainer.train(step, self.progress), True

    def _settled(self, key: str) -> Record | None:
        """Return a record that need not be made again by this command: done, or failed since."""
        record = self.records.read(key)
        if record is None or record.status == "done":
            return record
        return None if self._failed.get(key) == record.digest else record


def failures(steps: Sequence[StageRun], records: Records) -> dict[str, str]:
    """Return the digests of failed records: these are tried again, later failures are not."""
    found = {step.key: records.read(step.key) for step in steps}
    return {k: r.digest for k, r in found.items() if r is not None and r.status == "failed"}


def check(steps: Sequence[StageRun]) -> None:
    """Refuse a machine that lacks what a step's method needs.

    Raises:
        UserError: it does.
    """
    for step in steps:
        if isinstance(step.stage.method, Prepared):
            step.stage.method.ready()


def pending(steps: Sequence[StageRun], records: Records) -> list[StageRun]:
    """Return the steps that have no finished record."""
    found = [(step, records.read(step.key)) for step in steps]
    return [step for step, record in found if record is None or record.status != "done"]


def discard(steps: Sequence[StageRun], records: Records) -> None:
    """Remove what was made of the steps, to train them anew."""
    for step in steps:
        records.discard(step.key)
        Checkpoints(records.folder, step.key).discard()
