"""ContrastiveCrop on MoCo v2: crops inside the object's box, centred off its middle.

Peng et al. 2022. Every few epochs a heat map of the unaugmented image gives its box; crops are
then centred inside it, by a U-shaped Beta that pushes the two views apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from harness.augment.colour import Colour
from harness.augment.view import Augmentation
from harness.errors import UserError
from harness.methods.baselines import _imagenet, supervised
from harness.methods.baselines._backbones import residual_network
from harness.methods.baselines._crops import boxed_crops, heat_boxes
from harness.methods.baselines._momentum import Queue, follow, frozen_copy
from harness.spec.backbones import RESNET, Backbone, BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import EPOCHS, Recipe, Stage
from harness.train.task import Batch, DatasetPass, StepContext, Task

VIEW = Augmentation(scale=(0.2, 1.0), interpolation="bilinear", colour=Colour())
"""MoCo v2's: jitter (0.4, 0.4, 0.4, 0.1), grey 0.2, blur 0.5."""

RECIPE = Recipe(
    optimizer="sgd",
    base_lr=0.03,
    batch_size=256,
    epochs=300,
    weight_decay=1e-4,
    decay_all=True,
    schedule="cosine-by-epoch",
)
"""MoCo v2's recipe; 300 epochs like every pre-training here (the ImageNet config has 100)."""


@dataclass(frozen=True, kw_only=True)
class ContrastiveCrop:
    """Settings of ContrastiveCrop with MoCo v2.

    Attributes:
        temperature: of the logits.
        momentum: of the key encoder, constant; None takes MoCo's 0.999, which reaches over 1000
            steps, or a quarter of the training's steps where that is less: on small data sets
            the key encoder would else stay what it was at random.
        queue: negatives that are kept; None takes the largest power of two that is no more than
            the training set (the paper's 65 536 would hold 54 copies of every Messidor image).
        random_epochs: epochs of ordinary crops first (20 of 100 in the ImageNet config).
        update_interval: epochs between looks.
        threshold: share of the heat map's range from which a pixel belongs to the box.
        alpha: of the symmetric Beta; 1 is uniform, below 1 pushes centres to the box's border.
        split: images that share batch statistics, 32 on each of MoCo's eight GPUs; the keys'
            groups are shuffled, so that statistics do not give the positive away.
        queue_start: what the queue holds at first. "noise", random directions, is MoCo's; until
            they are replaced, the loss falls by making all outputs alike. ImageNet has 500 times
            as many steps to undo that; on hundreds of images it ends there (all outputs alike,
            loss ln(queue + 1)). "keys" starts with the training images' own.
    """

    key_name: ClassVar[str] = "contrastivecrop"
    backbone: ClassVar[Backbone[Any]] = RESNET

    temperature: float = 0.2
    momentum: float | None = None
    queue: int | None = None
    random_epochs: int = field(default=60, metadata=EPOCHS)
    update_interval: int = field(default=60, metadata=EPOCHS)
    threshold: float = 0.1
    alpha: float = 0.6
    split: int = 32
    queue_start: Literal["keys", "noise"] = "keys"

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.alpha <= 0 or not 0 <= self.threshold < 1:
            raise UserError(
                f"temperature is {self.temperature}, alpha {self.alpha}, threshold"
                f" {self.threshold}; allowed: above 0, above 0, and 0 up to below 1."
            )
        if self.momentum is not None and not 0 <= self.momentum <= 1:
            raise UserError(f"momentum is {self.momentum}; allowed: 0 to 1.")
        queue = 1 if self.queue is None else self.queue
        if self.update_interval < 1 or self.split < 2 or queue < 1:
            raise UserError(
                f"update_interval is {self.update_interval}, split {self.split}, queue"
                f" {self.queue}; allowed: at least 1, 2 and 1."
            )

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Refuse a group of one image, and a queue that is not whole batches (MoCo)."""
        del backbones
        batch, size = recipe.batch_size, self.queue_size(images)
        if batch % self.split == 1:
            raise UserError(
                f"recipe.batch_size is {batch}, which leaves one image alone in groups of"
                f" {self.split} (method.split), but BatchNorm needs 2; allowed: at least 2, and"
                f" not one more than a multiple of {self.split}."
            )
        if size % batch:
            least = max(batch, size // batch * batch)
            chosen = "" if self.queue else f", the largest power of two up to {images} images,"
            raise UserError(
                f"method.queue {size}{chosen} is not a multiple of the batch {batch}; allowed:"
                f" multiples of {batch}, for instance method.queue={least}."
            )

    def queue_size(self, images: int) -> int:
        """Return how many negatives are kept when so many images are trained on."""
        return self.queue or largest_queue(images)

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the pre-training task; labels play no part, the training set's size does."""
        return CropContrast(self, backbones, self.queue_size(dataset.sizes["train"]))


class CropContrast(Task):
    """Query and key encoder, a queue of keys, and a box for every training image."""

    needs_whole = "keys are shuffled over the batch and queued together"

    def __init__(self, settings: ContrastiveCrop, backbones: BackboneSizes, queue: int) -> None:
        """Build the encoders at the profile's size; the head keeps MoCo's proportions."""
        from lightly.models.modules.heads import MoCoProjectionHead

        super().__init__()
        self.augmentations = (VIEW, VIEW)
        self.settings = settings
        self.size = backbones.image_size
        self.encoder = residual_network(backbones.resnet, classes=0)
        width = self.encoder.num_features
        self.projector = MoCoProjectionHead(width, width, width // 16)
        self.key_encoder = frozen_copy(self.encoder)
        self.key_projector = frozen_copy(self.projector)
        self.queue = Queue(queue, width // 16)
        self.boxes: Tensor | None = None
        self._new: Tensor | None = None
        self.remarks = (f"ContrastiveCrop: a queue of {queue} keys",)

    def before_epoch(self, epoch: int, look: DatasetPass) -> None:
        """Fill the queue before the first epoch; renew the boxes when the schedule says so."""
        if epoch == 0 and self.settings.queue_start == "keys":
            self.queue.fill(look(self._first_keys))
        since = epoch - self.settings.random_epochs
        if since >= 0 and since % self.settings.update_interval == 0:
            self.boxes = look(self._box).cpu()

    def _first_keys(self, images: Tensor) -> Tensor:
        # Batch statistics, as in training: the running ones have seen nothing yet.
        self.key_encoder.train()
        groups = groups_of(images, self.settings.split)
        keys = torch.cat([self.key_projector(self.key_encoder(some)) for some in groups])
        return nn.functional.normalize(keys.float(), dim=1)

    def _box(self, images: Tensor) -> Tensor:
        heat = self.encoder.forward_features(images).float().sum(1, keepdim=True)
        return heat_boxes(heat, self.size, self.settings.threshold)

    def draw_boxes(self, view: int, sizes: Tensor, ids: Tensor, at: StepContext) -> Tensor:
        """Draw crops inside the boxes, or anywhere before there are boxes."""
        if self.boxes is None:
            return super().draw_boxes(view, sizes, ids, at)
        settings = self.augmentations[view]
        regions = self.boxes[ids]
        return boxed_crops(sizes, regions, settings, self.settings.alpha, at.generator)

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return InfoNCE of the first view against the queue; the second view gives the keys."""
        first, second = batch.images
        query = torch.cat([self._project(some) for some in first.split(self.settings.split)])
        query = nn.functional.normalize(query.float(), dim=1)
        key = self._keys(second, at)
        total = queue_contrast(query, key, self.queue.keys, self.settings.temperature)
        self._new = key
        return {"total": total}

    def after_step(self, at: StepContext) -> None:
        """Push the step's keys, now that no gradient needs the old ones."""
        if self._new is not None:
            self.queue.push(self._new, (at.epoch * at.steps + at.step) * len(self._new))
            self._new = None

    def _project(self, images: Tensor) -> Tensor:
        projected: Tensor = self.projector(self.encoder(images))
        return projected

    @torch.no_grad()
    def _keys(self, images: Tensor, at: StepContext) -> Tensor:
        momentum = self.settings.momentum
        if momentum is None:
            momentum = default_momentum(at.epochs * at.steps)
        follow(self.key_encoder, self.encoder, momentum)
        follow(self.key_projector, self.projector, momentum)
        order = torch.randperm(len(images), generator=at.generator)
        shuffled = images[order.to(images.device, non_blocking=True)]
        groups = shuffled.split(self.settings.split)
        keys = torch.cat([self.key_projector(self.key_encoder(some)) for some in groups])
        back = order.argsort().to(images.device, non_blocking=True)
        return nn.functional.normalize(keys.float(), dim=1)[back]

    def features(self, images: Tensor) -> Tensor:
        """Return the pooled features before the head (B, D)."""
        features: Tensor = self.encoder(images)
        return features

    def get_extra_state(self) -> dict[str, Any]:
        """Keep the boxes across a kill."""
        return {"boxes": self.boxes}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the boxes back."""
        self.boxes = state["boxes"]


def default_momentum(steps: int) -> float:
    """Return the momentum that reaches over a quarter of the training's steps, at most 1000."""
    return max(0.0, min(0.999, 1 - 4 / steps))


def largest_queue(images: int) -> int:
    """Return the largest power of two that is no more than the number of training images."""
    return int(2 ** (images.bit_length() - 1))


def groups_of(images: Tensor, split: int) -> tuple[Tensor, ...]:
    """Cut images (B, ...) into groups of ``split``; a last one alone joins those before it.

    A batch has no such image (``check``), but the number of training images may leave one.
    """
    alone = len(images) % split == 1
    return images.tensor_split(tuple(range(split, len(images) - alone, split)))


def queue_contrast(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy of the positive (B,) among it and the queue's negatives.

    Args:
        query: (B, D), normalised, with gradient.
        key: (B, D), normalised.
        queue: (size, D), normalised.
        temperature: of the logits.
    """
    positive = (query * key).sum(1, keepdim=True)
    logits = torch.cat([positive, query @ queue.T], 1) / temperature
    labels = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    return nn.functional.cross_entropy(logits, labels)


def stages() -> tuple[Stage, ...]:
    """Return ContrastiveCrop's pre-training, then fine-tuning on the common protocol (Table 5)."""
    return (
        Stage(phase="pretrain", method=ContrastiveCrop(), recipe=RECIPE),
        supervised.finetune_resnet(),
    )


def own_finetune() -> Stage:
    """Return the linear evaluation that ContrastiveCrop publishes (DDP_linear.py, IN1K_res50.py).

    The encoder is frozen in eval mode; the last layer starts at N(0, 0.01) with zero biases
    and takes SGD at 30 (B 256), momentum 0.9, no decay, 100 epochs, times 0.1 at 60 and 80; no
    smoothing; tested on a central crop, here bicubic.
    """
    method = supervised.ResNet50(
        label_smoothing=0.0,
        head_std=0.01,
        frozen=True,
        augmentation=_imagenet.PLAIN,
        evaluation="centre-crop",
    )
    recipe = Recipe(
        optimizer="sgd",
        schedule="steps",
        milestones=(60, 80),
        base_lr=30.0,
        batch_size=256,
        epochs=100,
        weight_decay=0.0,
        momentum=0.9,
    )
    return Stage(phase="finetune", method=method, recipe=recipe)
