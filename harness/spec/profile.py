"""Profiles: sizes at which a table is run, and the scaling of stages to a profile."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from msgspec import Meta

from harness import ranges
from harness.ranges import AnyCount, Seed, Share
from harness.spec.backbones import BackboneSizes
from harness.spec.recipe import Stage

OVERSAMPLING = 2
"""Multiple of the input size at which images are stored and kept in memory. The smallest crop of
the paper's range (0.2 of the area, so sqrt(0.2) = 0.45 of the side) then has 0.9 stored pixels per
output pixel along a side."""


Images = Annotated[int, Meta(ge=1, le=10**9)]
"""A number of images."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a profile shrinks the stages of one phase.

    Attributes:
        epochs: factor on every duration in epochs (at least one epoch remains).
        batch_size: largest batch; None for no limit.
        lr: factor on the peak learning rate of Adam and AdamW, which a smaller batch does not
            change otherwise. The peak of SGD and LARS falls with the root of the batch instead
            (SimCLR's rule for small batches), because their steps grow with the gradient's noise.
        drop_path: factor on the rate of stochastic depth, whose full rate is too high for few
            blocks and epochs.
    """

    epochs: Annotated[float, Meta(ge=1e-6, le=100)] = 1.0
    batch_size: AnyCount | None = None
    lr: Annotated[float, Meta(ge=1e-3, le=1e3)] = 1.0
    drop_path: Share = 1.0

    def __post_init__(self) -> None:
        ranges.check(self)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The size at which a table is run: images, encoders, epochs, subset and seeds.

    Attributes:
        name: name on the command line.
        backbones: image size and sizes of the encoders.
        pretrain: scale of pre-training stages.
        finetune: scale of fine-tuning stages.
        supervised: scale of supervised training from scratch.
        train_images: number of training images used, a stratified subset; None: all.
        eval_images: likewise for the parts that are reported or selected on.
        seeds: seeds of the runs where a table does not set its own.
        evaluate_every: epochs from one evaluation to the next; the last one is always evaluated.
            It acts on no number of the last epoch, and is in no key. ``--rule best`` and the
            pruners of sweeps evaluate every epoch, whatever it is.
        phantoms: whether a missing real data set is replaced by generated images.
    """

    name: str
    backbones: BackboneSizes
    pretrain: Scale = Scale()
    finetune: Scale = Scale()
    supervised: Scale = Scale()
    train_images: Images | None = None
    eval_images: Images | None = None
    seeds: Annotated[tuple[Seed, ...], Meta(min_length=1)] = (0,)
    evaluate_every: AnyCount = 1
    phantoms: bool = False

    def __post_init__(self) -> None:
        ranges.check(self)

    @property
    def stored_size(self) -> int:
        """Side in pixels of the stored images that this profile wants."""
        return OVERSAMPLING * self.backbones.image_size

    def scaled(self, stage: Stage) -> Stage:
        """Return the stage as this profile runs it."""
        scale: Scale = getattr(self, stage.phase)
        # The new peak is the old one times ``factor``, whatever the recipe's batch rule: base_lr is
        # multiplied by the old peak over the peak that the rule gives for the smaller batch.
        recipe = _scale_epochs(stage.recipe, scale.epochs)
        batch = min(recipe.batch_size, scale.batch_size or recipe.batch_size)
        adaptive = recipe.optimizer in ("adamw", "adam")
        factor = scale.lr if adaptive else math.sqrt(batch / recipe.batch_size)
        recipe = dataclasses.replace(
            recipe,
            batch_size=batch,
            base_lr=recipe.base_lr * factor * (recipe.lr / recipe.lr_at(batch)),
            warmup_epochs=min(recipe.warmup_epochs, recipe.epochs),
        )
        method: Any = _scale_epochs(stage.method, scale.epochs)
        method = _scale_steps(method, scale.epochs * stage.recipe.batch_size / batch)
        if hasattr(method, "drop_path"):
            method = dataclasses.replace(method, drop_path=method.drop_path * scale.drop_path)
        return Stage(phase=stage.phase, method=method, recipe=recipe)


_T = TypeVar("_T")


def _scale_epochs(value: _T, factor: float) -> _T:
    """Return settings whose durations in epochs (``EPOCHS`` fields) are multiplied by a factor."""
    changes: dict[str, Any] = {
        f.name: _shorten(getattr(value, f.name), factor)
        for f in dataclasses.fields(value)  # type: ignore[arg-type]
        if f.metadata.get("unit") == "epochs" and getattr(value, f.name)
    }
    return dataclasses.replace(value, **changes) if changes else value  # type: ignore[type-var]


def _scale_steps(value: _T, factor: float) -> _T:
    """Return settings with momenta per step (``PER_STEP`` fields) for ``factor`` times the steps.

    A momentum m averages over 1 / (1 - m) steps; m ** (1 / factor) decays as much over the whole
    training as m did before.
    """
    changes: dict[str, Any] = {
        f.name: getattr(value, f.name) ** (1 / factor)
        for f in dataclasses.fields(value)  # type: ignore[arg-type]
        if f.metadata.get("unit") == "per step"
    }
    return dataclasses.replace(value, **changes) if changes else value  # type: ignore[type-var]


def _shorten(epochs: int | tuple[int, ...], factor: float) -> int | tuple[int, ...]:
    """Return epochs times a factor, rounded half up, at least 1."""
    if isinstance(epochs, tuple):
        return tuple(max(1, math.floor(e * factor + 0.5)) for e in epochs)
    return max(1, math.floor(epochs * factor + 0.5))
