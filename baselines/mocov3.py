"""MoCo v3: a ViT that contrasts two views with a momentum encoder (Chen et al. 2021).

The encoder is initialised as in the released code: frozen patch embedding, sine-cosine positions
with the row half first, and query, key and value initialised as separate matrices.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from harness import ranges
from harness.augment.colour import Colour
from harness.augment.constants import per_device
from harness.augment.view import Augmentation
from harness.methods.baselines import _imagenet
from harness.methods.baselines._batch import NEGATIVES, need_two
from harness.methods.baselines._groups import GroupedBatchNorm1d, in_groups
from harness.methods.baselines._momentum import follow, frozen_copy
from harness.methods.msmae import paper
from harness.methods.msmae.finetune import Finetune
from harness.ranges import Share, Temperature
from harness.spec.backbones import VIT, Backbone, BackboneSizes, Channels
from harness.spec.dataset import Dataset
from harness.spec.recipe import PER_STEP, Recipe, Stage
from harness.train.task import Batch, StepContext, Task, nothing_drawn

if TYPE_CHECKING:
    from lightly.models.modules.heads import ProjectionHead

    from harness.methods.msmae.vit import VisionTransformer

COLOUR = Colour(saturation=0.2, blur=1.0)
"""Colours of view 1 (moco-v3, main_moco): jitter (0.4, 0.4, 0.2, 0.1), always blurred."""

VIEWS = (
    Augmentation(scale=(0.08, 1.0), interpolation="bilinear", colour=COLOUR),
    Augmentation(
        scale=(0.08, 1.0),
        interpolation="bilinear",
        colour=replace(COLOUR, blur=0.1, solarise=0.2),
    ),
)
"""Both views; the second is blurred with probability 0.1 and solarised with 0.2 (main_moco)."""

RECIPE = Recipe(
    optimizer="adamw",
    base_lr=1.5e-4,
    batch_size=256,
    epochs=300,
    warmup_epochs=40,
    weight_decay=0.1,
    decay_all=True,
    lars_rate="outside-momentum",
)
"""MoCo v3's ViT recipe (AdamW, weight decay on all parameters) at batch 256 instead of 4096.

Should its optimiser be set to LARS, which MoCo v3 uses for ResNets, it is MoCo v3's LARS."""


@dataclass(frozen=True, kw_only=True)
class MoCoV3:
    """Settings of MoCo v3 pre-training.

    Attributes:
        temperature: divisor of the similarities in the loss (0.2 for ViT).
        momentum: momentum of the momentum encoder at the start; rises to 1 along half a cosine.
        hidden, output: hidden and output width of the projector and predictor; None scales 4096
            and 256, those of ViT-B, with the encoder's width.
        freeze_patches: whether the patch embedding keeps its random initial weights
            (stop-grad-conv1).
    """

    key_name: ClassVar[str] = "mocov3"
    backbone: ClassVar[Backbone[Any]] = VIT

    temperature: Temperature = 0.2
    momentum: Share = field(default=0.99, metadata=PER_STEP)
    hidden: Channels | None = None
    output: Channels | None = None
    freeze_patches: bool = True

    def __post_init__(self) -> None:
        ranges.check(self)

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Check that a batch has at least one negative."""
        del images, backbones
        need_two(recipe, "MoCo v3 (BatchNorm, negatives)")

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the pre-training task; labels play no part."""
        del dataset
        return MomentumContrast(self, backbones)


class MomentumContrast(Task):
    """MoCo v3: an encoder with projector and predictor, and their momentum copies."""

    needs_whole = NEGATIVES
    cast_once = True
    draw_ahead = nothing_drawn

    def __init__(self, settings: MoCoV3, backbones: BackboneSizes) -> None:
        """Build the encoders at the profile's size."""
        from harness.methods.msmae.vit import VisionTransformer

        super().__init__()
        self.augmentations = VIEWS
        self.momentum, self.temperature = settings.momentum, settings.temperature
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
        """Return the symmetric contrastive loss; no gradient flows through the momentum encoder."""
        count = len(batch.labels)
        heads = (self.projector, self.predictor)
        # The heads' BatchNorm takes its statistics per view, as if they passed one after the other.
        queries = in_groups(nn.Sequential(*heads), heads, self._pooled(self.encoder, batch), count)
        # As in the released code, the momentum encoder is updated before it computes the keys.
        momentum = momentum_at(self.momentum, at.time / at.epochs)
        follow(self.momentum_encoder, self.encoder, momentum)
        follow(self.momentum_projector, self.projector, momentum)
        with torch.no_grad():
            pooled = self._pooled(self.momentum_encoder, batch)
            keys = in_groups(self.momentum_projector, (self.momentum_projector,), pooled, count)
        # Each view's queries against the other view's keys; the sum of both views' losses.
        ours, theirs = (side.unflatten(0, (2, count)) for side in (queries, keys))
        return {"total": 2 * contrast(ours, theirs.flip(0), self.temperature)}

    def _pooled(self, encoder: Any, batch: Batch) -> Tensor:
        """Return the features (2 B, D) of both views, in one pass unless there is BatchNorm."""
        if any(isinstance(module, _BatchNorm) for module in encoder.modules()):
            return torch.cat([self.pool(encoder, view) for view in batch.images])
        return self.pool(encoder, batch.images.flatten(0, 1))

    def pool(self, encoder: Any, images: Tensor) -> Tensor:
        """Return [CLS] after the final norm (B, D)."""
        return class_token(encoder, images)

    def features(self, images: Tensor) -> Tensor:
        """Return what the projector sees (B, D), [CLS] after the final norm."""
        return self.pool(self.encoder, images)


def class_token(encoder: VisionTransformer, images: Tensor) -> Tensor:
    """Return [CLS] after the final norm (B, D)."""
    tokens: Tensor = encoder.norm(encoder(images)[:, 0])
    return tokens


def contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Return 2T times InfoNCE over the batch; the i-th key is the positive of the i-th query.

    Args:
        queries: (B, D), or (V, B, D) for the mean over V views, with gradient.
        keys: of the same shape; both are scaled to unit length here.
        temperature: T, the divisor of the similarities.
    """
    queries = nn.functional.normalize(queries.float(), dim=-1)
    keys = nn.functional.normalize(keys.float(), dim=-1)
    # logits[..., i, j] = cos(query i, key j) / T; the positives are on the diagonal.
    logits = (queries @ keys.mT / temperature).flatten(0, -2)
    labels = places(queries.shape[-2], len(logits), device=logits.device)
    return 2 * temperature * nn.functional.cross_entropy(logits, labels)


@per_device
def places(count: int, rows: int, *, device: torch.device) -> Tensor:
    """Return 0 ... count - 1, again from 0 until there are ``rows`` numbers, int64."""
    return torch.arange(rows, device=device) % count


def momentum_at(start: float, progress: float) -> float:
    """Return the momentum after a share of the training in 0..1, from ``start`` to 1 (cosine)."""
    # m(p) = 1 - (1 - m(0)) (1 + cos πp) / 2.
    return 1 - 0.5 * (1 + math.cos(math.pi * progress)) * (1 - start)


def head(widths: tuple[int, ...]) -> ProjectionHead:
    """Build an MLP with BatchNorm and ReLU between layers and a final BatchNorm without affine.

    lightly's own MoCoProjectionHead ends with an affine BatchNorm, the released code's does not.
    """
    from lightly.models.modules.heads import ProjectionHead

    blocks = [
        (a, b, GroupedBatchNorm1d(b), nn.ReLU(inplace=True))
        for a, b in itertools.pairwise(widths[:-1])
    ]
    last = (widths[-2], widths[-1], GroupedBatchNorm1d(widths[-1], affine=False), None)
    return ProjectionHead([*blocks, last])


@torch.no_grad()
def initialise(encoder: VisionTransformer, patch: int) -> None:
    """Initialise as the released code (vits.py), where that differs from MAE's initialisation.

    Xavier-uniform for query, key and value as separate (D, D) matrices and for the patch
    embedding, whose fan-in is 3 P P and fan-out D; [CLS] with standard deviation 1e-6.
    """
    width = encoder.cls_token.shape[-1]
    # Xavier: uniform in ± sqrt(6 / (fan in + fan out)).
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

    DeiT's numbers are from memory and not checked against its code: base learning rate 5e-4 (times
    B / 512), weight decay 0.05, 5 epochs of warm-up from 1e-6, lowest learning rate 1e-5, no layer
    decay, no clipping; drop path 0.1, RandAugment m9, bicubic crops of 0.08 to 1, erasing 0.25,
    mixup 0.8, CutMix 1.0, label smoothing 0.1; [CLS] features, head initialised with standard
    deviation 0.02; tested on a central crop. Published at batch 1024, here 256. Not reproduced:
    repeated augmentation (three copies of an image per batch) and the moving average of weights.
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
