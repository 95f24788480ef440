"""The paper's recipes and settings, each with its source, and the released code's choices."""

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
"""Table 4. Betas and the rule lr = base * batch / 256 are MAE's, as section 4.1 says."""

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
"""Table 5; the least learning rate is MAE's."""

SEGMENTATION = Recipe(
    optimizer="adam",
    base_lr=1e-4,
    lr_batch=None,
    batch_size=8,
    epochs=200,
    weight_decay=1e-4,
    decay_all=True,
)
"""Table 6; the learning rate is taken as it stands, the momentum of 0.9 is Adam's first beta, and
the decay is Adam's own: L2 on all parameters."""

SEGMENTATION_RELEASED = replace(SEGMENTATION, schedule="cosine-by-epoch", min_lr=1e-5)
"""The released code's cosine, per epoch and down to a tenth."""

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
"""main_pretrain as it runs: the attention maps are replaced by ones, so masks are uniform."""

AMT_CROP = replace(DESCRIBED, crop="top-left", normalisation="per-head")
"""As described, but with the crop fault that the released code inherits from AMT."""

FINETUNE_PLAIN = Finetune()
"""Table 5 without masks: the protocol of every rival."""

FINETUNE_SAM = Finetune(mask_ratio=0.45, throw_ratio=0.30, update_interval=20)
"""Table 5 with SAM; Algorithm 1 pools the patch tokens."""

FINETUNE_RELEASED = replace(FINETUNE_SAM, weights="ones", crop="top-left", normalisation="per-head")
FINETUNE_AMT_CROP = replace(FINETUNE_SAM, crop="top-left", normalisation="per-head")

SEGMENT = Segment()
"""Section 4.4 and Appendix C.1: SETR as its authors built it, on the encoder as it was trained."""

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
)
"""The released segmentation code as it runs: it loads what it has a place for and drops the rest.
Its own initialisation (BEiT's) is left out; it acts where no encoder is handed on."""


def pretrain_then_finetune(
    method: MSMAE, classifier: Finetune, *, fixed_order: bool = False
) -> tuple[Stage, ...]:
    """Return the chain of Tables 4 and 5.

    Args:
        method: the pre-training.
        classifier: the fine-tuning.
        fixed_order: one permutation for all epochs, as the released code runs on one GPU.
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
    """Return MSMAE as described, with AMT's crop fault."""
    return pretrain_then_finetune(AMT_CROP, FINETUNE_AMT_CROP)


def finetune_plain() -> Stage:
    """Return the fine-tuning that every rival gets: Table 5 without masks."""
    return Stage(phase="finetune", method=FINETUNE_PLAIN, recipe=FINETUNE)


def then_segment(before: Stage) -> tuple[Stage, ...]:
    """Return a training of a ViT, supervised or not, and SETR on its encoder (Table 6)."""
    return (before, Stage(phase="finetune", method=SEGMENT, recipe=SEGMENTATION))


def then_segment_released(before: Stage) -> tuple[Stage, ...]:
    """Return a training of a ViT and the released code's segmentation on its encoder."""
    stage = Stage(phase="finetune", method=SEGMENT_RELEASED, recipe=SEGMENTATION_RELEASED)
    return (before, stage)


def segment_baseline(phase: Phase = "finetune") -> tuple[Stage, ...]:
    """Return SETR on an encoder that nothing has trained (Table 2's baseline).

    Args:
        phase: whose scale a profile applies. With "finetune" a small profile gives it the epochs
            and the learning rate that it has after a pre-training; at full size all are equal.
    """
    return (Stage(phase=phase, method=SEGMENT, recipe=SEGMENTATION),)
