"""The paper's recipes and settings, each with its source, and the released code's choices."""

from __future__ import annotations

from dataclasses import replace

from harness.spec import Order, Recipe, Stage
from msmae.finetune import Finetune
from msmae.method import MSMAE

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
