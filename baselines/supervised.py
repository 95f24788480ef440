"""Supervised ViT-B, Swin-T and ResNet50 (timm's models), from scratch or fine-tuned.

The paper gives no recipe for them. These are the architectures' own: MAE's from-scratch recipe
for ViT, Swin's and the usual ResNet recipe, with the paper's crops and flips (Appendix B) and its
label smoothing for all three; mixing and RandAugment are left out, as in every other row. The
settings have them for the fine-tuning that a pre-training method publishes (``own_finetune``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from harness.augment import mixup as mixing
from harness.augment.mixup import Mixing
from harness.augment.view import Augmentation, Evaluation
from harness.methods.baselines._backbones import (
    residual_network,
    resnet_depths,
    swin_depths,
    swin_transformer,
)
from harness.methods.baselines._batch import need_two
from harness.methods.msmae import paper
from harness.methods.msmae.finetune import CROP_AND_FLIP, Finetune, load_encoder
from harness.spec.backbones import RESNET, SWIN, Backbone, BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import Recipe, Stage
from harness.train.task import Batch, Layers, StepContext, Task

VIT_RECIPE = Recipe(
    base_lr=1e-4,
    batch_size=256,
    epochs=300,
    warmup_epochs=20,
    weight_decay=0.3,
    betas=(0.9, 0.95),
)
"""MAE, appendix A.2 (from scratch), at the paper's fine-tuning batch instead of 4096."""

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
"""The usual ImageNet recipe (He et al. 2016) with a cosine instead of steps, over as many epochs
as the other two: on small data sets the usual 100 are too few steps."""


@dataclass(frozen=True, kw_only=True)
class Swin:
    """Settings of the Swin-T classifier.

    Attributes:
        label_smoothing: share of the target spread over all classes.
        mixup, cutmix: alphas of ``harness.augment.mixup``, 0 for off.
        drop_path: stochastic depth at the last block.
        augmentation: of training images.
        evaluation: how test images are prepared, see ``harness.train.task.Task``.
    """

    key_name: ClassVar[str] = "swin-classifier"
    backbone: ClassVar[Backbone[Any]] = SWIN

    label_smoothing: float = 0.1
    mixup: float = 0.0
    cutmix: float = 0.0
    drop_path: float = 0.2
    augmentation: Augmentation = CROP_AND_FLIP
    evaluation: Evaluation = "stretch"

    def __post_init__(self) -> None:
        mixing.check(self.mixup, self.cutmix, self.label_smoothing)

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
        mixup, cutmix: alphas of ``harness.augment.mixup``, 0 for off.
        head_std: spread of the last layer's initial weights, 0 for zeros, with biases of zero;
            None keeps timm's.
        decay_head: weight decay, and LARS's adaptation, on the last layer's weights too.
        frozen: only the last layer is trained, the rest stays in eval mode (linear evaluation).
        augmentation: of training images.
        evaluation: how test images are prepared, see ``harness.train.task.Task``.
    """

    key_name: ClassVar[str] = "resnet50"
    backbone: ClassVar[Backbone[Any]] = RESNET

    label_smoothing: float = 0.1
    mixup: float = 0.0
    cutmix: float = 0.0
    head_std: float | None = None
    decay_head: bool = True
    frozen: bool = False
    augmentation: Augmentation = CROP_AND_FLIP
    evaluation: Evaluation = "stretch"

    def __post_init__(self) -> None:
        mixing.check(self.mixup, self.cutmix, self.label_smoothing)

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Refuse a batch without statistics; a frozen encoder in eval mode takes none."""
        del images, backbones
        if not self.frozen:
            need_two(recipe, "ResNet50 (BatchNorm)")

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the classifier for the classes of a data set."""
        model = residual_network(backbones.resnet, classes=len(dataset.classes))
        if self.head_std is not None:
            nn.init.normal_(model.fc.weight, std=self.head_std)
            nn.init.zeros_(model.fc.bias)
        task = Supervised(model, self, resnet_depths(backbones.resnet), len(dataset.classes))
        if self.frozen:
            task.freeze()
        if not self.decay_head:
            task.undecayed = CLASSIFIERS
        return task


CLASSIFIERS = ("fc.", "head.")
"""Where timm's models keep their last layer; a pre-training has none."""


class Supervised(Task):
    """A timm classifier under label-smoothed cross-entropy, from scratch or pre-trained."""

    def __init__(
        self, encoder: nn.Module, settings: Swin | ResNet50, depths: Layers, classes: int
    ) -> None:
        """Keep the model, how it is trained and the depths of its parameters."""
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
        """Train nothing but the last layer; the rest stays in eval mode for good."""
        self.frozen = True
        for name, parameter in self.encoder.named_parameters():
            parameter.requires_grad = name.startswith(CLASSIFIERS)
        self.encoder.eval()

    def train(self, mode: bool = True) -> Supervised:  # noqa: FBT001, FBT002 (torch's signature)
        """Switch to training or eval mode; a frozen encoder stays in the latter."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return the cross-entropy of the first view, mixed if so set."""
        images, targets = mixing.mix(batch.images[0], batch.labels, self.mixing, at.generator)
        logits = self.encoder(images).float()
        return {"total": mixing.loss(logits, targets, self.mixing)}

    def predict(self, images: Tensor) -> Tensor:
        """Return logits (B, K)."""
        logits: Tensor = self.encoder(images)
        return logits

    def start_from(self, previous: Mapping[str, Tensor]) -> None:
        """Take the encoder out of a pre-training state dict; the last layer starts anew."""
        load_encoder(self.encoder, previous, fresh=CLASSIFIERS)

    def layers(self) -> Layers:
        """Depth 0: stem or patch embedding; then one a block; the last: norm and classifier."""
        return self.depths

    def no_decay(self, name: str) -> bool:
        """Spare Swin's position biases from weight decay, as Swin does, and what is so set."""
        spared = name.removeprefix("encoder.").startswith(self.undecayed)
        return spared or name.endswith("relative_position_bias_table")


def finetune_swin() -> Stage:
    """Return the fine-tuning of a pre-trained Swin-T: Table 5, as for every rival."""
    return Stage(phase="finetune", method=Swin(drop_path=0.1), recipe=paper.FINETUNE)


def finetune_resnet() -> Stage:
    """Return the fine-tuning of a pre-trained ResNet50: Table 5, as for every rival."""
    return Stage(phase="finetune", method=ResNet50(), recipe=paper.FINETUNE)


def vit() -> tuple[Stage, ...]:
    """Return supervised ViT-B: the fine-tuning classifier without a stage before it."""
    method = Finetune(head_std=0.02)
    return (Stage(phase="supervised", method=method, recipe=VIT_RECIPE),)


def swin() -> tuple[Stage, ...]:
    """Return supervised Swin-T."""
    return (Stage(phase="supervised", method=Swin(), recipe=SWIN_RECIPE),)


def resnet() -> tuple[Stage, ...]:
    """Return supervised ResNet50."""
    return (Stage(phase="supervised", method=ResNet50(), recipe=RESNET_RECIPE),)
