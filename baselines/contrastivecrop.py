"""ContrastiveCrop on MoCo v2: crops centred inside the box of the object (Peng et al. 2022).

Every few epochs the encoder's activation map of each unaugmented image gives the box. Crop centres
are then drawn inside it from a U-shaped Beta distribution, so that the two views overlap less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from harness import ranges
from harness.augment.colour import Colour
from harness.augment.view import Augmentation
from harness.errors import UserError
from harness.methods.baselines import _imagenet, supervised
from harness.methods.baselines._backbones import residual_network
from harness.methods.baselines._crops import boxed_crops, heat_boxes
from harness.methods.baselines._groups import GroupedBatchNorm2d, in_groups
from harness.methods.baselines._momentum import Queue, follow, frozen_copy
from harness.ranges import Alpha, AnyCount, Epochs, EpochsOrNone, Share, ShareBelowOne, Temperature
from harness.spec.backbones import RESNET, Backbone, BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import EPOCHS, Recipe, Stage
from harness.train.task import Batch, DatasetPass, StepContext, Task

VIEW = Augmentation(scale=(0.2, 1.0), interpolation="bilinear", colour=Colour())
"""MoCo v2's augmentation: colour jitter (0.4, 0.4, 0.4, 0.1), greyscale 0.2, blur 0.5."""

RECIPE = Recipe(
    optimizer="sgd",
    base_lr=0.03,
    batch_size=256,
    epochs=300,
    weight_decay=1e-4,
    decay_all=True,
    schedule="cosine-by-epoch",
)
"""MoCo v2's recipe, for 300 epochs like every pre-training here (ImageNet config: 100)."""


@dataclass(frozen=True, kw_only=True)
class ContrastiveCrop:
    """Settings of ContrastiveCrop pre-training with MoCo v2.

    Attributes:
        temperature: divisor of the similarities in the loss.
        momentum: constant momentum of the key encoder. None takes MoCo's 0.999, which averages
            over about 1000 steps, or less where that is more than a quarter of the training: on
            small data sets the key encoder would otherwise stay close to its random start.
        queue: number of keys in the queue of negatives; None takes the largest power of two that
            is at most the number of training images (the paper's 65 536 would contain 54 copies
            of every Messidor image).
        random_epochs: epochs of ordinary crops at the start (20 of 100 in the ImageNet config).
        update_interval: epochs between renewals of the boxes.
        threshold: share of the activation map's range above which a pixel belongs to the box.
        alpha: both parameters of the Beta distribution of centres; 1 is uniform, below 1 moves
            centres towards the border of the box.
        split: images that share BatchNorm statistics (32 on each of MoCo's eight GPUs). Keys are
            shuffled between groups, so that shared statistics do not reveal the positive.
        queue_start: contents of the queue before training. "noise", random unit vectors, as in
            MoCo: until they are replaced, the loss falls when all outputs become equal. Training
            on ImageNet has 500 times as many steps to recover from that; on hundreds of images it
            does not (all outputs equal, loss ln(queue + 1)). "keys" starts with the keys of the
            training images.
    """

    key_name: ClassVar[str] = "contrastivecrop"
    backbone: ClassVar[Backbone[Any]] = RESNET

    temperature: Temperature = 0.2
    momentum: Share | None = None
    queue: AnyCount | None = None
    random_epochs: EpochsOrNone = field(default=60, metadata=EPOCHS)
    update_interval: Epochs = field(default=60, metadata=EPOCHS)
    threshold: ShareBelowOne = 0.1
    alpha: Alpha = 0.6
    split: Annotated[int, Meta(ge=2, le=2**20)] = 32
    queue_start: Literal["keys", "noise"] = "keys"

    def __post_init__(self) -> None:
        ranges.check(self)

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Check that no group has one image and the queue is a multiple of the batch (MoCo)."""
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
        """Return the number of keys in the queue for a number of training images."""
        return self.queue or largest_queue(images)

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the pre-training task; it uses the number of training images, not the labels."""
        return CropContrast(self, backbones, self.queue_size(dataset.sizes["train"]))


class CropContrast(Task):
    """MoCo v2 with a query and a key encoder, a queue of keys and one box per training image."""

    cast_once = True
    needs_whole = "keys are shuffled over the batch and queued together"

    def __init__(self, settings: ContrastiveCrop, backbones: BackboneSizes, queue: int) -> None:
        """Build the encoders at the profile's size; head widths keep MoCo's ratios (2048, 128)."""
        from lightly.models.modules.heads import MoCoProjectionHead

        super().__init__()
        self.augmentations = (VIEW, VIEW)
        self.settings = settings
        self.size = backbones.image_size
        self.encoder = residual_network(backbones.resnet, classes=0, norm=GroupedBatchNorm2d)
        width = self.encoder.num_features
        self.projector = MoCoProjectionHead(width, width, width // 16)
        self.key_encoder = frozen_copy(self.encoder)
        self.key_projector = frozen_copy(self.projector)
        self.queue = Queue(queue, width // 16)
        self.boxes: Tensor | None = None
        self._new_keys: Tensor | None = None
        self.remarks = (f"ContrastiveCrop: a queue of {queue} keys",)

    def before_epoch(self, epoch: int, look: DatasetPass) -> None:
        """Fill the queue before the first epoch; renew the boxes after every update interval."""
        if epoch == 0 and self.settings.queue_start == "keys":
            self.queue.fill(look(self._first_keys))
        since = epoch - self.settings.random_epochs
        if since >= 0 and since % self.settings.update_interval == 0:
            self.boxes = look(self._box).cpu()

    def _first_keys(self, images: Tensor) -> Tensor:
        # Batch statistics as in training: the running statistics still have their initial values.
        self.key_encoder.train()
        return nn.functional.normalize(self._key(images).float(), dim=1)

    def _box(self, images: Tensor) -> Tensor:
        # (B, C, h, w) summed over channels gives the activation map (B, 1, h, w).
        heat = self.encoder.forward_features(images).float().sum(1, keepdim=True)
        return heat_boxes(heat, self.size, self.settings.threshold)

    def draw_boxes(self, view: int, sizes: Tensor, ids: Tensor, at: StepContext) -> Tensor:
        """Draw crops (B, 4) centred in the objects' boxes; ordinary ones before boxes exist."""
        if self.boxes is None:
            return super().draw_boxes(view, sizes, ids, at)
        settings = self.augmentations[view]
        regions = self.boxes[ids]
        return boxed_crops(sizes, regions, settings, self.settings.alpha, at.generator)

    def draw_ahead(self, count: int, at: StepContext) -> Mapping[str, Tensor]:
        """Draw the order (B,) in which keys are encoded, and its inverse."""
        order = torch.randperm(count, generator=at.generator)
        return {"order": order, "inverse": order.argsort()}

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return InfoNCE of first-view queries with second-view keys and the queue as negatives."""
        first, second = batch.images
        # In groups of ``split``, so that BatchNorm has the statistics of MoCo's GPUs.
        query = in_groups(self._project, (self.encoder,), first, self.settings.split)
        query = nn.functional.normalize(query.float(), dim=1)
        drawn = self.draw_ahead(len(second), at) if batch.ahead is None else batch.ahead
        key = self._keys(second, drawn, at)
        total = queue_contrast(query, key, self.queue.keys, self.settings.temperature)
        self._new_keys = key
        return {"total": total}

    def after_step(self, at: StepContext) -> None:
        """Push the keys of the step, after the backward pass has used the old queue."""
        if self._new_keys is not None:
            pushed = (at.epoch * at.steps + at.step) * len(self._new_keys)
            self.queue.push(self._new_keys, pushed)
            self._new_keys = None

    def _project(self, images: Tensor) -> Tensor:
        projected: Tensor = self.projector(self.encoder(images))
        return projected

    def _key(self, images: Tensor) -> Tensor:
        """Return the key network's output (B, D), with BatchNorm's statistics per group."""

        def network(part: Tensor) -> Tensor:
            projected: Tensor = self.key_projector(self.key_encoder(part))
            return projected

        return in_groups(network, (self.key_encoder,), images, self.settings.split)

    @torch.no_grad()
    def _keys(self, images: Tensor, drawn: Mapping[str, Tensor], at: StepContext) -> Tensor:
        """Update the key encoder, then return the keys (B, D) of images, of unit length."""
        # MoCo updates the key encoder before it computes the keys.
        momentum = self.settings.momentum
        if momentum is None:
            momentum = default_momentum(at.epochs * at.steps)
        follow(self.key_encoder, self.encoder, momentum)
        follow(self.key_projector, self.projector, momentum)
        shuffled = images[drawn["order"].to(images.device, non_blocking=True)]
        keys = self._key(shuffled)
        # The inverse permutation brings the keys back to the order of the queries.
        inverse = drawn["inverse"].to(images.device, non_blocking=True)
        return nn.functional.normalize(keys.float(), dim=1)[inverse]

    def features(self, images: Tensor) -> Tensor:
        """Return the pooled features before the projection head (B, D)."""
        features: Tensor = self.encoder(images)
        return features

    def get_extra_state(self) -> dict[str, Any]:
        """Return the boxes, so that a checkpoint contains them."""
        return {"boxes": self.boxes}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the boxes from a checkpoint."""
        self.boxes = state["boxes"]


def default_momentum(steps: int) -> float:
    """Return 1 - 1 / n with n a quarter of the training's steps, at most 1000; at least 0."""
    return max(0.0, min(0.999, 1 - 4 / steps))


def largest_queue(images: int) -> int:
    """Return the largest power of two that is at most the number of training images."""
    return int(2 ** (images.bit_length() - 1))


def queue_contrast(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Return MoCo's InfoNCE loss: the positive key against the keys of the queue.

    Args:
        query: (B, D), of unit length, with gradient.
        key: (B, D), of unit length, the positives.
        queue: (size, D), of unit length, the negatives.
        temperature: divisor of the similarities.
    """
    positive = (query * key).sum(1, keepdim=True)
    # (B, 1 + size) logits; the positive is class 0 of every row.
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

    The encoder is frozen in eval mode. The last layer starts at N(0, 0.01) with zero biases and
    is trained by SGD: learning rate 30 (batch 256), momentum 0.9, no weight decay, 100 epochs,
    times 0.1 at epochs 60 and 80; no label smoothing; tested on a central crop, here bicubic.
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
