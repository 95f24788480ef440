"""Frozen values that define a run; nothing here imports torch, so that listing stays instant."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from harness.canonical import describe, digest
from harness.encoders import Backbone as Backbone
from harness.encoders import Encoders as Encoders
from harness.encoders import ResNetSize as ResNetSize
from harness.encoders import SwinSize as SwinSize
from harness.encoders import VitSize as VitSize
from harness.errors import UserError
from harness.merit import Metric as Metric
from harness.streams import stream_name

if TYPE_CHECKING:
    from harness.data.archive import Source
    from harness.data.store import Listing
    from harness.task import Task

Phase = Literal["pretrain", "finetune", "supervised"]
Split = Literal["paper", "clean"]
Order = Literal["reshuffled", "fixed"]

EPOCHS = {"unit": "epochs"}
"""Field metadata of a duration in epochs; a profile scales such fields with the stage's epochs."""

PER_STEP = {"unit": "per step"}
"""Field metadata of a momentum kept per step; a profile keeps its reach a share of the training."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Describe a data set: what the official archive holds and how to list it.

    Attributes:
        name: the name on the command line and of the store.
        title: the name in tables.
        classes: class names in label order (K of them).
        counts: images per class over the whole data set, in the order of ``classes``.
        sizes: images per part of the paper's split, ``{"train": ..., "eval": ...}``.
        channels: 1 where the images are greyscale, else 3; the store keeps that many.
        source: where a user gets the official archive.
        licence: the data's licence, in words.
        listing: reads an opened archive or folder into labelled items.
        phantom: the phantom family that stands in for it in the ``smoke`` profile.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    sizes: Mapping[str, int]
    channels: int
    source: str
    licence: str
    listing: Callable[[Source], Listing]
    phantom: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Say how one stage is optimised.

    The learning rate is ``base_lr * batch_size / lr_batch``, or the root of that ratio with
    ``lr_rule="sqrt"`` (``lr_batch=None``: ``base_lr`` itself). Warm-up and cosine are per step;
    durations are in epochs.

    Attributes:
        schedule: see ``harness.optimizer.learning_rate``.
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

    def build(self, dataset: Dataset, encoders: Encoders) -> Task:
        """Build the task for a data set (its classes) at a profile's size."""
        ...


@runtime_checkable
class Checked(Protocol):
    """A method that can refuse what it is to be trained with, before anything is trained."""

    def check(self, *, recipe: Recipe, images: int, encoders: Encoders) -> None:
        """Check the stage as it would run: scaled by the profile, every override applied.

        Args:
            recipe: of the stage.
            images: that are trained on, a profile's subset or a split's part.
            encoders: the profile's sizes.

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


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a profile shrinks the stages of one phase.

    Attributes:
        epochs: factor on every duration in epochs (at least one epoch remains).
        batch_size: largest batch.
        lr: factor on Adam's peak learning rate, which a smaller batch alone does not lower. The
            peak of SGD and LARS has no such factor and falls with the root of the batch (SimCLR's
            rule for small batches): their steps grow with the gradient, and its noise with it.
        drop_path: factor on stochastic depth, which few blocks and epochs cannot afford.
    """

    epochs: float = 1.0
    batch_size: int | None = None
    lr: float = 1.0
    drop_path: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How large a table is run: image size, encoders, epochs, subset and seeds.

    Attributes:
        train_images: images of the training part that are used (stratified), None: all.
        eval_images: likewise of the parts that are reported or selected on.
        phantoms: a missing real data set is replaced by its phantom family.
    """

    name: str
    encoders: Encoders
    pretrain: Scale = Scale()
    finetune: Scale = Scale()
    supervised: Scale = Scale()
    train_images: int | None = None
    eval_images: int | None = None
    seeds: tuple[int, ...] = (0,)
    phantoms: bool = False

    def scaled(self, stage: Stage) -> Stage:
        """Return the stage as this profile runs it."""
        scale: Scale = getattr(self, stage.phase)
        recipe = _scale_epochs(stage.recipe, scale.epochs)
        batch = min(recipe.batch_size, scale.batch_size or recipe.batch_size)
        shrunk = dataclasses.replace(recipe, batch_size=batch)
        adaptive = recipe.optimizer in ("adamw", "adam")
        factor = scale.lr if adaptive else math.sqrt(batch / recipe.batch_size)
        recipe = dataclasses.replace(
            recipe,
            batch_size=batch,
            base_lr=recipe.base_lr * factor * (recipe.lr / shrunk.lr),
            warmup_epochs=min(recipe.warmup_epochs, recipe.epochs),
        )
        method: Any = _scale_epochs(stage.method, scale.epochs)
        method = _scale_steps(method, scale.epochs * stage.recipe.batch_size / batch)
        if hasattr(method, "drop_path"):
            method = dataclasses.replace(method, drop_path=method.drop_path * scale.drop_path)
        return Stage(phase=stage.phase, method=method, recipe=recipe)


_T = TypeVar("_T")


def _scale_epochs(value: _T, factor: float) -> _T:
    changes: dict[str, Any] = {
        f.name: _shorter(getattr(value, f.name), factor)
        for f in dataclasses.fields(value)  # type: ignore[arg-type]
        if f.metadata.get("unit") == "epochs" and getattr(value, f.name)
    }
    return dataclasses.replace(value, **changes) if changes else value  # type: ignore[type-var]


def _scale_steps(value: _T, factor: float) -> _T:
    """Keep the reach of what is kept per step when a training has ``factor`` times the steps."""
    changes: dict[str, Any] = {
        f.name: getattr(value, f.name) ** (1 / factor)
        for f in dataclasses.fields(value)  # type: ignore[arg-type]
        if f.metadata.get("unit") == "per step"
    }
    return dataclasses.replace(value, **changes) if changes else value  # type: ignore[type-var]


def _shorter(epochs: int | tuple[int, ...], factor: float) -> int | tuple[int, ...]:
    if isinstance(epochs, tuple):
        return tuple(max(1, math.floor(e * factor + 0.5)) for e in epochs)
    return max(1, math.floor(epochs * factor + 0.5))


@dataclass(frozen=True, kw_only=True)
class Run:
    """The unit of work: a chain of stages on one data set under one profile and seed.

    ``data`` is the fingerprint of the prepared store: other contents are another run.
    """

    dataset: str
    data: str
    split: Split
    profile: Profile
    stages: tuple[Stage, ...]
    seed: int

    def definition(self, upto: int | None = None) -> dict[str, Any]:
        """Return what defines the first ``upto`` stages, as plain JSON values.

        Of the profile that is the image size, the subset and the size of each stage's own
        backbone: neither its name, nor other backbones, nor how it scales other phases act here.
        """
        return {
            "dataset": self.dataset,
            "data": self.data,
            "split": self.split,
            "profile": {
                "image_size": self.profile.encoders.image_size,
                "train_images": self.profile.train_images,
                "eval_images": self.profile.eval_images,
            },
            "stages": [self._defined(stage) for stage in self.stages[:upto]],
            "seed": self.seed,
        }

    def _defined(self, stage: Stage) -> dict[str, Any]:
        backbone = backbone_of(stage.method)
        size = None if backbone is None else self.profile.encoders.of(backbone)
        return {
            "phase": stage.phase,
            "method": describe(stage.method),
            "recipe": describe(stage.recipe),
            "backbone": describe(size),
        }

    def key(self, upto: int | None = None) -> str:
        """Return the SHA-256 (hex) of the canonical JSON of the first ``upto`` stages."""
        return digest(self.definition(upto))

    def stream(self, upto: int | None = None) -> str:
        """Return the name that the randomness of the last of these stages is derived from."""
        return stream_name(self.definition(upto))


def stage_title(definition: Mapping[str, Any]) -> str:
    """Name the last stage of a definition: its phase, method, data set and seed."""
    stage = definition["stages"][-1]
    method = stage["method"]["type"]
    return f"{stage['phase']} {method} / {definition['dataset']} / seed {definition['seed']}"


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
