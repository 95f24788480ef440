"""Supervised classifiers ViT-B, Swin-T and ResNet50, trained from scratch or fine-tuned.

The MSMAE paper gives no recipe for them. The recipes here are those of the architectures' authors:
MAE's from-scratch recipe for ViT, Swin's, and the usual one of ResNet. All three have the paper's
crops and flips (Appendix B) and label smoothing, and neither mixing nor RandAugment, like every
other row. Settings for those exist for the published fine-tuning recipes (``own_finetune``).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from msgspec import Meta
from torch import Tensor, nn

from harness import ranges
from harness.augment import mixup as mixing
from harness.augment.mixup import Mixing
from harness.augment.view import Augmentation, Evaluation, ImageRange
from harness.canonical import as_before
from harness.errors import UserError
from harness.methods.baselines._backbones import (
    residual_network,
    resnet_depths,
    swin_depths,
    swin_transformer,
)
from harness.methods.baselines._batch import need_two
from harness.methods.msmae import paper
from harness.methods.msmae.finetune import CROP_AND_FLIP, Finetune, load_encoder
from harness.ranges import ShareBelowOne
from harness.spec.backbones import RESNET, SWIN, Backbone, BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import Method, Recipe, Stage
from harness.train.task import Batch, Layers, StepContext, Task

VIT_RECIPE = Recipe(
    base_lr=1e-4,
    batch_size=256,
    epochs=300,
    warmup_epochs=20,
    weight_decay=0.3,
    betas=(0.9, 0.95),
)
"""From-scratch recipe of MAE's appendix A.2, at the paper's fine-tuning batch, not 4096."""

SWIN_RECIPE = Recipe(
    base_lr=5e-4,
    lr_batch=512,
    batch_size=256,
    epochs=300,
    warmup_epochs=20,
    weight_decay=0.05,
    clip_norm=5.0,
)
"""Swin's ImageNet-1K recipe at batch 256 instead of 1024."""

RESNET_RECIPE = Recipe(
    optimizer="sgd",
    base_lr=0.1,
    batch_size=256,
    epochs=300,
    weight_decay=1e-4,
    decay_all=True,
    momentum=0.9,
)
"""The usual ImageNet recipe (He et al. 2016) with a cosine schedule instead of steps, for as many
epochs as the other two: on small data sets the usual 100 epochs are too few steps."""


@dataclass(frozen=True, kw_only=True)
class Swin:
    """Settings of the Swin-T classifier.

    Attributes:
        label_smoothing: share of the target spread over all classes.
        mixup, cutmix: alphas of the Beta distributions in ``harness.augment.mixup``, 0 for off.
        drop_path: rate of stochastic depth at the last block.
        augmentation: how training images are cropped, flipped and coloured.
        evaluation: how test images are prepared, see ``harness.train.task.Task``.
    """

    key_name: ClassVar[str] = "swin-classifier"
    backbone: ClassVar[Backbone[Any]] = SWIN

    label_smoothing: ShareBelowOne = 0.1
    mixup: mixing.AlphaOrOff = 0.0
    cutmix: mixing.AlphaOrOff = 0.0
    drop_path: ShareBelowOne = 0.2
    augmentation: Augmentation = CROP_AND_FLIP
    evaluation: Evaluation = "stretch"

    def __post_init__(self) -> None:
        ranges.check(self)
        mixing.check(self.mixup, self.cutmix, self.label_smoothing)

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Check that the grid of patches can be halved between the stages."""
        del recipe, images
        backbones.swin.check_grid(backbones.image_size)

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the classifier for the classes of a data set."""
        model = swin_transformer(
            backbones.swin,
            backbones.image_size,
            classes=len(dataset.classes),
            drop_path=self.drop_path,
        )
        return Supervised(model, self, swin_depths(backbones.swin), len(dataset.classes))


@dataclass(frozen=True, kw_only=True)
class ResNet50:
    """Settings of the ResNet50 classifier (stride in the 3x3 convolution).

    Attributes:
        label_smoothing: share of the target spread over all classes.
        mixup, cutmix: alphas of the Beta distributions in ``harness.augment.mixup``, 0 for off.
        head_std: standard deviation of the last layer's initial weights (its biases are 0); None
            keeps timm's initialisation.
        decay_head: whether weight decay and LARS's adaptation act on the last layer's weights.
        frozen: whether only the last layer is trained and the rest stays in eval mode (linear
            evaluation).
        augmentation: how training images are cropped, flipped and coloured.
        evaluation: how test images are prepared, see ``harness.train.task.Task``.
        image_range: "normalised" with ImageNet's mean and standard deviation (MSMAE's released
            code, timm), or "unit", pixels in 0..1 (SimCLR's code). An encoder that was pre-trained
            must be fed the range that it was pre-trained on; others are refused when planned.
    """

    key_name: ClassVar[str] = "resnet50"
    backbone: ClassVar[Backbone[Any]] = RESNET

    label_smoothing: ShareBelowOne = 0.1
    mixup: mixing.AlphaOrOff = 0.0
    cutmix: mixing.AlphaOrOff = 0.0
    head_std: Annotated[float, Meta(ge=0, le=10)] | None = None
    decay_head: bool = True
    frozen: bool = False
    augmentation: Augmentation = CROP_AND_FLIP
    evaluation: Evaluation = "stretch"
    image_range: ImageRange = field(default="normalised", metadata=as_before("normalised"))

    def __post_init__(self) -> None:
        ranges.check(self)
        mixing.check(self.mixup, self.cutmix, self.label_smoothing)

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Check that BatchNorm has two images per batch, unless the encoder is frozen."""
        del images, backbones
        if not self.frozen:
            need_two(recipe, "ResNet50 (BatchNorm)")

    def check_previous(self, previous: Method) -> None:
        """Check that the encoder was pre-trained on images of the same range."""
        trained_on: str = getattr(previous, "image_range", "normalised")
        if trained_on != self.image_range:
            raise UserError(
                f"method.image_range is {self.image_range!r}, but the encoder is pre-trained on"
                f" images of the range {trained_on!r}; set both alike, for instance"
                f" method.image_range={trained_on}."
            )

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the classifier for the classes of a data set."""
        model = residual_network(backbones.resnet, classes=len(dataset.classes))
        if self.head_std is not None:
            nn.init.normal_(model.fc.weight, std=self.head_std)
            nn.init.zeros_(model.fc.bias)
        task = Supervised(model, self, resnet_depths(backbones.resnet), len(dataset.classes))
        task.image_range = self.image_range
        if self.frozen:
            task.freeze()
        if not self.decay_head:
            task.undecayed = CLASSIFIERS
        return task


CLASSIFIERS = ("fc.", "head.")
"""Name prefixes of the last layer in timm's models; pre-trained encoders have none."""


class Supervised(Task):
    """A timm classifier trained with label-smoothed cross-entropy, from scratch or pre-trained."""

    cast_once = True

    def __init__(
        self, encoder: nn.Module, settings: Swin | ResNet50, depths: Layers, classes: int
    ) -> None:
        """Create the task from a model, its settings and the layer numbers of its parameters."""
        super().__init__()
        self.augmentations = (settings.augmentation,)
        self.evaluation = settings.evaluation
        self.encoder = encoder
        self.mixing = Mixing(
            classes=classes,
            mixup=settings.mixup,
            cutmix=settings.cutmix,
            label_smoothing=settings.label_smoothing,
        )
        self.needs_whole = self.mixing.ties
        self.depths = depths
        self.frozen = False
        self.undecayed: tuple[str, ...] = ()

    def freeze(self) -> None:
        """Freeze all but the last layer; the frozen part stays in eval mode permanently."""
        self.frozen = True
        for name, parameter in self.encoder.named_parameters():
            parameter.requires_grad = name.startswith(CLASSIFIERS)
        self.encoder.eval()

    def train(self, mode: bool = True) -> Supervised:  # noqa: FBT001, FBT002 (torch's signature)
        """Switch to training or eval mode; a frozen encoder always stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def draw_ahead(self, count: int, at: StepContext) -> Mapping[str, Any]:
        """Draw how the images of a step are mixed."""
        del count
        return {"mixing": mixing.draw(self.mixing, at.generator)}

    def step_kind(self, at: StepContext) -> Hashable | None:
        """Return one kind for all steps; None where images are mixed, by other numbers each."""
        del at
        return None if self.mixing.mixes else "alike"

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return the label-smoothed cross-entropy of the first view, with images mixed if set."""
        # Mixing gives soft targets; without it they are the labels.
        drawn = self.draw_ahead(len(batch.labels), at) if batch.ahead is None else batch.ahead
        images, targets = mixing.mix(batch.images[0], batch.labels, self.mixing, drawn["mixing"])
        logits = self.encoder(images).float()
        return {"total": mixing.loss(logits, targets, self.mixing)}

    def predict(self, images: Tensor) -> Tensor:
        """Return logits (B, K) of images (B, 3, H, W)."""
        logits: Tensor = self.encoder(images)
        return logits

    def start_from(self, previous: Mapping[str, Tensor]) -> None:
        """Load the encoder's weights from a pre-training; the last layer keeps its own."""
        load_encoder(self.encoder, previous, fresh=CLASSIFIERS)

    def layers(self) -> Layers:
        """Return depths for layer decay: 0 stem or embedding, one per block, norm and head last."""
        return self.depths

    def no_decay(self, name: str) -> bool:
        """Exempt Swin's position biases, as Swin does, and the head if set, from weight decay."""
        in_head = name.removeprefix("encoder.").startswith(self.undecayed)
        return in_head or name.endswith("relative_position_bias_table")


def finetune_swin() -> Stage:
    """Return the fine-tuning of a pre-trained Swin-T on the recipe of Table 5."""
    return Stage(phase="finetune", method=Swin(drop_path=0.1), recipe=paper.FINETUNE)


def finetune_resnet(image_range: ImageRange = "normalised") -> Stage:
    """Return the fine-tuning of a pre-trained ResNet50 on the recipe of Table 5.

    Args:
        image_range: that of the pre-training.
    """
    return Stage(phase="finetune", method=ResNet50(image_range=image_range), recipe=paper.FINETUNE)


def vit() -> tuple[Stage, ...]:
    """Return supervised ViT-B: the fine-tuning classifier without pre-training."""
    method = Finetune(head_std=0.02)
    return (Stage(phase="supervised", method=method, recipe=VIT_RECIPE),)


def swin() -> tuple[Stage, ...]:
    """Return supervised Swin-T, trained from scratch."""
    return (Stage(phase="supervised", method=Swin(), recipe=SWIN_RECIPE),)


def resnet() -> tuple[Stage, ...]:
    """Return supervised ResNet50, trained from scratch."""
    return (Stage(phase="supervised", method=ResNet50(), recipe=RESNET_RECIPE),)
