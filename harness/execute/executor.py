"""Train each unique stage of a plan once and write its record; a failure is recorded, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch

from harness import files
from harness.errors import Damaged
from harness.execute import lacking, parts
from harness.execute.crashed import Crashes
from harness.execute.execution import ExecutionOptions
from harness.execute.failure import DeviceLostError
from harness.execute.folders import Folders
from harness.execute.launch import Part
from harness.execute.others import Others
from harness.execute.remaining import PlanTime
from harness.execute.stage import Trainer
from harness.execute.watch import StageWatch, watched
from harness.plan.options import Options
from harness.plan.plan import Plan, StageRun
from harness.progress import Progress
from harness.store import maps, weights
from harness.store.checkpoint import Checkpoints
from harness.store.claim import Claim, ClaimLost, claim
from harness.store.owner import holder_of
from harness.store.record import Record, Records

MOST_LOSSES = 3
"""Times that a stage loses its claim to nobody before it has failed."""

POLL = 2.0
"""Seconds between checks of stages that other processes are training."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of executing a plan.

    Attributes:
        trained: number of stages trained by this command.
        found: number of stages whose records were finished already.
        failed: records of the stages that failed in this command.
        refused: a line per missing package that says which rows were left out for it.
        device_lost: the last of them failed so that this process can train no other stage.
    """

    trained: int
    found: int
    failed: tuple[Record, ...]
    refused: tuple[str, ...] = ()
    device_lost: bool = False


class StageTrainer(Protocol):
    """Interface that trains one stage and returns its record; see ``Trainer``."""

    def train(self, step: StageRun, progress: Progress, claim: Claim | None) -> Record:
        """Train a stage whose predecessors are done, and return its record."""


class Executor:
    """Train the missing stages of plans, one after the other, on one device.

    A stage that another process is training is postponed, and waited for only when no other stage
    is left. Loaded data are kept from one plan to the next under the same options.
    """

    def __init__(
        self,
        device: torch.device,
        execution: ExecutionOptions | None = None,
        trainer: Callable[[Options, torch.device, ExecutionOptions], StageTrainer] = Trainer,
    ) -> None:
        """Create an executor that has no data loaded.

        Args:
            device: trains every stage.
            execution: how stages are trained; None for the defaults.
            trainer: makes the object that trains single stages; replaced in tests only.
        """
        self._device = device
        self._execution = execution or ExecutionOptions()
        self._make_trainer = trainer
        self._last_trainer: tuple[Options, StageTrainer] | None = None

    def execute(self, plan: Plan, progress: Progress, part: Part = "all") -> Outcome:
        """Train every stage of a plan that has no finished record, and return the counts.

        Args:
            plan: what is trained.
            progress: shows it.
            part: of the plan that is trained; the others' stages are left alone.

        Raises:
            UserError: the disk is full or cannot be written, a store does not match, or this
                machine lacks what a method needs.
        """
        folders = Folders.of(plan.options)
        with folders.told():
            return self._execute(replace(plan, options=folders.options), progress, folders, part)

    def _execute(self, plan: Plan, progress: Progress, folders: Folders, part: Part) -> Outcome:
        """Train the stages of a plan whose folders are absolute."""
        steps, records = parts.within(_in_data_order(plan), part), Records(plan.options.runs)
        missing = pending(steps, records)
        check(missing)
        retried = self._execution.failed
        if retried is None:
            retried = failures(steps, records)
        anew = {**retried, **_damaged(missing, records)}
        rest = PlanTime(plan, _in_data_order(plan), records, self._device, anew)
        progress.foresee(rest.left)
        runner = _StageRunner(
            steps={step.key: step for step in plan.stage_runs},
            records=records,
            trainer=self._trainer(folders.typed),
            progress=progress,
            watch=self._execution.watch,
            retried=retried,
            rest=rest,
            folders=folders,
            options=plan.options,
            device=self._device,
        )
        trained = finished_before = 0
        failed: list[Record] = []
        waiting, announced = list(enumerate(steps)), Others(plan.options.runs, progress)
        while waiting:
            postponed, unrecorded = [], {step.key for _, step in waiting}
            for position, step in waiting:
                try:
                    record, ours = runner.record_of(step, position, len(steps), unrecorded)
                except DeviceLostError as error:
                    progress.line(f"failed: {step.title}: {error.record.error}")
                    self._last_trainer = None  # frees what it still holds on the device
                    return Outcome(
                        trained=trained,
                        found=finished_before,
                        failed=(*failed, error.record),
                        device_lost=True,
                    )
                if record is None:
                    postponed.append((position, step))
                elif record.status == "done":
                    trained, finished_before = trained + ours, finished_before + (not ours)
                else:
                    failed.append(record)
                    if ours:  # the command lists all failures at its end
                        progress.line(f"failed: {step.title}: {record.error}")
            if len(postponed) == len(waiting):  # other processes train all that are left
                announced.look([step for _, step in postponed])
                time.sleep(POLL)
            waiting = postponed
        again = len(set(runner.again))  # found done, and trained once more for their weights
        return Outcome(trained=trained + again, found=finished_before - again, failed=tuple(failed))

    def _trainer(self, options: Options) -> StageTrainer:
        if self._last_trainer is None or self._last_trainer[0] != options:
            self._last_trainer = None  # frees its data: two sets might not fit into memory
            self._last_trainer = (
                options,
                self._make_trainer(options, self._device, self._execution),
            )
        return self._last_trainer[1]


@dataclass(frozen=True, kw_only=True)
class _StageRunner:
    """Read or train single stages.

    Attributes:
        steps: the plan's stages by key.
        records: the run store's records.
        trainer: trains a stage.
        progress: shows each stage.
        watch: is told of each stage.
        retried: digests by key of the failed records that are trained again; a failed record with
            another digest is a result of this command and is not.
        rest: estimates the time left of the plan, from the stage that is trained.
        folders: of the command.
        again: keys of the finished stages that were trained once more.
        losses: how often a stage's claim was lost to nobody, by key.
        options: of the plan.
        device: that trains.
    """

    steps: Mapping[str, StageRun]
    records: Records
    trainer: StageTrainer
    progress: Progress
    watch: StageWatch
    retried: Mapping[str, str]
    rest: PlanTime
    folders: Folders
    options: Options
    device: torch.device
    again: list[str] = field(default_factory=list)
    losses: dict[str, int] = field(default_factory=dict)

    def record_of(
        self, step: StageRun, position: int, total: int, unrecorded: Collection[str]
    ) -> tuple[Record | None, bool]:
        """Return a stage's record, and whether it was trained here; None while others train it.

        Args:
            step: the stage.
            position: its place among all stages, from 0 on, for the display.
            total: number of stages, for the display.
            unrecorded: keys of the stages that had no record when this round began.
        """
        if (record := self._final_record(step.key)) is not None:
            if record.status == "done":
                self._tidy(step.key)
            return record, False
        before = step.run.key(step.num_stages - 1) if step.num_stages > 1 else None
        if before is not None and before in unrecorded and self._final_record(before) is None:
            return None, False
        if before is not None and not self._has_weights(before, position, total):
            return None, False
        return self._trained(step, position, total)

    def _tidy(self, key: str) -> None:
        """Remove the claim and states of a process that was killed after its record was written."""
        checkpoints = Checkpoints(self.records.folder, key)
        left = (checkpoints.state_path, self.records.folder / "claims" / f"{key}.json")
        if any(path.exists() for path in left):
            with claim(self.records.folder, key) as ours:
                if ours is not None:
                    checkpoints.discard_state()

    def _trained(
        self, step: StageRun, position: int, total: int, *, anew: bool = False
    ) -> tuple[Record | None, bool]:
        """Train a stage unless another process does; ``anew`` even if it has a record."""
        before = holder_of(self.records.folder, step.key)
        lost = False
        with claim(self.records.folder, step.key) as ours:
            if ours is None:
                return None, False
            if before is not None and not before.lives:
                self.progress.line(f"taken over: {step.title}, from {before.said()}")
            if not anew and (record := self._final_record(step.key)) is not None:
                return record, False
            for aside in self.records.set_aside(step.key):
                kept = self.folders.text(str(aside))
                self.progress.line(f"a damaged file is kept as {kept}; its stage is trained again")
            try:
                shown = self.progress.stage(step.title, position, total)
                with shown, self.rest.of(step), watched(self.watch, step) as ended:
                    made = self.trainer.train(step, self.progress, ours)
                    ended(made)
                return made, True
            except ClaimLost:
                lost = True
        if lost and (other := holder_of(self.records.folder, step.key)) is not None and other.lives:
            self.progress.line(f"another process has taken over {step.title}")
        elif lost:
            if self._has_lost(step):
                return self._final_record(step.key), False
            return self._trained(step, position, total, anew=anew)
        return None, False

    def _has_lost(self, step: StageRun) -> bool:
        """Note that a stage's claim is gone and nobody else has it; whether it has failed for that.

        The files of claims and checkpoints are being deleted while it is trained.
        """
        self.losses[step.key] = self.losses.get(step.key, 0) + 1
        if self.losses[step.key] < MOST_LOSSES:
            self.progress.line(f"the claim on {step.title} is gone; it is trained again")
            return False
        crashes = Crashes(self.steps.values(), self.options, self.device)
        what = f"its claim was deleted {MOST_LOSSES} times, and no other process has taken it over"
        rest = f"something deletes the files in {self.folders.text(str(self.records.folder))}"
        crashes.failed(step, what, rest)
        return True

    def _has_weights(self, key: str, position: int, total: int) -> bool:
        """Make sure of the final weights of the stage before; train it again if they are damaged.

        Returns:
            False while another process trains that stage, or where it failed now.
        """
        record = self.records.read(key)
        if record is None or record.status != "done":
            return True  # the stage that needs it fails with the reason
        try:
            weights.check(self.records.folder, key, record.finished.weights, again=False)
        except Damaged as damaged:
            path = weights.find(self.records.folder, key)
            kept = f" (kept as {files.set_aside(path)})" if path.exists() else ""
            text = f"{damaged.path} {damaged.what}{kept}; its stage is trained again"
            self.progress.line(self.folders.text(text))
            made, _ = self._trained(self.steps[key], position, total, anew=True)
            if made is not None:
                self.again.append(key)
            return made is not None
        return True

    def _final_record(self, key: str) -> Record | None:
        """Return the record if it is done or failed during this command; otherwise None."""
        record = self.records.read(key)
        if record is not None and record.status == "done":
            return self.records.finished(key)
        return None if record is None or self.retried.get(key) == record.digest else record


def _in_data_order(plan: Plan) -> list[StageRun]:
    """Return a plan's stages grouped by data set, so that each data set is loaded once."""
    order = [c.used.name for c in plan.columns]
    return sorted(plan.stage_runs, key=lambda step: order.index(step.run.dataset))


def failures(steps: Sequence[StageRun], records: Records) -> dict[str, str]:
    """Return the digests of the stages' failed records by key."""
    by_key = {step.key: records.read(step.key) for step in steps}
    return {k: r.digest for k, r in by_key.items() if r is not None and r.status == "failed"}


def _damaged(missing: Sequence[StageRun], records: Records) -> dict[str, str]:
    """Return the digests by key of finished records whose stages are trained again."""
    by_key = {step.key: records.read(step.key) for step in missing}
    return {key: r.digest for key, r in by_key.items() if r is not None and r.status == "done"}


def check(steps: Sequence[StageRun]) -> None:
    """Check that this machine has the packages and files that the stages' methods need.

    Raises:
        UserError: something is missing.
    """
    for step in steps:
        lacking.check(step.stage.method)


def pending(steps: Sequence[StageRun], records: Records) -> list[StageRun]:
    """Return the stages that have no finished record."""
    return [step for step in steps if records.finished(step.key) is None]


def discard(steps: Sequence[StageRun], records: Records) -> None:
    """Delete the records and checkpoints of stages, so that they are trained anew."""
    for step in steps:
        records.discard(step.key)
        maps.path_of(records.folder, step.key).unlink(missing_ok=True)
        Checkpoints(records.folder, step.key).discard()
