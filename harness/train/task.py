"""The interface between a method and the training loop: a module with a loss and hooks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from harness import seed
from harness.augment.masks import Nearest
from harness.augment.random_crop import random_boxes
from harness.augment.view import Augmentation, Evaluation, ImageRange
from harness.spec.backbones import BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import Method, backbone_of


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The input of one training step, on the task's device.

    Attributes:
        images: (V, B, C, H, W) float, in the task's ``image_range``; V views, always 3 channels.
        labels: (B,) int64.
        ids: (B,) int64, position of each image in the training set (the order of ``DatasetPass``).
        boxes: (V, B, 4) float, the crop (top, left, height, width) as fractions of the image.
        flips: (V, B) bool, whether the crop was mirrored left to right.
        masks: (V, B, 1, H, W) float in {0, 1}, cropped like the images; None unless the task
            needs masks.
        drawn: what ``Task.draw`` returned for these images; None where ``losses`` is to call it.
        ahead: what ``Task.draw_ahead`` and ``Task.crops_ahead`` returned for the step; None where
            ``losses`` and ``draw`` are to take their random numbers from the step's generator.
    """

    images: Tensor
    labels: Tensor
    ids: Tensor
    boxes: Tensor
    flips: Tensor
    masks: Tensor | None = None
    drawn: Tensor | None = None
    ahead: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """Position of a step within the training, and its random generator.

    Attributes:
        epoch: 0-based.
        epochs: of the whole stage.
        step: 0-based, within the epoch.
        steps: per epoch.
        generator: the only source of randomness of a step; on the CPU, so that every device gets
            the same numbers.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    generator: torch.Generator

    @property
    def time(self) -> float:
        """Number of epochs completed, fractional."""
        return self.epoch + self.step / self.steps


class DatasetPass(Protocol):
    """A function that applies another to the whole unaugmented training set, in order."""

    def __call__(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the results for all N training images.

        The task is put in eval mode, no gradient is kept, images (B, 3, H, W) are whole and
        stretched; the outputs (B, ...) are joined to (N, ...) on the task's device.
        """
        ...


class AugmentedPass(Protocol):
    """A function that augments the whole training set once more, for measurements."""

    def __call__(self) -> Iterator[tuple[Batch, StepContext]]:
        """Yield all N training images in order, in batches that are augmented as in training.

        All draws, also those that a caller makes from the context's generator, come from a stream
        of their own: training goes on as if there had been no pass.
        """
        ...


@dataclass(frozen=True)
class Layers:
    """Depth of every parameter for layer-wise learning-rate decay.

    ``of`` maps a parameter's name to 0 (input) ... ``count - 1`` (head); the learning rate is
    multiplied by ``layer_decay ** (count - 1 - of(name))``.
    """

    count: int
    of: Callable[[str], int] = field(repr=False)


class Task(nn.Module):
    """A method's model and loss. Subclasses set ``augmentations`` and implement ``losses``.

    ``augmentations`` has one entry per view. Parameters under ``encoder.`` are those that later
    stages start from.

    State to be checkpointed besides parameters and buffers goes through
    ``get_extra_state`` / ``set_extra_state``.
    """

    augmentations: tuple[Augmentation, ...]
    evaluation: Evaluation = "stretch"
    """How images are prepared for ``predict`` and ``segment``: whole and resized by PIL's bilinear
    kernel ("stretch", released code of classification) or by OpenCV's ("stretch-opencv", that of
    segmentation), or ImageNet's usual central crop."""
    image_range: ImageRange = "normalised"
    """Range of the images of training, evaluation, probes and passes over the data set."""
    nearest: Nearest = "centre"
    """The point of a pixel at which reference masks are looked up when they are resized; only tasks
    that segment use it."""
    threshold: float = 0.5
    """Probability above which a pixel is predicted as lesion; only tasks that segment use it."""
    remarks: tuple[str, ...] = ()
    """Notes on sizes that were chosen automatically; printed when the stage begins."""
    needs_whole: str | None = "it does not say that its images are independent (needs_whole)"
    """Why a batch cannot be split into micro-batches, in words (negatives, mixing). None states
    that losses are means over independent images, and that ``draw`` makes all draws from
    ``at.generator``; BatchNorm and dropout are detected and need no mention."""
    cast_once: bool = False
    """Whether the weights may be cast to bfloat16 together at the beginning of a step, on a device
    where steps run in it. True states that ``losses`` changes no weight through ``.data``. A
    subclass with functions of its own has to state it again."""

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return scalar losses by name; "total" is minimised, the others are logged.

        They stay on the device: reading a value here (``item``, ``cpu``) would stall every step.
        """
        raise NotImplementedError

    def draw(self, batch: Batch, at: StepContext) -> Tensor | None:
        """Draw random numbers per image, such as its mask, (B, ...); None where none are needed.

        ``losses`` calls it where ``batch.drawn`` is None. For micro-batches the loop calls it
        once, with the whole batch.
        """
        return None

    def draw_ahead(self, count: int, at: StepContext) -> Mapping[str, Any]:
        """Draw, on the CPU, all that ``losses`` and ``draw`` take from ``at.generator`` in a step.

        A task that defines it is handed the result in ``Batch.ahead``, its tensors on the device,
        and then draws nothing itself. On a device the next step's are drawn while the present one
        runs, so it may depend on nothing that a step changes; the same holds for ``draw_boxes``.
        The views' draws come first. Without it, or in a subclass with functions of its own that
        does not define it again, all is drawn when the step comes.

        Args:
            count: number of images B.
            at: epoch, step and generator.
        """
        raise NotImplementedError

    def crops_ahead(
        self, boxes: Sequence[Tensor], flips: Sequence[Tensor], at: StepContext
    ) -> Mapping[str, Any]:
        """Compute, on the CPU, what ``losses`` and ``draw`` make of the crops alone.

        It joins what ``draw_ahead`` returns, and is asked for under the same conditions where steps
        run on a device. Without it they compute it themselves.

        Args:
            boxes: V crops (B, 4).
            flips: V times (B,) bool.
            at: epoch and step; nothing is drawn.
        """
        del boxes, flips, at
        return {}

    def step_kind(self, at: StepContext) -> Hashable | None:
        """Return what makes ``losses`` another sequence of operations, None where each step is one.

        A task that defines it has steps that can be recorded as a CUDA graph: in steps of equal
        kinds ``losses`` runs the same operations, on tensors of the batch and of the task, with
        the same numbers. It draws nothing from ``at.generator`` (see ``draw`` and
        ``draw_ahead``), and reads nothing of ``at`` but what the kind contains. In a subclass with
        functions of its own that does not define it again, it does not count.
        """
        del at
        return None

    @property
    def captures(self) -> bool:
        """Whether steps can be recorded: the task defines ``step_kind``, and draws ahead."""
        return states(self, "step_kind") and states(self, "draw_ahead")

    def draw_boxes(self, view: int, sizes: Tensor, ids: Tensor, at: StepContext) -> Tensor:
        """Draw the crops (B, 4) of a view, on the CPU; by default at random over the image.

        Args:
            view: index of the view.
            sizes: (B, 2) original height and width in pixels, on the CPU.
            ids: (B,) position of each image in the training set, on the CPU.
            at: epoch, step and generator.
        """
        del ids
        return random_boxes(sizes, self.augmentations[view], at.generator)

    def before_epoch(self, epoch: int, look: DatasetPass) -> None:
        """Prepare an epoch, for instance recompute attention maps with ``look``."""

    def after_step(self, at: StepContext) -> None:
        """Run after an optimiser step, for instance to update a momentum encoder."""

    def after_epoch(
        self, epoch: int, look: DatasetPass, augmented: AugmentedPass
    ) -> dict[str, float]:
        """Return measurements of a finished epoch (0-based) by name; by default none.

        They join the epoch's figures in the record's history, beside the losses ("loss/...") and
        evaluations ("eval/..."), whose names they must not take. Measuring changes no draw of the
        training and must change no weight.
        """
        del epoch, look, augmented
        return {}

    def predict(self, images: Tensor) -> Tensor:
        """Return logits (B, K) for images (B, 3, H, W); only classifiers implement it."""
        raise NotImplementedError

    def segment(self, images: Tensor) -> Tensor:
        """Return logits (B, 1, H, W) for images (B, 3, H, W); only segmenters implement it.

        Such a task has no ``predict``; it is evaluated on whole images, stretched.
        """
        raise NotImplementedError

    def features(self, images: Tensor) -> Tensor:
        """Return features (B, D) for images (B, 3, H, W), for probes of a pre-training."""
        raise NotImplementedError

    @property
    def classifies(self) -> bool:
        """Whether the stage is evaluated on labels: the subclass overrides ``predict``."""
        return type(self).predict is not Task.predict

    @property
    def segments(self) -> bool:
        """Whether the stage is trained and evaluated on masks: it overrides ``segment``."""
        return type(self).segment is not Task.segment

    @property
    def needs_masks(self) -> bool:
        """Whether batches have masks: where the task segments, or its settings ask for them."""
        return self.segments

    @property
    def deployed(self) -> Callable[[Tensor], Tensor] | None:
        """The forward that is evaluated, ``predict`` or ``segment``; None for a pre-training."""
        if self.segments:
            return self.segment
        return self.predict if self.classifies else None

    @property
    def has_features(self) -> bool:
        """Whether the stage is probed: the subclass overrides ``features``."""
        return type(self).features is not Task.features

    def start_from(self, previous: Mapping[str, Tensor]) -> None:
        """Initialise from the state dict of the previous stage.

        Raises:
            UserError: a key or shape does not match; only keys that the task lists may be dropped.
        """
        raise NotImplementedError

    def no_decay(self, name: str) -> bool:
        """Whether a parameter of more than one dimension is exempt from weight decay."""
        return False

    def layers(self) -> Layers | None:
        """Return the depths for ``Recipe.layer_decay``; None where the method defines none."""
        return None


def nothing_drawn(task: Task, count: int, at: StepContext) -> Mapping[str, Any]:
    """Draw nothing: the ``draw_ahead`` of tasks whose random numbers are those of their views."""
    del task, count, at
    return {}


def alike(task: Task, at: StepContext) -> Hashable:
    """Return one kind for all steps: the ``step_kind`` of tasks whose losses never read ``at``."""
    del task, at
    return "alike"


def states(task: Task, name: str) -> bool:
    """Whether a task says something of itself, and no subclass might have made it untrue.

    Args:
        task: its class, or one that it inherits from, sets the attribute.
        name: ``draw_ahead``, ``step_kind`` or ``cast_once``.

    Returns:
        False too where a subclass of that class has functions of its own, which the statement
        cannot have known.
    """
    for kind in type(task).__mro__:
        if name in vars(kind):
            return kind is not Task and bool(vars(kind)[name])
        own = (value for key, value in vars(kind).items() if not key.startswith("__"))
        if any(callable(value) or isinstance(value, property) for value in own):
            return False
    return False


def build_task(method: Method, dataset: Dataset, backbones: BackboneSizes) -> Task:
    """Build a method's task.

    ``build`` receives the size of the backbone that the method declares and of no other, since its
    key contains no other.

    Raises:
        TypeError: ``build`` returns something else than a task.
    """
    task = method.build(dataset, backbones.restricted(backbone_of(method)))
    if not isinstance(task, Task):
        raise TypeError(
            f"{type(method).__qualname__}.build returned {type(task).__name__}; it must return a"
            " Task"
        )
    return task


def start_task(
    method: Method,
    dataset: Dataset,
    backbones: BackboneSizes,
    *,
    stream: str,
    weights: Mapping[str, Tensor] | None,
) -> Task:
    """Build a method's task as its training starts.

    Args:
        method: its settings.
        dataset: what the task is built for.
        backbones: sizes of the profile.
        stream: name from which the initial weights are drawn.
        weights: final weights of the stage before; None for a first stage.
    """
    with seed.third_party(stream, "build"):
        task = build_task(method, dataset, backbones)
        if weights is not None:
            task.start_from(weights)
    return task
