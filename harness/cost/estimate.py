"""Estimate a plan's missing work: FLOPs of its stages, disk space, GPU-hours at a given rate.

FLOPs are counted on shapes: those per image of a training step in the stage's last epoch, times
images and epochs. Not included are passes for attention maps (each a forward pass over all
training images) and evaluations after epochs (each a forward pass over the reported images).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harness import packages, seed
from harness.canonical import digest
from harness.cost import conventions
from harness.cost.count import UncountedError, count
from harness.cost.passes import StagePasses
from harness.data import registry
from harness.data.parts import part_size
from harness.errors import UserError
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.plan.summary import FINISHED, StageWork
from harness.spec.backbones import VIT, BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import NeedsMasks, Stage, backbone_of
from harness.store import maps

CONVENTION = "torch-flops"
"""Convention in which rates are given: 2 FLOPs per multiply-accumulate, attention included."""

RECORD_BYTES, EPOCH_BYTES = 8_000, 1_000
"""Typical bytes of a record, and of its history per epoch."""

NAME_BYTES = 24
"""Bytes of an image's name and label in the file of predictions."""

MOMENTS = {"adamw": 2, "adam": 2, "sgd": 1, "lars": 1}
"""Number of values that an optimiser keeps per trained parameter, in the training state only."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """Size of a stage's training.

    Attributes:
        flops: of a training step, per image.
        weights: bytes of all parameters and buffers.
        moments: bytes of the optimiser's state.
    """

    flops: float
    weights: int
    moments: int


def size(stage: Stage, dataset: Dataset, backbones: BackboneSizes) -> Size:
    """Return a stage's size at its recipe's batch size, from shapes alone.

    Raises:
        UserError: the stage cannot be built or trained on this data set.
        UncountedError: an operator has no formula.
    """
    with seed.third_party("cost", "count"):
        work = StagePasses(stage, dataset, backbones, torch.device("meta"), stage.recipe.batch_size)
        forward = work.training()
        tally = count(work.task, lambda: forward().sum(), backward=True)
    trained_parameters = [p for p in work.task.parameters() if p.requires_grad]
    moments = MOMENTS[stage.recipe.optimizer] * sum(map(_bytes, trained_parameters))
    tensors = [*work.task.parameters(), *work.task.buffers()]
    return Size(
        flops=conventions.find(CONVENTION).of(tally) / work.images,
        weights=sum(map(_bytes, tensors)),
        moments=moments,
    )


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def estimate(
    plans: Sequence[Plan], stages: Sequence[StageWork], rate: float | None = None
) -> dict[str, Any]:
    """Return the work of unique stages as plain JSON values.

    Stages that cannot be counted are listed under "uncounted" with the reason; no sum includes
    them.

    Args:
        plans: the plans that contain the stages.
        stages: every unique stage once.
        rate: TFLOPS sustained in training (10**12 FLOPs of ``CONVENTION`` per second).
    """
    options = plans[0].options
    sizes: dict[str, Size | str] = {}
    flops: dict[str, float] = {}
    uncounted: dict[str, str] = {}
    missing = records = weights = state = kept = 0.0
    for work in stages:
        stage, dataset = work.step.stage, registry.find(work.step.run.dataset, options.data)
        identity = digest(
            [stage.method, stage.recipe.batch_size, len(dataset.classes), work.images]
        )
        if identity not in sizes:
            counted_dataset = dataclasses.replace(
                dataset, sizes={**dataset.sizes, "train": work.images}
            )
            sizes[identity] = _size(stage, counted_dataset, options.profile.backbones)
        stage_size = sizes[identity]
        if isinstance(stage_size, str):
            uncounted[work.step.title] = stage_size
            continue
        flops[work.step.key] = stage_size.flops * work.images * work.epochs
        if work.status not in FINISHED:
            missing += flops[work.step.key]
            weights += stage_size.weights
            state = max(state, stage_size.weights + stage_size.moments)
            records += _stored_bytes(work, _reported(plans, work), options)
            kept += _maps_bytes(work, options)
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
        "maps_bytes_missing": round(kept),
        "uncounted": uncounted,
        "stage_flops": flops,
    }


def _size(stage: Stage, dataset: Dataset, backbones: BackboneSizes) -> Size | str:
    """Return a stage's size, or the reason why it cannot be counted."""
    try:
        with packages.explained():
            return size(stage, dataset, backbones)
    except (UncountedError, UserError) as error:
        return str(error)


def _reported(plans: Sequence[Plan], work: StageWork) -> int:
    """Return the number of images whose predictions a stage stores."""
    options = plans[0].options
    columns = {column.used.name: column for plan in plans for column in plan.columns}
    column = columns[work.step.run.dataset]
    return part_size(column.manifest, column.split, options.profile, "reported")


def _stored_bytes(work: StageWork, reported: int, options: Options) -> int:
    """Return the bytes of a stage's record and predictions.

    Predictions of the last and the best epoch: per image, 4-byte probabilities by class, or for
    segmentation three bit masks.
    """
    stage = work.step.stage
    record = RECORD_BYTES + EPOCH_BYTES * work.epochs
    if stage.phase == "pretrain":
        return record
    classes = len(registry.find(work.step.run.dataset, options.data).classes)
    segments = isinstance(stage.method, NeedsMasks)
    image_bytes = 3 * options.profile.backbones.image_size**2 // 8 if segments else 2 * 4 * classes
    return record + reported * (image_bytes + NAME_BYTES)


def _maps_bytes(work: StageWork, options: Options) -> int:
    """Return the bytes of the maps that ``--keep maps`` keeps of a stage's vision transformer."""
    if backbone_of(work.step.stage.method) != VIT:
        return 0
    backbones = options.profile.backbones
    return maps.stored_bytes(work.epochs, backbones.vit.heads, backbones.grid**2)


def lines(work: dict[str, Any]) -> list[str]:
    """Return the lines of text that describe the work."""
    disk = {name: f"{number / 1e9:.1f} GB" for name, number in work["disk_bytes_missing"].items()}
    text = [
        f"Training steps ({work['convention']}; without passes for attention maps"
        f" and evaluations):"
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
    if work["maps_bytes_missing"]:
        text.append(
            f"`harness run --keep maps` takes {work['maps_bytes_missing'] / 1e6:.1f} MB more, for"
            " figures of attention and masking weights by epoch."
        )
    for title, reason in work["uncounted"].items():
        text.append(f"Not counted: {title}: {reason}")
    return text
