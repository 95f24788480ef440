"""SimCLR: contrast two views of an image with all other images of a batch (Chen et al. 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from harness import ranges
from harness.augment.colour import Colour
from harness.augment.constants import per_device
from harness.augment.view import Augmentation, ImageRange
from harness.canonical import as_before
from harness.methods.baselines import supervised
from harness.methods.baselines._backbones import residual_network
from harness.methods.baselines._batch import NEGATIVES, need_two
from harness.ranges import Temperature
from harness.spec.backbones import RESNET, Backbone, BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import Recipe, Stage
from harness.train.task import Batch, StepContext, Task, nothing_drawn

if TYPE_CHECKING:
    from lightly.models.modules.heads import ProjectionHead

VIEW = Augmentation(
    scale=(0.08, 1.0),
    colour=Colour(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2),
)
"""Augmentation of both views: colour strength 1, blur with probability 0.5 (simclr, data_util)."""

RECIPE = Recipe(
    optimizer="lars",
    base_lr=0.075,
    lr_rule="sqrt",
    lr_batch=1,
    batch_size=256,
    epochs=300,
    warmup_epochs=10,
    weight_decay=1e-4,
    lars_rate="inside-momentum",
)
"""SimCLR's LARS recipe for small batches, 0.075 * sqrt(B), at batch 256 instead of 4096."""


@dataclass(frozen=True, kw_only=True)
class SimCLR:
    """Settings of SimCLR pre-training.

    Attributes:
        temperature: divisor of the similarities (SimCLR paper on ImageNet: 0.1; lightly: 0.5).
        head: projection head: "released", BatchNorm after both layers, the last one without shift
            (a shift would add the same vector to every image's output); "lightly", the same with
            a shift; "paper", linear, ReLU, linear without BatchNorm (text of SimCLR v1).
        reduction: "mean" over the 2B anchors (paper, lightly), or "sum" of the two views' means,
            which is twice as large (released code).
        head_layers: linear layers of the projection head; None takes those of the head's source: 3
            for "released" (Google's published pre-training, ``num_proj_layers=3``), 2 for "paper"
            (text of SimCLR v1) and for "lightly".
        block_scale: initial scale of the last BatchNorm of every residual block: "zero" (Google's
            code, resnet.py, ``init_zero=True``), or "one" (He et al. 2016; the reference of
            ContrastiveCrop). SimCLR's paper does not say.
        image_range: "unit", pixels in 0..1 (Google's code, which applies no mean and standard
            deviation), or "normalised" with ImageNet's (lightly). The paper does not say. What is
            fine-tuned from this encoder must be fed the same range.
    """

    key_name: ClassVar[str] = "simclr"
    backbone: ClassVar[Backbone[Any]] = RESNET

    temperature: Temperature = 0.1
    head: Literal["released", "lightly", "paper"] = "released"
    reduction: Literal["mean", "sum"] = "mean"
    head_layers: Literal[2, 3] | None = field(default=None, metadata=as_before(2))
    block_scale: Literal["zero", "one"] = field(default="zero", metadata=as_before("one"))
    image_range: ImageRange = field(default="unit", metadata=as_before("normalised"))

    def __post_init__(self) -> None:
        ranges.check(self)

    @property
    def layers(self) -> int:
        """Number of linear layers of the projection head."""
        return self.head_layers or (3 if self.head == "released" else 2)

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Check that a batch has at least one negative."""
        del images, backbones
        need_two(recipe, "SimCLR (negatives)")

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the pre-training task; labels play no part."""
        del dataset
        return TwoViews(self, backbones)


class TwoViews(Task):
    """A ResNet with a projection head, trained with the NT-Xent loss."""

    needs_whole = NEGATIVES
    cast_once = True
    draw_ahead = nothing_drawn

    def __init__(self, settings: SimCLR, backbones: BackboneSizes) -> None:
        """Build the encoder at the profile's size; head widths keep SimCLR's ratios (2048, 128)."""
        from lightly.models.modules.heads import SimCLRProjectionHead

        super().__init__()
        self.augmentations = (VIEW, VIEW)
        self.factor = 2.0 if settings.reduction == "sum" else 1.0
        self.image_range = settings.image_range
        self.encoder = residual_network(
            backbones.resnet, classes=0, block_scale=settings.block_scale
        )
        width = self.encoder.num_features
        self.projector: ProjectionHead = SimCLRProjectionHead(
            width,
            width,
            width // 16,
            num_layers=settings.layers,
            batch_norm=settings.head != "paper",
        )
        if settings.head == "released":
            # The shift starts at zero; without a gradient it stays zero.
            self.projector.layers[-1].bias.requires_grad = False
        self.temperature = settings.temperature

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return NT-Xent of both views, encoded as one batch of 2B with common BatchNorm."""
        del at
        images = batch.images.flatten(0, 1)  # (2, B, 3, H, W) -> (2 B, 3, H, W)
        projected = self.projector(self.encoder(images)).float()
        return {"total": self.factor * nt_xent(projected, self.temperature)}

    def features(self, images: Tensor) -> Tensor:
        """Return the pooled features before the projection head (B, D)."""
        features: Tensor = self.encoder(images)
        return features


def nt_xent(views: Tensor, temperature: float) -> Tensor:
    """Return the normalised temperature-scaled cross-entropy of two views (SimCLR, eq. 1).

    The mean over anchors i of -log(exp(s_ij / T) / sum over k != i of exp(s_ik / T)), where j is
    the other view of i and s the cosine similarity. lightly's loss has the same values, but picks
    the terms k != i by a mask, for which it waits for the device.

    Args:
        views: (2 B, D), the first views of all images, then the second ones.
        temperature: T.
    """
    views = nn.functional.normalize(views, dim=1)
    similarities = views @ views.T / temperature
    # An anchor is no negative of itself: exp(-inf) = 0.
    similarities.fill_diagonal_(-math.inf)
    return nn.functional.cross_entropy(similarities, _partners(len(views), device=views.device))


@per_device
def _partners(count: int, *, device: torch.device) -> Tensor:
    """Return the number of every view's other view among ``count`` of them, (count,) int64."""
    return torch.arange(count, device=device).roll(count // 2)


def stages() -> tuple[Stage, ...]:
    """Return SimCLR's pre-training, then fine-tuning on the common protocol (Table 5)."""
    return (
        Stage(phase="pretrain", method=SimCLR(), recipe=RECIPE),
        supervised.finetune_resnet(image_range=SimCLR().image_range),
    )


def own_finetune() -> Stage:
    """Return SimCLR's own fine-tuning of all weights (simclr, README, 1 % of ImageNet's labels).

    LARS at 0.005 * sqrt(B), momentum 0.9, no weight decay, no warm-up, cosine to 0, 60 epochs;
    the last layer starts at zero and, like biases and BatchNorm, is excluded from LARS's
    adaptation (model_util.py); bicubic crops of 0.08 to 1 and flips, no colour changes, no label
    smoothing; images in 0..1, as in pre-training; tested on a central crop (of 0.875, as here).
    Published at batch 1024, here 256. Not reproduced: that command, for SimCLR's second version,
    keeps the projection's first layer.
    """
    method = supervised.ResNet50(
        label_smoothing=0.0,
        head_std=0.0,
        decay_head=False,
        augmentation=Augmentation(scale=(0.08, 1.0)),
        evaluation="centre-crop",
        image_range="unit",
    )
    recipe = Recipe(
        optimizer="lars",
        base_lr=0.005,
        lr_rule="sqrt",
        lr_batch=1,
        batch_size=256,
        epochs=60,
        weight_decay=0.0,
        momentum=0.9,
        lars_rate="inside-momentum",
    )
    return Stage(phase="finetune", method=method, recipe=recipe)
