"""Recipes (how a training is optimised), methods (what is trained) and stages (both together)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

from msgspec import Meta

from harness import ranges
from harness.canonical import acts_where, as_before
from harness.errors import UserError
from harness.ranges import AnyCount, Epochs, EpochsOrNone, ShareBelowOne
from harness.spec.backbones import Backbone, BackboneSizes
from harness.spec.dataset import Dataset

Phase = Literal["pretrain", "finetune", "supervised"]
"""Purpose of a stage; it selects the scale of a profile."""

Order = Literal["reshuffled", "fixed"]
"""Order of the training images, see ``Recipe.order``."""

EPOCHS = {"unit": "epochs"}
"""Field metadata of a duration in epochs; a profile scales such fields with the stage's epochs."""

PER_STEP = {"unit": "per step"}
"""Field metadata of a momentum per step; a profile changes it with the number of steps."""

Rate = Annotated[float, Meta(ge=0, le=1e4)]
"""A learning rate, which may be 0."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of the optimisation of one stage.

    Warm-up and cosine change the learning rate after every step; durations are in epochs.

    Attributes:
        epochs: number of epochs.
        batch_size: images per step.
        base_lr: learning rate at a batch of ``lr_batch`` images, after warm-up.
        optimizer: "adamw", "adam" (weight decay as an L2 term), "sgd" or "lars".
        schedule: see ``harness.train.optimizer.learning_rate``.
        milestones: epochs at which "steps" multiplies the learning rate by 0.1.
        lr_batch: batch size that ``base_lr`` refers to; None takes ``base_lr`` at any batch size.
        lr_rule: the peak is ``base_lr`` times ``batch_size / lr_batch`` ("linear") or times the
            root of that ratio ("sqrt").
        min_lr: learning rate at the end of a cosine schedule.
        warmup_epochs: epochs of linear warm-up at the start.
        warmup_lr: learning rate at the start of the warm-up.
        weight_decay: factor of the weight decay.
        decay_all: whether weight decay also acts on biases and normalisation layers.
        betas: decay rates of Adam's two moments.
        momentum: momentum of SGD and LARS.
        layer_decay: factor on the learning rate per layer below the head; None for none.
        clip_norm: largest norm of the gradient; None for no clipping.
        order: "reshuffled" every epoch, or "fixed": one permutation for all epochs, whose last
            incomplete batch is never used (released code, DistributedSampler without set_epoch).
        permutation: the permutation of ``order="fixed"``. "of-all-stages": that of torch's
            DistributedSampler, whose seed is 0 in both of the released code's stages whatever its
            ``--seed``; it depends on the number of images alone, so pre-training and fine-tuning
            leave out the same images, under every seed of a run. Where their batches differ in
            size, the shorter remainder is the end of the longer one. "of-each-stage": every stage
            and seed draws its own. The paper names no order; a loader that reshuffles leaves out
            other images in every epoch.
        lars_rate: where LARS multiplies by the learning rate, which differs while it changes.
            "inside-momentum": ``m <- momentum * m + rate * g``, ``w <- w - m`` (paper, You et al.
            2017; SimCLR's code, lars_optimizer.py). "outside-momentum":
            ``m <- momentum * m + g``, ``w <- w - rate * m`` (MoCo v3's code, optimizer.py).
    """

    key_name: ClassVar[str] = "recipe"

    epochs: Epochs = field(metadata=EPOCHS)
    batch_size: AnyCount
    base_lr: Annotated[float, Meta(ge=1e-12, le=1e4)]
    optimizer: Literal["adamw", "adam", "sgd", "lars"] = "adamw"
    schedule: Literal["cosine", "cosine-whole", "cosine-by-epoch", "steps"] = "cosine"
    milestones: tuple[Epochs, ...] = field(default=(), metadata=EPOCHS)
    lr_batch: AnyCount | None = 256
    lr_rule: Literal["linear", "sqrt"] = "linear"
    min_lr: Rate = 0.0
    warmup_epochs: EpochsOrNone = field(default=0, metadata=EPOCHS)
    warmup_lr: Rate = 0.0
    weight_decay: Annotated[float, Meta(ge=0, le=10)] = 0.05
    decay_all: bool = False
    betas: tuple[ShareBelowOne, ShareBelowOne] = (0.9, 0.999)
    momentum: ShareBelowOne = 0.9
    layer_decay: Annotated[float, Meta(gt=0, le=1)] | None = None
    clip_norm: Annotated[float, Meta(ge=1e-6, le=1e6)] | None = None
    order: Order = "reshuffled"
    permutation: Literal["of-all-stages", "of-each-stage"] = field(
        default="of-all-stages",
        metadata={**as_before("of-each-stage"), **acts_where("order", "fixed")},
    )
    lars_rate: Literal["inside-momentum", "outside-momentum"] = field(
        default="inside-momentum",
        metadata={**as_before("outside-momentum"), **acts_where("optimizer", "lars")},
    )

    def __post_init__(self) -> None:
        ranges.check(self)
        if self.warmup_epochs > self.epochs:
            raise UserError(
                f"recipe.warmup_epochs is {self.warmup_epochs}; allowed: 0 to {self.epochs}"
                " (recipe.epochs). Set both, for instance recipe.warmup_epochs=0."
            )
        is_rising = list(self.milestones) == sorted(self.milestones)
        if not is_rising or (self.schedule == "steps" and not self.milestones):
            raise UserError(
                f"recipe.milestones is {ranges.said(self.milestones)}; allowed: epochs above 0 in"
                " rising order, at least one where recipe.schedule is 'steps'."
            )
        self._check_rates()

    def _check_rates(self) -> None:
        """Check the learning rates against each other, and against the weight decay."""
        # Steps end at the last milestone's rate; the other schedules at ``min_lr``. The sums of
        # floating point may differ in the last digit, so equal rates are left a margin.
        limits = {"warmup_lr": self.warmup_epochs > 0, "min_lr": self.schedule != "steps"}
        for name, acts in limits.items():
            if acts and getattr(self, name) > self.lr * (1 + 1e-9):
                raise UserError(
                    f"recipe.{name} is {getattr(self, name)}; allowed: 0 to {self.lr:.6g}, the peak"
                    f" learning rate at a batch of {self.batch_size} (recipe.base_lr,"
                    " recipe.lr_batch)."
                )
        # AdamW multiplies weights by 1 - lr * decay in every step, and SGD does so beside the
        # gradient's step: from 1 on, the decay alone turns the weights round.
        if self.optimizer in ("adamw", "sgd") and self.lr * self.weight_decay >= 1:
            raise UserError(
                f"recipe.weight_decay is {self.weight_decay}; allowed: below {1 / self.lr:.6g},"
                f" one over the peak learning rate {self.lr:.6g}, since every step multiplies the"
                " weights by 1 - rate * decay."
            )

    @property
    def lr(self) -> float:
        """Peak learning rate at this batch size."""
        return self.lr_at(self.batch_size)

    def lr_at(self, batch_size: int) -> float:
        """Return the peak learning rate that ``base_lr`` and the rule give for a batch size."""
        ratio = batch_size / self.lr_batch if self.lr_batch else 1.0
        return self.base_lr * (math.sqrt(ratio) if self.lr_rule == "sqrt" else ratio)


@runtime_checkable
class Method(Protocol):
    """A training method: a frozen dataclass of settings whose ``build`` returns a task.

    ``__post_init__`` checks each setting. A method whose settings can be incompatible with the
    recipe, the number of images or the encoders also has ``check``, see ``Checked``.

    Attributes:
        backbone: the backbone of its model (``VIT``, ``SWIN``, ``RESNET`` or a new ``Backbone``),
            a class variable; only its size is part of the key. None if the task takes no size
            from the profile.
    """

    @property
    def backbone(self) -> Backbone[Any] | None:
        """The backbone of the method's model."""
        ...

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> object:
        """Build the task (a ``Task`` of ``train.task``) for a data set at a profile's size."""
        ...


@runtime_checkable
class Checked(Protocol):
    """A method that checks its settings against recipe, images and encoders before training."""

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Check the stage as it would run: scaled by the profile, every override applied.

        Args:
            recipe: recipe of the stage.
            images: number of training images, of a profile's subset or a split's part.
            backbones: the profile's sizes.

        Raises:
            UserError: they are incompatible. Messages name fields as ``recipe.X`` and
                ``method.X``; the plan adds row, phase and data set in front.
        """
        ...


@runtime_checkable
class Continues(Protocol):
    """A method that checks the stage whose weights it starts from, before anything is trained."""

    def check_previous(self, previous: Method) -> None:
        """Check the settings of the method of the stage before.

        Raises:
            UserError: they are incompatible, see ``Checked.check`` for the words.
        """
        ...


@runtime_checkable
class Prepared(Protocol):
    """A method with further requirements of the machine, for instance an optional package."""

    def ready(self) -> None:
        """Check the requirements before anything is trained.

        Raises:
            UserError: a requirement is missing.
        """
        ...


@runtime_checkable
class NeedsMasks(Protocol):
    """A segmentation method, which can only be trained on a data set with masks.

    Read when a run is planned, before a task is built; a class variable, not a setting.
    """

    needs_masks: ClassVar[bool]


@runtime_checkable
class MayNeedMasks(Protocol):
    """A method of another kind with settings of which some values need a data set with masks."""

    @property
    def masks_for(self) -> str | None:
        """The setting that needs masks, in words ("method.weights='lesion'"); None if none does."""
        ...


def masks_needed_by(method: Method) -> str | None:
    """Return what needs masks in a method, in words; None if nothing does."""
    if isinstance(method, NeedsMasks):
        return "a segmentation"
    return method.masks_for if isinstance(method, MayNeedMasks) else None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training: a method with a recipe.

    Attributes:
        phase: its purpose, which selects the profile's scale.
        method: what is trained.
        recipe: how it is optimised.
    """

    phase: Phase
    method: Method
    recipe: Recipe

    def __post_init__(self) -> None:
        ranges.check(self)


def backbone_of(method: Method) -> Backbone[Any] | None:
    """Return the backbone that a method declares.

    Raises:
        UserError: it does not declare one.
    """
    kind = type(method)
    if not hasattr(kind, "backbone"):
        raise UserError(
            f"The method {kind.__qualname__} does not say which backbone it is built on; add"
            " `backbone: ClassVar = VIT` (or SWIN, RESNET, an own Backbone, None where its task"
            " takes no size from the profile) to the class."
        )
    backbone: object = method.backbone
    if backbone is not None and not isinstance(backbone, Backbone):
        raise UserError(
            f"{kind.__qualname__}.backbone is of type {type(backbone).__name__}; it must be VIT,"
            " SWIN, RESNET, an own Backbone, or None where its task takes no size from the profile."
        )
    return backbone
