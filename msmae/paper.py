"""Recipes and settings of the MSMAE paper and of its released code, each with its source."""

from __future__ import annotations

from dataclasses import replace

from harness.methods.msmae.finetune import Finetune
from harness.methods.msmae.method import MSMAE
from harness.methods.msmae.segmentation import Segment
from harness.spec.recipe import Order, Phase, Recipe, Stage

PRETRAIN = Recipe(
    optimizer="adamw",
    base_lr=1e-3,
    batch_size=64,
    epochs=300,
    warmup_epochs=40,
    weight_decay=0.05,
    betas=(0.9, 0.95),
)
"""Pre-training (Table 4). Betas and the rule lr = base * batch / 256 are MAE's (section 4.1)."""

FINETUNE = Recipe(
    optimizer="adamw",
    base_lr=1e-3,
    batch_size=256,
    epochs=100,
    warmup_epochs=5,
    min_lr=1e-6,
    weight_decay=0.05,
    betas=(0.9, 0.999),
    layer_decay=0.75,
)
"""Fine-tuning (Table 5); the lowest learning rate is MAE's."""

SEGMENTATION = Recipe(
    optimizer="adam",
    base_lr=1e-4,
    lr_batch=None,
    batch_size=8,
    epochs=200,
    weight_decay=1e-4,
    decay_all=True,
)
"""Segmentation (Table 6). The learning rate is not scaled by the batch size, the momentum of 0.9
is Adam's first beta, and the weight decay is Adam's own: an L2 term on all parameters."""

SEGMENTATION_RELEASED = replace(SEGMENTATION, schedule="cosine-by-epoch", min_lr=1e-5)
"""As the released code: a cosine schedule per epoch, down to a tenth of the learning rate."""

DESCRIBED = MSMAE()
"""Section 3.2 and Table 4: real attention weights, joint crop, one softmax."""

RELEASED = MSMAE(
    weights="ones",
    crop="top-left",
    normalisation="per-head",
    softmax="twice",
    random_epochs=41,
    update_rule="released",
)
"""Released code (main_pretrain): attention maps are replaced by ones, so masks are uniform."""

AMT_CROP = replace(DESCRIBED, crop="top-left", normalisation="per-head")
"""As described, but with the crop error that the released code took over from AMT."""

FINETUNE_PLAIN = Finetune()
"""Table 5 without masks: how every other pre-training method is fine-tuned."""

FINETUNE_SAM = Finetune(mask_ratio=0.45, throw_ratio=0.30, update_interval=20)
"""Table 5 with SAM; Algorithm 1 pools the patch tokens."""

FINETUNE_RELEASED = replace(FINETUNE_SAM, weights="ones", crop="top-left", normalisation="per-head")
"""Released code: SAM's attention maps are replaced by ones, so patches are drawn uniformly."""

FINETUNE_AMT_CROP = replace(FINETUNE_SAM, crop="top-left", normalisation="per-head")
"""Table 5 with SAM and AMT's crop error."""

SEGMENT = Segment()
"""SETR as its authors describe it, on an unchanged encoder (section 4.4 and Appendix C.1)."""

SEGMENT_RELEASED = Segment(
    final_norm=False,
    head_norm=False,
    final_conv="3x3",
    conv_bias=True,
    align_corners=True,
    heads="four",
    qkv_bias=False,
    input_scale="twice",
    channel_order="bgr",
    head_init="torch",
    image_resize="opencv",
    mask_resize="corner",
)
"""Released segmentation code: weights without a counterpart in its network are not loaded.
Its own initialisation (BEiT's), which acts only without a pre-trained encoder, is not reproduced.
"""


def pretrain_then_finetune(
    method: MSMAE, classifier: Finetune, *, fixed_order: bool = False
) -> tuple[Stage, ...]:
    """Return pre-training on the recipe of Table 4, then fine-tuning on that of Table 5.

    Args:
        method: settings of the pre-training.
        classifier: settings of the fine-tuning.
        fixed_order: use one permutation of the images for all epochs, as the released code does
            on one GPU.
    """
    order: Order = "fixed" if fixed_order else "reshuffled"
    return (
        Stage(phase="pretrain", method=method, recipe=replace(PRETRAIN, order=order)),
        Stage(phase="finetune", method=classifier, recipe=replace(FINETUNE, order=order)),
    )


def described() -> tuple[Stage, ...]:
    """Return MSMAE as the paper describes it."""
    return pretrain_then_finetune(DESCRIBED, FINETUNE_SAM)


def released() -> tuple[Stage, ...]:
    """Return MSMAE as the released code runs it."""
    return pretrain_then_finetune(RELEASED, FINETUNE_RELEASED, fixed_order=True)


def amt_crop() -> tuple[Stage, ...]:
    """Return MSMAE as described, but with AMT's crop error."""
    return pretrain_then_finetune(AMT_CROP, FINETUNE_AMT_CROP)


def finetune_plain() -> Stage:
    """Return the fine-tuning of every other pre-training method: Table 5 without masks."""
    return Stage(phase="finetune", method=FINETUNE_PLAIN, recipe=FINETUNE)


def then_segment(before: Stage) -> tuple[Stage, ...]:
    """Return a given ViT training, then SETR on its encoder with the recipe of Table 6."""
    return (before, Stage(phase="finetune", method=SEGMENT, recipe=SEGMENTATION))


def then_segment_released(before: Stage) -> tuple[Stage, ...]:
    """Return a given ViT training, then the released code's segmentation on its encoder."""
    stage = Stage(phase="finetune", method=SEGMENT_RELEASED, recipe=SEGMENTATION_RELEASED)
    return (before, stage)


def segment_baseline(phase: Phase = "finetune") -> tuple[Stage, ...]:
    """Return SETR on an encoder without pre-training (the baseline of Table 2).

    Args:
        phase: the phase whose scale a profile applies. With "finetune" a small profile trains it
            with the epochs and the learning rate that it has after a pre-training; at full size
            the phase makes no difference.
    """
    return (Stage(phase=phase, method=SEGMENT, recipe=SEGMENTATION),)
