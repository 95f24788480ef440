"""What is checked: a method with a recipe at a profile's size, on images that are made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from harness import seed
from harness.check.finding import Finding, files_of
from harness.check.handed import Handed
from harness.spec.backbones import BackboneSizes
from harness.spec.dataset import Dataset, Item
from harness.spec.profile import OVERSAMPLING
from harness.spec.recipe import Method, Recipe
from harness.train.figures import NAME
from harness.train.images import Images, draw_batch
from harness.train.loop import look
from harness.train.task import Batch, StepContext, Task, start_task

CLASSES, COUNT, BATCH = 4, 16, 8
"""Classes and images of the made-up data set, and images of a batch."""

STREAM = "check"
"""Name from which all random numbers of a check are derived."""


def small_recipe(given: Recipe | None = None) -> Recipe:
    """Return a recipe with batches that the made-up images fill.

    Args:
        given: whose other settings are kept; None for AdamW's usual ones.
    """
    if given is None:
        return Recipe(epochs=100, batch_size=BATCH, base_lr=0.01)
    return replace(given, batch_size=BATCH, lr_batch=None, base_lr=given.lr)


def dataset() -> Dataset:
    """Return a data set that exists in name only."""
    return Dataset(
        name="check",
        title="Check",
        classes=tuple(f"class{i}" for i in range(CLASSES)),
        counts=(COUNT // CLASSES,) * CLASSES,
        sizes={"train": COUNT, "eval": 0},
        channels=3,
        source="made up",
        licence="none",
        listing=_nothing,
    )


def _nothing(source: object) -> tuple[Item, ...]:
    del source
    return ()


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A method that is checked.

    Attributes:
        method: its settings.
        backbones: sizes of a profile.
        recipe: how it is trained, with batches of ``BATCH``.
        previous: the method of the stage before it; None for a first stage.
        images: of the training set.
    """

    method: Method
    backbones: BackboneSizes
    recipe: Recipe = field(default_factory=small_recipe)
    previous: Method | None = None

    @property
    def short(self) -> Recipe:
        """The recipe with two epochs and the full learning rate from the start."""
        return replace(self.recipe, epochs=2, warmup_epochs=0)

    @property
    def files(self) -> frozenset[str]:
        """The file of the method's settings."""
        return files_of(type(self.method))

    def images(self) -> Images:
        """Return noise of all classes, every image with a mask."""
        side = OVERSAMPLING * self.backbones.image_size
        draws = seed.generator(STREAM, "images")
        pixels = torch.randint(0, 256, (COUNT, 3, side, side), dtype=torch.uint8, generator=draws)
        masks = torch.randint(0, 2, (COUNT, 1, side, side), dtype=torch.uint8, generator=draws)
        return Images(
            pixels=pixels,
            labels=torch.arange(COUNT) % CLASSES,
            sizes=torch.full((COUNT, 2), side),
            names=tuple(map(str, range(COUNT))),
            size=self.backbones.image_size,
            masks=masks,
        )

    def task(self, stream: str = STREAM, *, method: Method | None = None) -> Task:
        """Build the task, or that of another method, with weights drawn from a stream."""
        return self.built_from(Handed(method or self.method, self.backbones), stream)

    def built_from(self, handed: Handed, stream: str = STREAM) -> Task:
        """Build a task from settings that the caller looks at afterwards."""
        return start_task(handed.method, dataset(), handed.backbones, stream=stream, weights=None)

    def at(self, epoch: int) -> StepContext:
        """Return the first step of an epoch."""
        return StepContext(
            epoch=epoch,
            epochs=self.recipe.epochs,
            step=0,
            steps=COUNT // BATCH,
            generator=seed.generator(STREAM, "step", epoch),
        )

    def batch(self, task: Task, epoch: int) -> tuple[Batch, StepContext]:
        """Begin an epoch and return its first batch; global random numbers are the caller's."""
        images, at = self.images(), self.at(epoch)
        task.before_epoch(epoch, lambda function: look(task, images, function))
        return draw_batch(task, images, torch.arange(BATCH), at), at

    @property
    def epochs(self) -> tuple[int, ...]:
        """The first and the last epoch."""
        return tuple(dict.fromkeys((0, self.recipe.epochs - 1)))


def checked_losses(task: Task, batch: Batch, at: StepContext) -> dict[str, Tensor]:
    """Return a task's losses.

    Raises:
        Finding: they are no finite scalars by name, or "total" is missing or has no gradient.
    """
    losses = task.losses(batch, at)
    about = type(task).losses
    if not isinstance(losses, Mapping) or "total" not in losses:
        has = sorted(losses) if isinstance(losses, Mapping) else type(losses).__name__
        raise Finding(f'losses returns {has}; return {{"total": loss, ...}}', about)
    for name, value in losses.items():
        if not isinstance(name, str) or NAME.fullmatch(name) is None:
            raise Finding(
                f"the name {name!r} of a loss must be a text of letters, digits, blanks and"
                " . : / _ -",
                about,
            )
        if not isinstance(value, Tensor) or value.ndim:
            kind = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise Finding(f"the loss {name!r} is {kind}; return a scalar tensor (a mean)", about)
        if not bool(torch.isfinite(value)):
            raise Finding(
                f"the loss {name!r} is {float(value.detach())} at epoch {at.epoch}", about
            )
    if not losses["total"].requires_grad:
        raise Finding(
            'losses["total"] has no gradient; leave out .detach(), .item() and no_grad on its way',
            about,
        )
    return dict(losses)
