"""What a method gives to the training loop: a module with a loss and a few hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from harness.augment.view import Augmentation, Evaluation, random_boxes
from harness.spec.backbones import BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import Method, backbone_of


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One step's input, on the task's device.

    Attributes:
        images: (V, B, C, H, W) float, normalised; V views, always 3 channels.
        labels: (B,) int64.
        ids: (B,) int64, position of each image in the training set (the order of ``Look``).
        boxes: (V, B, 4) float, the crop (top, left, height, width) as fractions of the image.
        flips: (V, B) bool, whether the crop was mirrored left to right.
        masks: (V, B, 1, H, W) float in {0, 1}, cut like the images; None unless the task segments.
        drawn: what ``Task.draw`` returned for these images; None where ``losses`` draws it.
    """

    images: Tensor
    labels: Tensor
    ids: Tensor
    boxes: Tensor
    flips: Tensor
    masks: Tensor | None = None
    drawn: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """Where training stands (all 0-based) and the step's only source of randomness.

    ``generator`` lives on the CPU: the same draws are made on every device.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    generator: torch.Generator

    @property
    def time(self) -> float:
        """Epochs done, fractional."""
        return self.epoch + self.step / self.steps


class DatasetPass(Protocol):
    """Apply a function to the whole unaugmented training set, in order."""

    def __call__(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the results for all N training images.

        The task is put in eval mode, no gradient is kept, images (B, 3, H, W) are whole and
        stretched; the outputs (B, ...) are joined to (N, ...) on the task's device.
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

    ``augmentations`` has one entry a view. What later stages take over lies under ``encoder.``.

    State that must survive a kill besides parameters and buffers goes through
    ``get_extra_state`` / ``set_extra_state``.
    """

    augmentations: tuple[Augmentation, ...]
    evaluation: Evaluation = "stretch"
    """How images are prepared for ``predict``: whole ("stretch", released code), or ImageNet's
    usual central crop."""
    threshold: float = 0.5
    """Probability above which a pixel is predicted as lesion; only tasks that segment use it."""
    remarks: tuple[str, ...] = ()
    """What a user should know of a size that was chosen; printed when the stage begins."""
    needs_whole: str | None = "it does not say that its images are independent (needs_whole)"
    """Why a step needs its whole batch at once, in words (negatives, mixing). None says that
    losses are means over images that see nothing of each other, and that ``draw`` makes all draws
    from ``at.generator``; BatchNorm and dropout are found without being named."""

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return scalar losses; "total" is minimised, the others are logged. No host sync."""
        raise NotImplementedError

    def draw(self, batch: Batch, at: StepContext) -> Tensor | None:
        """Draw what every image needs, such as its mask, (B, ...); None where nothing is drawn.

        ``losses`` calls it where ``batch.drawn`` is None: a batch that is trained in parts is
        drawn for as a whole.
        """
        return None

    def draw_boxes(self, view: int, sizes: Tensor, ids: Tensor, at: StepContext) -> Tensor:
        """Draw a view's crops, (B, 4) on the CPU; by default at random over the image.

        Args:
            view: number of the view.
            sizes: (B, 2) original height and width in pixels, on the CPU.
            ids: (B,) position of each image in the training set, on the CPU.
            at: where training stands, and its generator.
        """
        del ids
        return random_boxes(sizes, self.augmentations[view], at.generator)

    def before_epoch(self, epoch: int, look: DatasetPass) -> None:
        """Prepare an epoch, for instance renew attention maps with ``look``."""

    def after_step(self, at: StepContext) -> None:
        """Follow an optimiser step, for instance move a momentum encoder."""

    def predict(self, images: Tensor) -> Tensor:
        """Return logits (B, K) for images (B, 3, H, W); only tasks that classify have it."""
        raise NotImplementedError

    def segment(self, images: Tensor) -> Tensor:
        """Return logits (B, 1, H, W) for images (B, 3, H, W); only tasks that segment have it.

        Such a task has no ``predict``; it is evaluated on whole images, stretched.
        """
        raise NotImplementedError

    def features(self, images: Tensor) -> Tensor:
        """Return features (B, D) for images (B, 3, H, W), for probes of a pre-training."""
        raise NotImplementedError

    @property
    def classifies(self) -> bool:
        """Whether the stage is evaluated on labels: the subclass has its own ``predict``."""
        return type(self).predict is not Task.predict

    @property
    def segments(self) -> bool:
        """Whether the stage needs masks and is evaluated on them: it has its own ``segment``."""
        return type(self).segment is not Task.segment

    @property
    def deployed(self) -> Callable[[Tensor], Tensor] | None:
        """The forward that is evaluated, ``predict`` or ``segment``; None for a pre-training."""
        if self.segments:
            return self.segment
        return self.predict if self.classifies else None

    @property
    def has_features(self) -> bool:
        """Whether the stage is probed: the subclass has its own ``features``."""
        return type(self).features is not Task.features

    def start_from(self, previous: Mapping[str, Tensor]) -> None:
        """Take over the state dict of the stage before.

        Raises:
            UserError: a key or shape does not fit; no key is dropped unless the task names it.
        """
        raise NotImplementedError

    def no_decay(self, name: str) -> bool:
        """Whether a parameter with more than one dimension is still free of weight decay."""
        return False

    def layers(self) -> Layers | None:
        """Depths for ``Recipe.layer_decay``; None where the method defines none."""
        return None


def build_task(method: Method, dataset: Dataset, backbones: BackboneSizes) -> Task:
    """Build a method's task, which may ask for the size of the backbone that it declares only.

    Raises:
        TypeError: what ``build`` returns is no task.
    """
    task = method.build(dataset, backbones.restricted(backbone_of(method)))
    if not isinstance(task, Task):
        raise TypeError(
            f"{type(method).__qualname__}.build returned {type(task).__name__}; it must return a"
            " Task"
        )
    return task
