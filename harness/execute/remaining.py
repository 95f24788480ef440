"""Time left of a plan: counted work of each stage, at the speed that was measured for its kind.

A kind of stage (method and batch) that this device has trained is foreseen at its own seconds per
image; every other one by its FLOPs, at the seconds per FLOP of those that were. FLOPs are counted
only for these, and only after ``PATIENCE``. Other processes that train stages of the plan share
the rest; that a stage has to wait for the one before it is not considered.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from harness import provenance, surroundings
from harness.canonical import digest
from harness.check.handed import Handed
from harness.data import registry
from harness.execute import parts
from harness.execute.failure import FAILURES, let_through, packages_of
from harness.plan.options import Options
from harness.plan.plan import Plan, StageRun, training_images
from harness.sources import leaving
from harness.store import status
from harness.store.record import Record, Records
from harness.store.result import Device

PATIENCE = 30.0
"""Seconds of a command after which FLOPs are counted: that takes about a second per kind."""

EVERY = 5.0
"""Seconds for which what the run store says is believed."""

_COUNTED: dict[str, float | None] = {}
"""FLOPs per image by kind, None where they cannot be counted; trials of a sweep share them."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """Work of a stage.

    Attributes:
        step: the stage.
        kind: stages of one kind take equally long per image.
        images: trained on in all epochs.
        epochs: of the stage.
        chain: keys of the stages before it.
    """

    step: StageRun
    kind: str
    images: int
    epochs: int
    chain: tuple[str, ...]


class PlanTime:
    """Estimates the seconds left of a plan while one of its stages is trained."""

    def __init__(
        self,
        plan: Plan,
        steps: Sequence[StageRun],
        records: Records,
        device: torch.device,
        again: Mapping[str, str],
    ) -> None:
        """Begin the command's time; nothing is counted yet.

        Args:
            plan: the plan.
            steps: its stages, in the order in which they are trained.
            records: of the run store.
            device: that trains.
            again: digests by key of the records whose stages are trained again.
        """
        self._options, self._records = plan.options, records
        self._steps, self._plan, self._again = steps, plan, again
        self._device = Device(**provenance.device_facts(device))
        self._loads: dict[str, Load] = {}
        self._began = self._looked = time.monotonic()
        self._done: set[str] = set()
        self._sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._seconds: dict[str, tuple[float, int]] = {}
        self._others: tuple[float, ...] = ()
        self._pending: tuple[Load, ...] = ()
        self._current: Load | None = None

    @contextlib.contextmanager
    def of(self, step: StageRun) -> Iterator[None]:
        """Estimate during the block from this stage, which is trained in it."""
        if not self._loads:
            self._loads = {s.key: _load(self._plan, s) for s in self._steps}
        self._current, self._looked = self._loads[step.key], 0.0
        try:
            yield
        finally:
            self._current = None

    def left(self, each: float, epochs: int) -> float | None:
        """Return the seconds until the plan's last stage ends; None while they are unknown.

        Args:
            each: seconds of an epoch of the stage that is trained.
            epochs: that it has left.
        """
        current = self._current
        if current is None:
            return None
        now = time.monotonic()
        if not self._looked or now - self._looked > EVERY:
            self._look(current)
            self._looked = now
        measured = dict(self._seconds)
        here = current.images // current.epochs
        measured[current.kind] = (each, here)
        waiting = []
        for load in self._pending:
            seconds = self._foreseen(load, measured, now)
            if seconds is None:
                return None
            waiting.append(seconds)
        return makespan([each * epochs, *self._others], waiting)

    def _foreseen(
        self, load: Load, measured: dict[str, tuple[float, int]], now: float
    ) -> float | None:
        """Return the seconds of a stage that waits."""
        if load.kind in measured:
            seconds, images = measured[load.kind]
            return seconds / images * load.images
        if now - self._began < PATIENCE:
            return None
        by_kind = {other.kind: other for other in self._loads.values()}
        counted = {kind: self._flops(by_kind[kind]) for kind in measured}
        known = {kind: flops for kind, flops in counted.items() if flops}
        flops = self._flops(load)
        if flops and known:
            work = sum(flops * measured[kind][1] for kind, flops in known.items())
            return sum(measured[kind][0] for kind in known) / work * flops * load.images
        # What cannot be counted takes as long per image as the others do.
        return (
            sum(s for s, _ in measured.values())
            / sum(n for _, n in measured.values())
            * (load.images)
        )

    def _flops(self, load: Load) -> float | None:
        if load.kind not in _COUNTED:
            _COUNTED[load.kind] = _count(load, self._options)
        return _COUNTED[load.kind]

    def _look(self, current: Load) -> None:
        """Read what is finished, what others train, and what is left."""
        failed = set()
        # The folder is listed once: of thousands of stages, most have no record yet.
        for key in self._records.recorded() & (self._loads.keys() - self._done):
            record = self._records.read(key)
            if record is None or self._again.get(key) == record.digest:
                continue
            if record.status == "done":
                self._done.add(key)
                self._count_seconds(self._loads[key], record)
            else:
                failed.add(key)
        self._seconds = {kind: (s, round(images)) for kind, (s, images) in self._sums.items()}
        running = {stage.key: stage for stage in status.running(self._records.folder)}
        running.pop(current.step.key, None)
        others = [stage for key, stage in running.items() if key in self._loads]
        now = time.time()
        self._others = tuple(stage.seconds_left(now) or 0.0 for stage in others)
        taken = self._done | running.keys() | {current.step.key}
        self._pending = tuple(
            load
            for key, load in self._loads.items()
            if key not in taken
            if not failed.intersection((key, *load.chain))
        )

    def _count_seconds(self, load: Load, record: Record) -> None:
        """Add a finished stage to the seconds and images of its kind, if they say this device's."""
        if record.provenance.device == self._device and record.provenance.attempts is None:
            self._sums[load.kind][0] += record.provenance.seconds
            self._sums[load.kind][1] += load.images


def makespan(busy: Sequence[float], waiting: Sequence[float]) -> float:
    """Return when all is done, if whoever is free first takes the next that waits.

    Args:
        busy: seconds until each worker is free.
        waiting: seconds that each waiting stage takes.
    """
    free = list(busy)
    heapq.heapify(free)
    for seconds in waiting:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def _load(plan: Plan, step: StageRun) -> Load:
    stage, backbones = step.stage, plan.options.profile.backbones
    return Load(
        step=step,
        kind=digest([stage.method, stage.recipe.batch_size, repr(backbones)]),
        images=training_images(plan, step.run) * stage.recipe.epochs,
        epochs=stage.recipe.epochs,
        chain=tuple(step.run.key(count) for count in range(1, step.num_stages)),
    )


def _count(load: Load, options: Options) -> float | None:
    """Return the FLOPs of a training step per image; None if they cannot be counted.

    A user's method is not counted: it would run in the process that trains another stage.
    """
    if parts.is_own(load.step.stage):
        return None
    from harness.cost import estimate

    dataset = registry.find(load.step.run.dataset, options.data)
    counted = dataclasses.replace(
        dataset, sizes={**dataset.sizes, "train": load.images // load.epochs}
    )
    try:
        handed = Handed(load.step.stage.method, options.profile.backbones)
        stage = dataclasses.replace(load.step.stage, method=handed.method)
        with surroundings.kept(), leaving.refused(packages_of(load.step)):
            return estimate.size(stage, counted, handed.backbones).flops
    except FAILURES as failure:  # also a user's method, which need not be countable
        let_through(failure)
        return None
