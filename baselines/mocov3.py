"""MoCo v3: contrast two views in the batch, through a momentum encoder (Chen et al. 2021), ViT.

The encoder starts as the released code's: patch embedding frozen, sine-cosine positions with
rows first, query, key and value initialised as separate matrices.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from harness.augment.colour import Colour
from harness.augment.view import Augmentation
from harness.errors import UserError
from harness.methods.baselines import _imagenet
from harness.methods.baselines._batch import NEGATIVES, need_two
from harness.methods.baselines._momentum import follow, frozen_copy
from harness.methods.msmae import paper
from harness.methods.msmae.finetune import Finetune
from harness.spec.backbones import VIT, Backbone, BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import PER_STEP, Recipe, Stage
from harness.train.task import Batch, StepContext, Task

if TYPE_CHECKING:
    from lightly.models.modules.heads import ProjectionHead

    from harness.methods.msmae.vit import VisionTransformer

COLOUR = Colour(saturation=0.2, blur=1.0)
"""View 1 (moco-v3, main_moco): jitter (0.4, 0.4, 0.2, 0.1), always blurred."""

VIEWS = (
    Augmentation(scale=(0.08, 1.0), interpolation="bilinear", colour=COLOUR),
    Augmentation(
        scale=(0.08, 1.0),
        interpolation="bilinear",
        colour=replace(COLOUR, blur=0.1, solarise=0.2),
    ),
)

RECIPE = Recipe(
    optimizer="adamw",
    base_lr=1.5e-4,
    batch_size=256,
    epochs=300,
    warmup_epochs=40,
    weight_decay=0.1,
    decay_all=True,
)
"""MoCo v3's ViT recipe (AdamW, weight decay on everything) at batch 256 instead of 4096."""


@dataclass(frozen=True, kw_only=True)
class MoCoV3:
    """Settings of MoCo v3.

    Attributes:
        temperature: of the logits (0.2 for ViT).
        momentum: of the momentum encoder at the start; rises to 1 along half a cosine.
        hidden, output: widths of the heads; None scales 4096 and 256, those of ViT-B, with the
            encoder's width.
        freeze_patches: the patch embedding is not trained (stop-grad-conv1).
    """

    key_name: ClassVar[str] = "mocov3"
    backbone: ClassVar[Backbone[Any]] = VIT

    temperature: float = 0.2
    momentum: float = field(default=0.99, metadata=PER_STEP)
    hidden: int | None = None
    output: int | None = None
    freeze_patches: bool = True

    def __post_init__(self) -> None:
        if self.temperature <= 0 or not 0 <= self.momentum <= 1:
            raise UserError(
                f"temperature is {self.temperature} and momentum {self.momentum}; allowed: above 0"
                " and 0 to 1."
            )

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Refuse a batch without negatives."""
        del images, backbones
        need_two(recipe, "MoCo v3 (BatchNorm, negatives)")

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the pre-training task; labels play no part."""
        del dataset
        return MomentumContrast(self, backbones)


class MomentumContrast(Task):
    """Query encoder with projector and predictor, momentum encoder with projector."""

    needs_whole = NEGATIVES

    def __init__(self, settings: MoCoV3, backbones: BackboneSizes) -> None:
        """Build the encoders at the profile's size."""
        from harness.methods.msmae.vit import VisionTransformer

        super().__init__()
        self.augmentations = VIEWS
        self.settings = settings
        width = backbones.vit.width
        hidden = settings.hidden or round(4096 * width / 768)
        output = settings.output or round(256 * width / 768)
        self.encoder = VisionTransformer(backbones.vit, backbones.image_size, rows_first=True)
        initialise(self.encoder, backbones.vit.patch)
        if settings.freeze_patches:
            self.encoder.patch_embed.requires_grad_(requires_grad=False)
        self.projector = head((width, hidden, hidden, output))
        self.predictor = head((output, hidden, output))
        self.momentum_encoder = frozen_copy(self.encoder)
        self.momentum_projector = frozen_copy(self.projector)

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return the symmetric contrastive loss; the momentum side carries no gradient."""
        first, second = batch.images
        queries = [
            self.predictor(self.projector(class_token(self.encoder, view)))
            for view in (first, second)
        ]
        momentum = momentum_at(self.settings.momentum, at.time / at.epochs)
        follow(self.momentum_encoder, self.encoder, momentum)
        follow(self.momentum_projector, self.projector, momentum)
        with torch.no_grad():
            keys = [
                self.momentum_projector(class_token(self.momentum_encoder, view))
                for view in (first, second)
            ]
        temperature = self.settings.temperature
        total = contrast(queries[0], keys[1], temperature)
        total = total + contrast(queries[1], keys[0], temperature)
        return {"total": total}

    def features(self, images: Tensor) -> Tensor:
        """Return [CLS] after the final norm (B, D)."""
        return class_token(self.encoder, images)


def class_token(encoder: VisionTransformer, images: Tensor) -> Tensor:
    """Return [CLS] after the final norm (B, D)."""
    tokens: Tensor = encoder.norm(encoder(images)[:, 0])
    return tokens


def contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Return InfoNCE over the batch times 2T: the i-th key is the i-th query's positive.

    Args:
        queries: (B, D), with gradient.
        keys: (B, D), normalised here like the queries.
        temperature: T.
    """
    queries = nn.functional.normalize(queries.float(), dim=1)
    keys = nn.functional.normalize(keys.float(), dim=1)
    logits = queries @ keys.T / temperature
    labels = torch.arange(len(logits), device=logits.device)
    return 2 * temperature * nn.functional.cross_entropy(logits, labels)


def momentum_at(start: float, progress: float) -> float:
    """Return the momentum at a share of the training: ``start`` at 0, 1 at 1."""
    return 1 - 0.5 * (1 + math.cos(math.pi * progress)) * (1 - start)


def head(widths: tuple[int, ...]) -> ProjectionHead:
    """Build an MLP: BatchNorm and ReLU between layers, BatchNorm without affine at the end.

    lightly's own MoCoProjectionHead ends with an affine BatchNorm, the released code's does not.
    """
    from lightly.models.modules.heads import ProjectionHead

    blocks = [
        (a, b, nn.BatchNorm1d(b), nn.ReLU(inplace=True)) for a, b in itertools.pairwise(widths[:-1])
    ]
    last = (widths[-2], widths[-1], nn.BatchNorm1d(widths[-1], affine=False), None)
    return ProjectionHead([*blocks, last])


@torch.no_grad()
def initialise(encoder: VisionTransformer, patch: int) -> None:
    """Initialise as the released code (vits.py): q, k, v apart, small [CLS], uniform patches."""
    width = encoder.cls_token.shape[-1]
    bound = math.sqrt(6 / (width + width))
    for block in encoder.blocks:
        block.attn.qkv.weight.uniform_(-bound, bound)  # type: ignore[union-attr,operator]
    nn.init.normal_(encoder.cls_token, std=1e-6)
    bound = math.sqrt(6 / (3 * patch * patch + width))
    nn.init.uniform_(encoder.patch_embed.proj.weight, -bound, bound)
    nn.init.zeros_(encoder.patch_embed.proj.bias)  # type: ignore[arg-type]


def stages() -> tuple[Stage, ...]:
    """Return MoCo v3's pre-training, then fine-tuning on the common protocol (Table 5)."""
    return (Stage(phase="pretrain", method=MoCoV3(), recipe=RECIPE), paper.finetune_plain())


def own_finetune() -> Stage:
    """Return MoCo v3's own fine-tuning of ViT-B: "all default DeiT configs", 150 epochs (README).

    DeiT's numbers are recalled, not read: base rate 5e-4 (times B / 512), weight decay 0.05, 5
    epochs of warm-up from 1e-6, least rate 1e-5, no layer decay, no clipping; drop path 0.1,
    RandAugment m9, crops of 0.08 to 1 bicubic, erasing 0.25, mixup 0.8, CutMix 1.0, smoothing
    0.1; [CLS], head 0.02; tested on a central crop. Published at batch 1024, here 256. Left out:
    repeated augmentation (three copies of an image in a batch) and the averaged model.
    """
    method = Finetune(
        pool="class",
        head_std=0.02,
        label_smoothing=_imagenet.LABEL_SMOOTHING,
        mixup=_imagenet.MIXUP,
        cutmix=_imagenet.CUTMIX,
        drop_path=_imagenet.DROP_PATH,
        augmentation=_imagenet.STRONG,
        evaluation="centre-crop",
    )
    recipe = Recipe(
        base_lr=5e-4,
        lr_batch=512,
        batch_size=256,
        epochs=150,
        warmup_epochs=5,
        warmup_lr=1e-6,
        min_lr=1e-5,
        weight_decay=0.05,
        betas=(0.9, 0.999),
    )
    return Stage(phase="finetune", method=method, recipe=recipe)
