"""Forward passes of a stage, deployed or in training, at a profile's size on any device."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from harness import seed
from harness.cost.count import CountingMode
from harness.errors import UserError
from harness.spec.backbones import BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import Stage
from harness.train.task import Batch, StepContext, Task, build_task


@runtime_checkable
class KeepsTokens(Protocol):
    """A classifier that can classify from a subset of the patches."""

    def classify(self, images: Tensor, ids_keep: Tensor | None = None) -> Tensor:
        """Return logits (B, K) from the patches ``ids_keep`` (B, V), or from all L patches."""
        ...


class StagePasses:
    """A stage's task together with one batch of noise.

    Args:
        stage: the stage; training passes are those of its recipe's last epoch.
        dataset: determines the number of classes.
        backbones: the profile's sizes.
        device: "meta" for counting, which needs only shapes.
        batch: number of images B.
    """

    def __init__(
        self,
        stage: Stage,
        dataset: Dataset,
        backbones: BackboneSizes,
        device: torch.device,
        batch: int,
    ) -> None:
        """Build the task on the device."""
        self.stage = stage
        self.dataset = dataset
        self.backbones = backbones
        with seed.third_party("cost", "build"), device:
            self.task: Task = build_task(stage.method, dataset, backbones)
        self.task.to(device)
        self.batch = _batch(self.task, backbones.image_size, device, batch)

    @property
    def images(self) -> int:
        """Number of images B in the batch."""
        return len(self.batch.labels)

    @property
    def tokens(self) -> int | None:
        """Number of tokens L + 1 with [CLS]; None if the method cannot leave patches out."""
        return self.backbones.grid**2 + 1 if isinstance(self.task, KeepsTokens) else None

    def deployed(self, tokens: int | None = None) -> Callable[[], Tensor]:
        """Return the forward pass of a classifier or segmenter in eval mode.

        Args:
            tokens: number of tokens, with [CLS], that are kept after all patches are embedded;
                None keeps all.

        Raises:
            UserError: the stage is a pre-training, or cannot keep that number of tokens.
        """
        task, images = self.task, self.batch.images[0]
        forward = task.deployed
        if forward is None:
            raise UserError("A pre-training has no deployed forward; ask for its fine-tuning.")
        task.eval()
        if tokens is None or tokens == self.tokens:
            return lambda: forward(images)
        if not isinstance(task, KeepsTokens) or self.tokens is None:
            raise UserError(
                f"--tokens {tokens}: this model cannot leave patches out; leave --tokens out or"
                " take a ViT classifier (vit_base_patch16)."
            )
        if not 2 <= tokens <= self.tokens:
            raise UserError(
                f"--tokens {tokens} cannot be: allowed are 2 to {self.tokens} ([CLS] and at least"
                f" one of {self.tokens - 1} patches at {self.backbones.image_size} px)."
            )
        # The cost depends on the number of patches only, so the first ones are kept.
        ids = torch.arange(tokens - 1, device=images.device).expand(len(images), -1)
        return lambda: task.classify(images, ids)

    def training(self) -> Callable[[], Tensor]:
        """Return the training forward with its loss, with masks as in the last epoch.

        Raises:
            UserError: the method cannot train on such a batch.
        """
        recipe = dataclasses.replace(self.stage.recipe, batch_size=self.images)
        check = getattr(self.stage.method, "check", None)
        if check is not None:
            check(recipe=recipe, images=self.dataset.sizes["train"], backbones=self.backbones)
        task, epochs = self.task, recipe.epochs
        task.eval()
        maps_computed = False

        def compute_maps(function: Callable[[Tensor], Tensor]) -> Tensor:
            nonlocal maps_computed
            maps_computed = True
            with torch.no_grad():
                return function(self.batch.images[0])

        # Attention maps are computed as at the last epoch that needs them. On the meta device,
        # CountingMode replaces copies of boxes and maps to the CPU by zeros.
        with CountingMode(()) if self.batch.images.is_meta else nullcontext():
            for epoch in reversed(range(epochs)):
                task.before_epoch(epoch, compute_maps)
                if maps_computed:
                    break
        task.train()

        def forward() -> Tensor:
            context = StepContext(
                epoch=epochs - 1, epochs=epochs, step=0, steps=1, generator=torch.Generator()
            )
            return task.losses(self.batch, context)["total"]

        return forward


def _batch(task: Task, size: int, device: torch.device, count: int) -> Batch:
    """Return a batch of noise with whole-image boxes for all of a task's views."""
    views = len(task.augmentations)
    whole = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(views, count, 4)
    shape = (views, count, 3, size, size)
    # Noise, because on some devices zeros take less power and therefore less time.
    images = torch.empty(shape, device=device)
    if device.type != "meta":
        images = torch.randn(shape, generator=seed.generator("cost", "images")).to(device)
    return Batch(
        images=images,
        labels=torch.zeros(count, dtype=torch.int64, device=device),
        ids=torch.arange(count).to(device),
        boxes=whole.to(device),
        flips=torch.zeros(views, count, dtype=torch.bool, device=device),
        masks=torch.zeros(views, count, 1, size, size, device=device) if task.needs_masks else None,
    )
