"""What a plan still has to do: FLOPs of its missing stages, the disk they fill, hours at a rate.

Counted on shapes: the training step of a stage's last epoch, per image, times images and epochs.
Looks for attention maps and the evaluation after each epoch are not in it; a look costs a forward
pass over all training images, an evaluation one over those that are reported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harness import seed
from harness.canonical import digest
from harness.cost import conventions
from harness.cost.count import UncountedError, count
from harness.cost.passes import StagePasses
from harness.data import registry
from harness.data.parts import part_size
from harness.errors import UserError
from harness.plan.plan import Plan
from harness.plan.summary import StageWork
from harness.spec.backbones import BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import NeedsMasks, Stage

CONVENTION = "torch-flops"
"""Two a multiplication with its addition, attention products included: what rates are given in."""

RECORD_BYTES, EPOCH_BYTES = 8_000, 1_000
"""Of a record, and of its history an epoch, as found in records."""

NAME_BYTES = 24
"""Of an image's name and label in the file of predictions."""

MOMENTS = {"adamw": 2, "adam": 2, "sgd": 1, "lars": 1}
"""What an optimiser keeps for each trained parameter, in its size; only the state has it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """What a stage is: FLOPs of a training step an image, bytes of weights and of moments."""

    flops: float
    weights: int
    moments: int


def size(stage: Stage, dataset: Dataset, backbones: BackboneSizes) -> Size:
    """Count a stage at its recipe's batch, on shapes alone.

    Raises:
        UserError: it cannot be built or trained on such data, or an operator has no formula.
    """
    with seed.third_party("cost", "count"):
        work = StagePasses(stage, dataset, backbones, torch.device("meta"), stage.recipe.batch_size)
        forward = work.training()
        tally = count(work.task, lambda: forward().sum(), backward=True)
    trained = [p for p in work.task.parameters() if p.requires_grad]
    moments = MOMENTS[stage.recipe.optimizer] * sum(map(_bytes, trained))
    owned = [*work.task.parameters(), *work.task.buffers()]
    return Size(
        flops=conventions.find(CONVENTION).of(tally) / work.images,
        weights=sum(map(_bytes, owned)),
        moments=moments,
    )


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def estimate(
    plans: Sequence[Plan], loads: Sequence[StageWork], rate: float | None = None
) -> dict[str, Any]:
    """Return the work of unique stages as plain JSON values.

    Args:
        plans: they belong to.
        loads: every unique stage once.
        rate: TFLOPS that are sustained in training (10**12 FLOPs of ``CONVENTION`` a second).

    Stages that cannot be counted are named under "uncounted", with the reason, and are in no sum.
    """
    options = plans[0].options
    sizes: dict[str, Size | str] = {}
    flops: dict[str, float] = {}
    uncounted: dict[str, str] = {}
    missing = records = weights = state = 0.0
    for load in loads:
        stage, dataset = load.step.stage, registry.find(load.step.run.dataset)
        known = digest([stage.method, stage.recipe.batch_size, len(dataset.classes), load.images])
        if known not in sizes:
            seen = dataclasses.replace(dataset, sizes={**dataset.sizes, "train": load.images})
            sizes[known] = _size(stage, seen, options.profile.backbones)
        found = sizes[known]
        if isinstance(found, str):
            uncounted[load.step.title] = found
            continue
        flops[load.step.key] = found.flops * load.images * load.epochs
        if load.status != "done":
            missing += flops[load.step.key]
            weights += found.weights
            state = max(state, found.weights + found.moments)
            records += _kept(load, _reported(plans, load), options.profile.backbones)
    return {
        "convention": CONVENTION,
        "flops": sum(flops.values()),
        "flops_missing": missing,
        "rate_tflops": rate,
        "gpu_hours_missing": rate and missing / (rate * 1e12) / 3600,
        "disk_bytes_missing": {
            "weights": round(weights),
            "training_state": round(state),
            "records": round(records),
            "total": round(weights + state + records),
        },
        "uncounted": uncounted,
        "stage_flops": flops,
    }


def _size(stage: Stage, dataset: Dataset, backbones: BackboneSizes) -> Size | str:
    try:
        return size(stage, dataset, backbones)
    except (UncountedError, UserError) as error:
        return str(error)


def _reported(plans: Sequence[Plan], load: StageWork) -> int:
    """Count the images whose predictions a stage keeps."""
    options = plans[0].options
    used = {c.used.name: c for made in plans for c in made.columns}
    manifest = used[load.step.run.dataset].manifest
    return part_size(manifest, options.split, options.profile, "reported")


def _kept(load: StageWork, reported: int, backbones: BackboneSizes) -> int:
    """Return the bytes of a stage's record and of its predictions (last and best epoch)."""
    stage = load.step.stage
    record = RECORD_BYTES + EPOCH_BYTES * load.epochs
    if stage.phase == "pretrain":
        return record
    classes = len(registry.find(load.step.run.dataset).classes)
    masks = isinstance(stage.method, NeedsMasks)
    image = 3 * backbones.image_size**2 // 8 if masks else 2 * 4 * classes
    return record + reported * (image + NAME_BYTES)


def lines(work: dict[str, Any]) -> list[str]:
    """Lay the work out for a terminal."""
    disk = {name: f"{number / 1e9:.1f} GB" for name, number in work["disk_bytes_missing"].items()}
    text = [
        f"Training steps ({work['convention']}; without looks and evaluations):"
        f" {work['flops_missing']:.3g} FLOPs missing, {work['flops']:.3g} in all."
    ]
    if work["rate_tflops"]:
        hours = work["gpu_hours_missing"]
        text.append(f"At {work['rate_tflops']:g} TFLOPS: {hours:.1f} GPU-hours missing.")
    else:
        text.append("For GPU-hours add --rate TFLOPS, say from `harness cost MODEL --throughput`.")
    text.append(
        f"Disk for what is missing: {disk['total']} ({disk['weights']} weights,"
        f" {disk['training_state']} the largest stage under way, {disk['records']} records and"
        " predictions)."
    )
    for title, reason in work["uncounted"].items():
        text.append(f"Not counted: {title}: {reason}")
    return text
