"""Estimate of a training process's memory, and a check that several processes fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from harness import console, surroundings
from harness.canonical import digest
from harness.cost.memory import Memory, of_step
from harness.cost.passes import StagePasses
from harness.cost.stage import META
from harness.data import registry
from harness.data.parts import USES, part_name, part_size
from harness.errors import UserError, listed
from harness.execute.counted import dataset_of
from harness.execute.failure import FAILURES, let_through, packages_of
from harness.execute.output import OutputLimit
from harness.plan.plan import Plan, StageRun, training_images
from harness.sources import user_frames
from harness.spec.profile import OVERSAMPLING
from harness.train.pixels import free_memory

BASE = {"cpu": 500e6, "cuda": 600e6}
"""Bytes of a process before it trains: its imports, or its CUDA context."""

OPTIMIZER = 2
"""Copies of the parameters that AdamW stores: first and second moments."""

COPY = {"cpu": 1 + OPTIMIZER, "cuda": 0}
"""Multiple of the parameters that the copy of a state takes from which a thread writes it; that of
a GPU's state is in the host's memory."""

PRECISION = {"cpu": 1.0, "cuda": 0.5}
"""Factor on the bytes of float32 activations: under bfloat16 most of them are halved."""


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Estimated memory of one training process, in bytes.

    Attributes:
        base: of the process before it trains.
        images: of the largest data set that it loads.
        step: of the largest training step: weights, gradients, optimiser, activations, and the copy
            of the state that is written meanwhile.
    """

    base: float
    images: float
    step: float

    @property
    def total(self) -> float:
        """Sum of all parts."""
        return self.base + self.images + self.step


def check_placed(
    jobs: int, need: MemoryEstimate, device: torch.device, devices: Sequence[str]
) -> None:
    """Check that several processes fit into the free memory of each device that they train on.

    Args:
        jobs: number of processes.
        need: memory of each.
        device: trains, where none are named.
        devices: name of the device of each process, where this process sees these alone; empty
            where all train on ``device``.

    Raises:
        UserError: the processes of a device do not fit.
    """
    if device.type != "cuda" or not devices:
        check(jobs, need, *free_memory(device))
        return
    for number, name in enumerate(dict.fromkeys(devices)):
        free, _ = free_memory(torch.device("cuda", number))
        where = f"the memory of device {name}"
        check(devices.count(name), need, free, where, option="--jobs-per-device")


def check(
    jobs: int, need: MemoryEstimate, free: float, where: str, *, option: str = "--jobs"
) -> None:
    """Check that several processes fit into the free memory; a single one is always allowed.

    Args:
        jobs: number of processes.
        need: memory of each.
        free: free bytes.
        where: name of the memory, for the message.
        option: that chooses how many there are, likewise.

    Raises:
        UserError: the processes do not fit.
    """
    if jobs == 1 or jobs * need.total <= free:
        return
    most = max(1, int(free / need.total))
    raise UserError(
        f"{option} {jobs} needs about {_gb(jobs * need.total)} ({jobs} x {_gb(need.total)}: process"
        f" {_gb(need.base)}, images {_gb(need.images)}, largest step {_gb(need.step)}), but"
        f" {_gb(free)} of {where} are free; choose at most {option} {most}, or"
        " --micro-batch N."
    )


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


def estimate(
    plan: Plan, steps: Sequence[StageRun], device: torch.device, micro_batch: int | None
) -> MemoryEstimate:
    """Estimate the memory of a process that trains any of the stages.

    Args:
        plan: the stages' plan.
        steps: the stages.
        device: trains them.
        micro_batch: images whose gradient is computed at once; None for the whole batch.
    """
    own = [step for step in steps if user_frames.packages_of([step.stage.method])]
    if own:  # this process does not run what may end it
        names = sorted({type(step.stage.method).__qualname__ for step in own})
        console.warn(f"memory is not estimated of methods that do not ship: {listed(names)}")
    shipped = [step for step in _distinct(steps) if step not in own]
    return MemoryEstimate(
        base=BASE[device.type],
        images=max((_images(plan, name) for name in {s.run.dataset for s in steps}), default=0),
        step=max((_step(plan, step, device, micro_batch) for step in shipped), default=0),
    )


def _distinct(steps: Sequence[StageRun]) -> list[StageRun]:
    """Return one of each group of stages that differ only in their seed."""
    # By digest: settings that hold a mapping have no hash.
    return list({(digest(step.stage), step.run.dataset): step for step in steps}.values())


def _images(plan: Plan, name: str) -> float:
    """Return the bytes of a loaded data set: uint8, (images, channels, side, side), and masks."""
    profile = plan.options.profile
    manifest, split = next((c.manifest, c.split) for c in plan.columns if c.used.name == name)
    counts = {part_name(split, use): part_size(manifest, split, profile, use) for use in USES}
    side = min(manifest.size, OVERSAMPLING * profile.backbones.image_size)
    # One more channel for masks, also for data sets without any: the estimate is an upper bound.
    return sum(counts.values()) * (registry.find(name, plan.options.data).channels + 1) * side**2


def _step(plan: Plan, step: StageRun, device: torch.device, micro_batch: int | None) -> float:
    """Return the bytes of a training step with its optimiser; 0 if they cannot be counted."""
    batch = min(step.stage.recipe.batch_size, micro_batch or step.stage.recipe.batch_size)
    dataset = dataset_of(step, training_images(plan, step.run), plan.options.data)
    try:
        with surroundings.kept(), OutputLimit(packages_of(step)).watching():
            work = StagePasses(step.stage, dataset, plan.options.profile.backbones, META, batch)
            memory: Memory = of_step(work.task, work.training(), work.images)
    except FAILURES as failure:
        let_through(failure)
        return 0.0
    weights = 2 * memory.parameters  # parameters and their gradients
    activations = max(0, memory.peak - weights) * PRECISION[device.type]
    return activations + weights + (OPTIMIZER + COPY[device.type]) * memory.parameters
