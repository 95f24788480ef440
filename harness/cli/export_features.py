"""Whether probes of a stage read the features that its exported encoder returns."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from harness import seed
from harness.errors import UserError
from harness.execute.counted import dataset_of
from harness.plan.plan import Plan, StageRun, training_images
from harness.report.usage import Encoder
from harness.train.task import Task, start_task

IMAGES = 4
"""Number of images whose features are compared."""

TOLERANCE = 1e-5
"""Largest difference of equal features; a share of the largest feature where that exceeds 1."""


def are_equal(
    plan: Plan, step: StageRun, weights: Mapping[str, Tensor], encoder: Encoder
) -> bool | None:
    """Compare a trained method's features with those of its encoder in timm.

    Args:
        plan: of the stage's table.
        step: the stage.
        weights: of the stage.
        encoder: the same as timm's.

    Returns:
        whether they are equal; None where the present sources do not build the trained network.
    """
    try:
        task = _task(plan, step, weights)
    except (UserError, RuntimeError):  # the second of weights that do not fit
        return None
    return compared(task, encoder)


def compared(task: Task, encoder: Encoder) -> bool:
    """Whether a task's features of a few images are its encoder's in timm."""
    model = encoder.model()
    side = encoder.config["pretrained_cfg"]["input_size"][-1]
    images = torch.rand(IMAGES, 3, side, side, generator=seed.generator("export", "features"))
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (encoder.mean, encoder.std))
    images = (images - mean) / std
    with torch.no_grad():
        ours, theirs = task.eval().features(images), model.eval()(images)
    if ours.shape != theirs.shape:
        return False
    largest = max(1.0, float(theirs.abs().max()))
    return bool((ours - theirs).abs().max() <= TOLERANCE * largest)


def _task(plan: Plan, step: StageRun, weights: Mapping[str, Tensor]) -> Task:
    """Return the trained task of a stage.

    Raises:
        UserError: its data set or method is not as it was.
        RuntimeError: the weights are of another network than the present sources build.
    """
    dataset = dataset_of(step, training_images(plan, step.run), plan.options.data)
    backbones = plan.options.profile.backbones
    stream = step.run.stream(step.num_stages)
    task = start_task(step.stage.method, dataset, backbones, stream=stream, weights=None)
    lacking, unexpected = task.load_state_dict(dict(weights), strict=False)
    # Maps of images are no weights and are not kept with them.
    wrong = [n for n in (*lacking, *unexpected) if not n.endswith("_extra_state")]
    if wrong:
        raise RuntimeError(f"the weights are of another network ({wrong[0]})")
    return task
