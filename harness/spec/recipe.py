"""Recipes, methods and stages: how one training is optimised, and what is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from harness.errors import UserError
from harness.spec.backbones import Backbone, BackboneSizes
from harness.spec.dataset import Dataset

Phase = Literal["pretrain", "finetune", "supervised"]

Order = Literal["reshuffled", "fixed"]

EPOCHS = {"unit": "epochs"}
"""Field metadata of a duration in epochs; a profile scales such fields with the stage's epochs."""

PER_STEP = {"unit": "per step"}
"""Field metadata of a momentum kept per step; a profile keeps its reach a share of the training."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Say how one stage is optimised.

    The learning rate is ``base_lr * batch_size / lr_batch``, or the root of that ratio with
    ``lr_rule="sqrt"`` (``lr_batch=None``: ``base_lr`` itself). Warm-up and cosine are per step;
    durations are in epochs.

    Attributes:
        schedule: see ``harness.train.optimizer.learning_rate``.
        milestones: when "steps" multiplies the learning rate by 0.1.
        decay_all: weight decay also on biases and normalisation layers.
        layer_decay: factor on the learning rate per layer below the head.
        order: "reshuffled" every epoch, or "fixed": one permutation for all epochs, whose last
            incomplete batch is never seen (released code, DistributedSampler without set_epoch).
        clip_norm: largest norm of the gradient.
    """

    key_name: ClassVar[str] = "recipe"

    epochs: int = field(metadata=EPOCHS)
    batch_size: int
    base_lr: float
    optimizer: Literal["adamw", "adam", "sgd", "lars"] = "adamw"
    schedule: Literal["cosine", "cosine-whole", "cosine-by-epoch", "steps"] = "cosine"
    milestones: tuple[int, ...] = field(default=(), metadata=EPOCHS)
    lr_batch: int | None = 256
    lr_rule: Literal["linear", "sqrt"] = "linear"
    min_lr: float = 0.0
    warmup_epochs: int = field(default=0, metadata=EPOCHS)
    warmup_lr: float = 0.0
    weight_decay: float = 0.05
    decay_all: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    layer_decay: float | None = None
    clip_norm: float | None = None
    order: Order = "reshuffled"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "base_lr"):
            if getattr(self, name) <= 0:
                raise UserError(f"recipe.{name} is {getattr(self, name)}; it must be above 0.")
        if self.warmup_epochs < 0 or self.warmup_epochs > self.epochs:
            raise UserError(
                f"recipe.warmup_epochs is {self.warmup_epochs}; allowed: 0 to {self.epochs}"
                " (recipe.epochs). Set both, for instance recipe.warmup_epochs=0."
            )
        rising = all(type(m) is int and m > 0 for m in self.milestones)
        rising = rising and list(self.milestones) == sorted(self.milestones)
        if not rising or (self.schedule == "steps" and not self.milestones):
            raise UserError(
                f"recipe.milestones is {list(self.milestones)}; allowed: epochs above 0 in rising"
                " order, at least one where recipe.schedule is 'steps'."
            )

    @property
    def lr(self) -> float:
        """Peak learning rate."""
        ratio = self.batch_size / self.lr_batch if self.lr_batch else 1.0
        return self.base_lr * (math.sqrt(ratio) if self.lr_rule == "sqrt" else ratio)


@runtime_checkable
class Method(Protocol):
    """A training method: any frozen dataclass whose ``build`` returns its task.

    What is wrong by itself is refused in ``__post_init__``. A method whose settings can disagree
    with the recipe, the number of images or the encoders also has ``check``, see ``Checked``.

    Attributes:
        backbone: the backbone that its task is built on (``VIT``, ``SWIN``, ``RESNET`` or an own
            ``Backbone``), a class variable: its size is part of the key, no other backbone's is.
            None where the task takes no size from the profile.
    """

    @property
    def backbone(self) -> Backbone[Any] | None:
        """The backbone that the task is built on."""
        ...

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> object:
        """Build the task (a ``Task`` of ``train.task``) for a data set at a profile's size."""
        ...


@runtime_checkable
class Checked(Protocol):
    """A method that can refuse what it is to be trained with, before anything is trained."""

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Check the stage as it would run: scaled by the profile, every override applied.

        Args:
            recipe: of the stage.
            images: that are trained on, a profile's subset or a split's part.
            backbones: the profile's sizes.

        Raises:
            UserError: they cannot work together. Name fields as ``recipe.X`` and ``method.X``;
                the plan puts row, phase and data set before it.
        """
        ...


@runtime_checkable
class Prepared(Protocol):
    """A method that needs more of a machine than training does, say an optional package."""

    def ready(self) -> None:
        """Raise a UserError where it is missing; called before anything is trained."""
        ...


@runtime_checkable
class NeedsMasks(Protocol):
    """A method whose task segments: it can only be trained where the data set has masks.

    Planning asks for it, before a task is built; it is no setting (``ClassVar``).
    """

    needs_masks: ClassVar[bool]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training: a method under a recipe; ``phase`` picks the profile's scale."""

    phase: Phase
    method: Method
    recipe: Recipe


def backbone_of(method: Method) -> Backbone[Any] | None:
    """Return the backbone that a method declares.

    Raises:
        UserError: it declares none.
    """
    kind = type(method)
    if not hasattr(kind, "backbone"):
        raise UserError(
            f"The method {kind.__qualname__} does not say which backbone it is built on; add"
            " `backbone: ClassVar = VIT` (or SWIN, RESNET, an own Backbone, None where its task"
            " takes no size from the profile) to the class."
        )
    found: Backbone[Any] | None = method.backbone
    return found
