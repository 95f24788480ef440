"""SimMIM: a Swin transformer that predicts the pixels of masked blocks (Xie et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch
from msgspec import Meta
from torch import Tensor, nn

from harness import ranges
from harness.augment.view import Augmentation
from harness.canonical import as_before
from harness.errors import UserError
from harness.methods.baselines import _imagenet, supervised
from harness.methods.baselines._backbones import swin_transformer
from harness.spec.backbones import SWIN, Backbone, BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import Recipe, Stage
from harness.train.task import Batch, StepContext, Task, alike

VIEW = Augmentation(scale=(0.67, 1.0), interpolation="bilinear")
"""SimMIM's augmentation: crops of 0.67 to 1 of the area and flips."""

FEWEST_BLOCKS = 6
"""Blocks along one side in SimMIM's own settings, 192 pixels in blocks of 32."""

RECIPE = Recipe(
    optimizer="adamw",
    schedule="cosine-whole",
    base_lr=2e-4,
    lr_batch=512,
    batch_size=256,
    epochs=300,
    warmup_epochs=10,
    warmup_lr=5e-7,
    min_lr=5e-6,
    weight_decay=0.05,
    clip_norm=5.0,
)
"""SimMIM's 100-epoch Swin recipe (learning rate 2e-4, warm-up from 1e-6, lowest 1e-5, all times
B / 512) at batch 256 and for 300 epochs, like every pre-training here."""


@dataclass(frozen=True, kw_only=True)
class SimMIM:
    """Settings of SimMIM pre-training.

    Attributes:
        mask_ratio: share of blocks masked, rounded up.
        blocks: blocks along one side. None makes a block as large as a token of the encoder's
            last stage (32 pixels for Swin-T: 7 x 7 blocks at 224 px, 6 x 6 at 192). Where an image
            has fewer than 6 x 6 of those, blocks are as near to a seventh of the side as the grid
            allows: of 2 x 2 blocks three would be masked, which leaves too little to learn from.
        decay_position_biases: whether weight decay acts on the tables of relative position biases
            in pre-training. SimMIM's code does decay them: it means to exempt them, but looks for
            "encoder.relative_position_bias_table", which no parameter's name contains
            (optimizer.py, get_pretrain_param_groups). Its paper does not say; Swin's code exempts
            them, and so do both in fine-tuning.
    """

    key_name: ClassVar[str] = "simmim"
    backbone: ClassVar[Backbone[Any]] = SWIN

    mask_ratio: Annotated[float, Meta(gt=0, lt=1)] = 0.6
    blocks: Annotated[int, Meta(ge=2, le=4096)] | None = None
    decay_position_biases: bool = field(default=True, metadata=as_before(False))  # noqa: FBT003

    def __post_init__(self) -> None:
        ranges.check(self)

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Check that the blocks divide the grid of patches and are not all masked."""
        del recipe, images
        backbones.swin.check_grid(backbones.image_size)
        self.blocks_of(backbones)

    def blocks_of(self, backbones: BackboneSizes) -> int:
        """Return the blocks along one side at a profile's size.

        Raises:
            UserError: there are fewer than two, they do not divide the grid of patches, or the
                ratio masks all of them.
        """
        grid = backbones.image_size // backbones.swin.patch
        if grid < 2:
            raise UserError(f"A grid of {grid} x {grid} patches has no blocks to mask; at least 2.")
        # Each Swin stage but the first halves the grid.
        last = 2 ** (len(backbones.swin.depths) - 1)
        blocks = default_blocks(grid, last) if self.blocks is None else self.blocks
        if blocks < 2 or grid % blocks:
            allowed = ", ".join(str(n) for n in range(2, grid + 1) if grid % n == 0)
            raise UserError(
                f"method.blocks is {blocks}; it must be at least 2 and divide the grid of {grid}"
                f" patches. Allowed: {allowed}."
            )
        if masked_blocks(blocks**2, self.mask_ratio) == blocks**2:
            most = math.floor(1000 * (1 - 1 / blocks**2)) / 1000
            raise UserError(
                f"method.mask_ratio is {self.mask_ratio}, which masks all of {blocks} x {blocks}"
                f" blocks (rounded up); choose at most {most} or more method.blocks."
            )
        return blocks

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the pre-training task; labels play no part."""
        del dataset
        return MaskedImages(self, backbones)


class MaskedImages(Task):
    """A Swin transformer with mask tokens at its input and a linear decoder to pixels."""

    cast_once = True

    def __init__(self, settings: SimMIM, backbones: BackboneSizes) -> None:
        """Build the encoder at the profile's size."""
        super().__init__()
        self.augmentations = (VIEW,)
        self.needs_whole = None
        self.settings = settings
        size = backbones.swin
        self.patch = size.patch
        self.stride = size.patch * 2 ** (len(size.depths) - 1)
        self.blocks = settings.blocks_of(backbones)
        self.grid = backbones.image_size // size.patch
        self.encoder = swin_transformer(size, backbones.image_size, classes=0)
        self.mask_token = nn.Parameter(torch.zeros(size.width))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        # (B, D, h, w) -> (B, 3 s s, h, w) -> (B, 3, h s, w s), s being the encoder's total stride.
        self.decoder = nn.Sequential(
            nn.Conv2d(self.encoder.num_features, 3 * self.stride**2, 1),
            nn.PixelShuffle(self.stride),
        )

    def draw_masks(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw which patches are masked, (B, grid, grid) bool on the CPU.

        The same number of blocks is masked in every image, uniformly at random.
        """
        masked = masked_blocks(self.blocks**2, self.settings.mask_ratio)
        # Sorting uniform noise gives a random permutation of the blocks per image.
        order = torch.rand(count, self.blocks**2, generator=generator).argsort(1)
        mask = torch.zeros(count, self.blocks**2, dtype=torch.bool)
        mask.scatter_(1, order[:, :masked], value=True)
        side = self.grid // self.blocks  # patches along one side of a block
        grid = mask.view(count, self.blocks, self.blocks)
        return grid.repeat_interleave(side, 1).repeat_interleave(side, 2)

    def encode(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the last stage's tokens (B, D, h, w); masked patches enter as mask tokens."""
        tokens: Tensor = self.encoder.patch_embed(images)  # (B, grid, grid, D)
        if mask is not None:
            tokens = torch.where(mask[..., None], self.mask_token.to(tokens.dtype), tokens)
        tokens = self.encoder.norm(self.encoder.layers(tokens))
        return tokens.permute(0, 3, 1, 2)

    def draw_ahead(self, count: int, at: StepContext) -> Mapping[str, Tensor]:
        """Draw the masks of a step, on the CPU."""
        return {"mask": self.draw_masks(count, at.generator)}

    def draw(self, batch: Batch, at: StepContext) -> Tensor:
        """Draw which patches are masked, (B, grid, grid) bool, the same number in every image."""
        drawn = batch.ahead or self.draw_ahead(len(batch.labels), at)
        return drawn["mask"].to(batch.images.device, non_blocking=True)

    step_kind = alike

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return the mean absolute error of masked pixels."""
        images = batch.images[0]
        mask = self.draw(batch, at) if batch.drawn is None else batch.drawn
        predicted = self.decoder(self.encode(images, mask)).float()
        # (B, grid, grid) patches -> (B, H, W) pixels.
        pixels = mask.repeat_interleave(self.patch, 1).repeat_interleave(self.patch, 2)
        return {"total": masked_l1(predicted, images, pixels)}

    def features(self, images: Tensor) -> Tensor:
        """Return the mean of the last stage's tokens (B, D)."""
        return self.encode(images).mean((2, 3))

    def no_decay(self, name: str) -> bool:
        """Exempt the mask token from weight decay, and the position biases if set."""
        if name.endswith("relative_position_bias_table"):
            return not self.settings.decay_position_biases
        return name == "mask_token"


def default_blocks(grid: int, last: int) -> int:
    """Return the number of blocks along one side of an image where it is not set.

    Args:
        grid: patches along one side of the image.
        last: patches along one side of a token of the encoder's last stage.
    """
    if grid // last >= FEWEST_BLOCKS:
        return grid // last
    return min((n for n in range(2, grid + 1) if grid % n == 0), key=lambda n: abs(n - 7))


def masked_blocks(blocks: int, ratio: float) -> int:
    """Return the number of masked blocks, rounded up: 30 of 49 at a ratio of 0.6."""
    # Rounding to 9 digits first, so that floating-point error cannot raise a whole number by 1.
    return math.ceil(round(blocks * ratio, 9))


def masked_l1(predicted: Tensor, images: Tensor, mask: Tensor) -> Tensor:
    """Return SimMIM's loss, sum(|x - y| m) / (sum(m) + 1e-5) / 3.

    Args:
        predicted: x (B, 3, H, W).
        images: y (B, 3, H, W).
        mask: m (B, H, W), true where a pixel is masked; 3 is the number of channels.
    """
    error = (predicted - images).abs().sum(1) * mask
    return error.sum() / (mask.sum() + 1e-5) / 3


def stages() -> tuple[Stage, ...]:
    """Return SimMIM's pre-training, then fine-tuning on the common protocol (Table 5)."""
    return (
        Stage(phase="pretrain", method=SimMIM(), recipe=RECIPE),
        supervised.finetune_swin(),
    )


def own_finetune() -> Stage:
    """Return SimMIM's own fine-tuning of Swin on ImageNet (SimMIM, 100-epoch Swin-B config).

    Base learning rate 1.25e-3 (times B / 512), warm-up of 20 epochs from 2.5e-7 and lowest
    learning rate 2.5e-7 (both times B / 512, so 1.25e-7), cosine counted from epoch 0, 100 epochs,
    weight decay 0.05, layer decay 0.9, clipping at 5; drop path 0.1, RandAugment m9, bicubic crops
    of 0.08 to 1, erasing 0.25, mixup 0.8, CutMix 1.0, label smoothing 0.1; tested on a central
    crop. SimMIM has no config for Swin-T. Published at batch 2048, here 256.
    """
    method = supervised.Swin(
        label_smoothing=_imagenet.LABEL_SMOOTHING,
        mixup=_imagenet.MIXUP,
        cutmix=_imagenet.CUTMIX,
        drop_path=_imagenet.DROP_PATH,
        augmentation=_imagenet.STRONG,
        evaluation="centre-crop",
    )
    recipe = Recipe(
        schedule="cosine-whole",
        base_lr=1.25e-3,
        lr_batch=512,
        batch_size=256,
        epochs=100,
        warmup_epochs=20,
        warmup_lr=1.25e-7,
        min_lr=1.25e-7,
        weight_decay=0.05,
        betas=(0.9, 0.999),
        layer_decay=0.9,
        clip_norm=5.0,
    )
    return Stage(phase="finetune", method=method, recipe=recipe)
