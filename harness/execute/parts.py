"""Parts of a plan: stages of this project's code alone, and those with a user's code.

A user's code can change anything in the process that runs it: replace functions of torch, leave
hooks and threads behind, or end the process. Its stages are therefore trained after the others and
in processes of their own, so that the numbers of the other rows cannot depend on it.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from harness.canonical import types_of
from harness.errors import UserError, listed, text_of
from harness.execute.failure import DeviceLostError
from harness.execute.launch import HERE, LOCAL, LOST, LaunchOptions, Part, WorkerEnd
from harness.execute.stage import Trainer
from harness.interrupt import EndsStage
from harness.plan.plan import Plan, StageRun
from harness.progress import Progress
from harness.sources.modules import is_house_module
from harness.sources.traces import Traces
from harness.spec.described import OncePerObject
from harness.spec.recipe import Stage
from harness.store import interrupted
from harness.store.claim import Claim
from harness.store.owner import holder_of
from harness.store.record import Record

_OWN: OncePerObject[bool] = OncePerObject()
"""Answers by stage: all data sets, splits and seeds of a row have the same."""


def is_own(stage: Stage) -> bool:
    """Whether the settings of a stage are of a type that this project does not ship."""
    own, _ = _OWN.of(
        stage, make=lambda: any(not is_house_module(k.__module__) for k in types_of(stage))
    )
    return own


def part_of(step: StageRun) -> Part:
    """Return the part of a stage: "own" if it, or one that it starts from, has a user's code."""
    chain = step.run.stages[: step.num_stages]
    return "own" if any(is_own(stage) for stage in chain) else "shipped"


def within(steps: Sequence[StageRun], part: Part) -> list[StageRun]:
    """Return the stages of a part, in their order."""
    return [step for step in steps if part in ("all", part_of(step))]


def split(steps: Sequence[StageRun]) -> list[tuple[Part, list[StageRun]]]:
    """Return the parts that have stages, in the order in which they are trained."""
    order: tuple[Part, ...] = ("shipped", "own")
    found = [(part, within(steps, part)) for part in order]
    return [(part, inside) for part, inside in found if inside]


def apart(options: LaunchOptions) -> LaunchOptions:
    """Return how a user's code is started: in a process of its own, also with one job.

    It stays in this process where ``--launcher here`` asks for that, as a debugger needs, and where
    there is no command that another process could be given: for a table that is a value of Python,
    as in a notebook.
    """
    if options.launcher is None and options.name == HERE and options.arguments:
        return replace(options, launcher=LOCAL)
    return options


class Rounds:
    """Notices where one worker after the other ends without coming any further."""

    MOST = 10
    """Workers that may end at one stage, each a few epochs further than the one before."""

    def __init__(self, runs: Path) -> None:
        """Begin to look into a run store."""
        self._runs = runs
        self._seen: dict[str, int | None] = {}
        self._count = 0

    def stuck(self, left: Sequence[StageRun]) -> bool:
        """Whether the same stages are left as after the round before, and none is further."""
        keys = {step.key for step in left}
        epochs = {one.key: one.epoch for one in interrupted.find(self._runs) if one.key in keys}
        now = {key: epochs.get(key) for key in keys}
        same, further = now.keys() == self._seen.keys(), now != self._seen
        self._count = self._count + 1 if same else 1
        self._seen = now
        return same and (not further or self._count > self.MOST)

    def goes_on(self, end: WorkerEnd, left: Sequence[StageRun]) -> bool:
        """Whether another worker may do better than one that has ended, or shows its stage's fault.

        One that has told an error before it began a stage would tell it again.
        """
        return end.code not in (2, LOST) or self.held(left, end.pid) is not None

    def held(self, left: Sequence[StageRun], pid: int | None) -> StageRun | None:
        """Return the stage that a worker had claimed when it ended; None for none.

        Args:
            left: the stages that are neither trained nor have failed.
            pid: process id of the worker; None if unknown.
        """
        for step in left:
            holder = holder_of(self._runs, step.key)
            if holder is not None and not holder.lives and holder.owner.pid == pid:
                return step
        return None

    def at(self, plan: Plan, left: Sequence[StageRun], pid: int | None) -> StageRun:
        """Return the stage at which a worker has ended: see ``held``, else the first one left."""
        order = [column.used.name for column in plan.columns]
        return self.held(left, pid) or min(left, key=lambda step: order.index(step.run.dataset))


class LeftBehindError(EndsStage):
    """A stage is trained, and its code has left in the process what would reach the next one."""


class OtherCodeError(EndsStage):
    """The next stage has other code of a user than those that were trained in this process."""


class BrokenProcessError(EndsStage):
    """A stage of a user's code has ended with an error that was no error of the stage.

    The process, or what the code has done to it, may be the reason: another one has to show it.
    """


class _LookingTrainer(Trainer):
    """A trainer of one user's method; it ends its process before a stage of another one.

    Most of what a method leaves behind cannot be found, so that two of them share no process. It
    ends, too, after a stage that has left what is found, for the method's own further stages.
    """

    _code: tuple[frozenset[type], ...] = ()

    def train(self, step: StageRun, progress: Progress, claim: Claim | None = None) -> Record:
        """Train a stage; see ``Trainer.train``.

        Raises:
            LeftBehindError: the record is written, and no other stage is to be trained here.
            OtherCodeError: nothing is done, since another method was trained here.
            BrokenProcessError: there is no record.
        """
        stages = step.run.stages[: step.num_stages]
        code = tuple(
            frozenset(kind for kind in types_of(stage) if not is_house_module(kind.__module__))
            for stage in stages
        )
        both = min(len(code), len(self._code))  # a fine-tuning goes on where its chain is the same
        if code[:both] != self._code[:both]:
            raise OtherCodeError(step.title)
        self._code = max(code, self._code, key=len)
        try:
            before = Traces.now()
            record = super().train(step, progress, claim)
            found = before.left(Traces.now())
        except (EndsStage, DeviceLostError):
            raise
        except Exception as error:
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            raise BrokenProcessError(f"{step.title}: {kind}{text_of(error)}") from error
        if found:
            raise LeftBehindError(f"{step.title}: {listed(found[:3])}")
        return record


def trainer_of(part: Part) -> type[Trainer]:
    """Return what trains the stages of a part in a worker."""
    return _LookingTrainer if part == "own" else Trainer


@contextlib.contextmanager
def own_streams(part: Part) -> Iterator[None]:
    """Show what a user's code prints in a worker on standard error; it has nothing to read.

    Standard input of a worker is the pipe from its command, and standard output is not shown.
    """
    if part != "own":
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        before, sys.stdin = sys.stdin, io.StringIO()
        try:
            yield
        finally:
            sys.stdin = before
