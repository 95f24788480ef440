"""How many processes fit into the memory that is free: estimated before any of them starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from harness.cost.memory import Memory, of_step
from harness.cost.passes import StagePasses
from harness.cost.stage import META
from harness.data import registry
from harness.data.parts import USES, part_name, part_size
from harness.errors import UserError
from harness.execute.stage import FAILURES, dataset_of
from harness.plan.plan import Plan, StageRun, training_images
from harness.train.images import OVERSAMPLING

BASE = {"cpu": 500e6, "cuda": 600e6}
"""Bytes of a process that trains nothing: its imports, or its CUDA context."""

OPTIMIZER = 2
"""Copies of the parameters that AdamW keeps."""

PRECISION = {"cpu": 1.0, "cuda": 0.5}
"""Share of a step's float32 activations: under bfloat16 most are halved."""


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Estimated bytes of one process: its base, its largest data set and its largest step."""

    base: float
    images: float
    step: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.base + self.images + self.step


def check(jobs: int, need: MemoryEstimate, free: float, where: str) -> None:
    """Refuse more processes than fit.

    Args:
        jobs: how many would run.
        need: of each.
        free: bytes.
        where: the memory in words.

    Raises:
        UserError: they do not fit; one always may try.
    """
    if jobs == 1 or jobs * need.total <= free:
        return
    most = max(1, int(free / need.total))
    raise UserError(
        f"--jobs {jobs} needs about {_gb(jobs * need.total)} ({jobs} x {_gb(need.total)}: process"
        f" {_gb(need.base)}, images {_gb(need.images)}, largest step {_gb(need.step)}), but"
        f" {_gb(free)} of {where} are free; choose at most --jobs {most}, or --micro-batch N."
    )


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


def free(device: torch.device) -> tuple[float, str]:
    """Return the bytes that are free where training happens, and that memory's name."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0]), "the GPU's memory"
    import psutil

    return float(psutil.virtual_memory().available), "this machine's memory"


def estimate(
    plan: Plan, steps: Sequence[StageRun], device: torch.device, micro_batch: int | None
) -> MemoryEstimate:
    """Estimate what a process needs for the largest of the steps."""
    return MemoryEstimate(
        base=BASE[device.type],
        images=max((_images(plan, name) for name in {s.run.dataset for s in steps}), default=0),
        step=max((_step(plan, step, device, micro_batch) for step in _distinct(steps)), default=0),
    )


def _distinct(steps: Sequence[StageRun]) -> list[StageRun]:
    """Leave out steps that differ in their seed alone."""
    return list({(step.stage, step.run.dataset): step for step in steps}.values())


def _images(plan: Plan, name: str) -> float:
    """Return the bytes of what is held of a data set, with masks where it has some."""
    profile, split = plan.options.profile, plan.options.split
    manifest = next(c.manifest for c in plan.columns if c.used.name == name)
    counts = {part_name(split, use): part_size(manifest, split, profile, use) for use in USES}
    side = min(manifest.size, OVERSAMPLING * profile.backbones.image_size)
    # One more channel for the masks.
    return sum(counts.values()) * (registry.find(name).channels + 1) * side**2


def _step(plan: Plan, step: StageRun, device: torch.device, micro_batch: int | None) -> float:
    """Return the bytes of a training step with its optimiser; 0 where it cannot be counted."""
    batch = min(step.stage.recipe.batch_size, micro_batch or step.stage.recipe.batch_size)
    dataset = dataset_of(step, training_images(plan, step.run))
    try:
        work = StagePasses(step.stage, dataset, plan.options.profile.backbones, META, batch)
        found: Memory = of_step(work.task, work.training(), work.images)
    except FAILURES:
        return 0.0
    weights = 2 * found.parameters  # with gradients
    activations = max(0, found.peak - weights) * PRECISION[device.type]
    return activations + weights + OPTIMIZER * found.parameters
