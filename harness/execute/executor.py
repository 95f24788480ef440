"""Execute a plan: each unique stage once, one record each; failures stay with their run."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

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


class StageTrainer(Protocol):
    """What trains one stage at a time."""

    def train(self, step: StageRun, progress: Progress) -> Record:
        """Return the record of a stage whose predecessors are done."""


class Executor:
    """Train what plans lack, one stage after the other, on one device.

    A stage that another process trains is put off, and only waited for when no other is free.
    Loaded data are kept from one plan to the next under the same options.
    """

    def __init__(
        self,
        device: torch.device,
        execution: ExecutionOptions | None = None,
        trainer: Callable[[Options, torch.device, ExecutionOptions], StageTrainer] = Trainer,
    ) -> None:
        """Keep how stages are trained; only tests give another ``trainer``."""
        self._device = device
        self._execution = execution or ExecutionOptions()
        self._make_trainer = trainer
        self._kept: tuple[Options, StageTrainer] | None = None

    def execute(self, plan: Plan, progress: Progress) -> Outcome:
        """Bring every step of a plan to a record and return what was done.

        Raises:
            UserError: the disk is full or cannot be written, a store does not match, or this
                machine lacks what a method needs.
        """
        steps, records = _in_data_order(plan), Records(plan.options.runs)
        check(pending(steps, records))
        known = self._execution.failed
        settler = _Settler(
            records=records,
            trainer=self._trainer(plan.options),
            progress=progress,
            failed=failures(steps, records) if known is None else known,
        )
        trained = found = 0
        failed: list[Record] = []
        waiting, told = list(enumerate(steps)), False
        while waiting:
            later, unsettled = [], {step.key for _, step in waiting}
            for position, step in waiting:
                record, ours = settler.settle(step, position, len(steps), unsettled)
                if record is None:
                    later.append((position, step))
                elif record.status == "done":
                    trained, found = trained + ours, found + (not ours)
                else:
                    failed.append(record)
                    if ours:  # the command names all at its end
                        progress.line(f"failed: {step.title}: {record.error}")
            if len(later) == len(waiting):
                if not told:
                    progress.line(f"waiting: another process trains {later[0][1].title}")
                told = True
                time.sleep(POLL)
            waiting = later
        return Outcome(trained=trained, found=found, failed=tuple(failed))

    def _trainer(self, options: Options) -> StageTrainer:
        if self._kept is None or self._kept[0] != options:
            self._kept = None  # the data of two trainers need not fit into memory together
            self._kept = (options, self._make_trainer(options, self._device, self._execution))
        return self._kept[1]


@dataclass(frozen=True, kw_only=True)
class _Settler:
    """Bring single steps to a record; ``failed`` are digests of failures that are tried again."""

    records: Records
    trainer: StageTrainer
    progress: Progress
    failed: Mapping[str, str]

    def settle(
        self, step: StageRun, position: int, total: int, unsettled: Collection[str]
    ) -> tuple[Record | None, bool]:
        """Return the step's record, and whether it was made now; None while others are at it.

        Args:
            step: to be settled.
            position: among ``total`` steps.
            total: number of steps.
            unsettled: keys of steps that had no record when this round began.
        """
        if (record := self._settled(step.key)) is not None:
            return record, False
        before = step.run.key(step.num_stages - 1) if step.num_stages > 1 else None
        if before is not None and before in unsettled and self._settled(before) is None:
            return None, False
        with claim(self.records.folder, step.key) as ours:
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
        return None if self.failed.get(key) == record.digest else record


def _in_data_order(plan: Plan) -> list[StageRun]:
    """Return a plan's steps so that those of one data set follow one another: it is loaded once."""
    order = [c.used.name for c in plan.columns]
    return sorted(plan.stage_runs, key=lambda step: order.index(step.run.dataset))


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
