"""Controls that the paper lacks: the effects of masks, labels and masked fine-tuning in MSMAE.

    harness run controls [--profile smoke|laptop|paper] [--datasets btmd,ham10000] [--seeds 0-4]

Masks {random 75/0, uniform 45/30, AMT, SAM} x lambda {0, 0.1} x masks in fine-tuning {off, on}, and
a supervised ViT-B with token dropping over as many epochs (400). Table 3 of the paper changes the
source of the maps together with label supervision; here they change one at a time.

Expected: if attention helps, SAM beats uniform 45/30 at the same lambda; if labels in pre-training
help, lambda 0.1 beats 0 at the same masks. Stages that Table 1 has are shared with it: MAE is
(random 75/0, lambda 0), AMT is (AMT, lambda 0) and MSMAE (SAM, lambda 0.1).

Two more rows start from weights that were trained elsewhere, on ImageNet for example, which the
paper does not: they run where HARNESS_START_VIT names a file of them, or timm:NAME.
"""

from __future__ import annotations

from dataclasses import replace

from harness.api import (
    AMT,
    MAE,
    MSMAE,
    SAM_HIDES,
    Column,
    Finetune,
    Method,
    Recipe,
    Row,
    Stage,
    Table,
    Weights,
    mae,
    paper,
    supervised,
)

LAMBDA = 0.1
"""Weight of the classification loss in pre-training, the paper's value."""

UNIFORM = MSMAE(weights="ones")
"""Masks 45 % and throws 30 % of the patches uniformly at random, as the released code does."""

MASKS: dict[str, tuple[str, Method, MSMAE]] = {
    "random": (
        "random 75/0",
        MAE(),
        replace(UNIFORM, mask_ratio=0.75, throw_ratio=0.0),
    ),
    "uniform": ("uniform 45/30", replace(UNIFORM, classification_weight=0.0), UNIFORM),
    "amt": ("AMT 45/40", AMT(), MSMAE(throw_ratio=0.40, normalisation="per-head")),
    "sam": ("SAM 45/30", MSMAE(classification_weight=0.0), paper.DESCRIBED),
}
"""By name of the masks: label, method without class labels (lambda 0) and with (lambda 0.1)."""

DROPPING = Finetune(mask_ratio=0.45, throw_ratio=0.30, weights="ones", head_std=0.02)
"""Supervised ViT-B trained from scratch on a random quarter of the patches (45/30)."""

MATCHED: Recipe = replace(supervised.VIT_RECIPE, epochs=400)
"""Supervised recipe with as many epochs as pre-training and fine-tuning together."""

ELSEWHERE = Weights(
    variable="HARNESS_START_VIT",
    what="a ViT of the profile's size; for paper ViT-B/16, such as MAE's of ImageNet or RETFound's",
)
"""Weights that were trained on other images, named by the environment."""

STARTED = "Start from weights trained elsewhere (not in the paper)"
"""Heading of the rows that start from ``ELSEWHERE``."""


def _rows() -> tuple[Row, ...]:
    """Return one row per masks, lambda and fine-tuning, and the supervised control."""
    rows = []
    for name, (label, without, with_labels) in MASKS.items():
        for weight, method in ((0.0, without), (LAMBDA, with_labels)):
            pretrain = Stage(phase="pretrain", method=method, recipe=paper.PRETRAIN)
            for sam in (False, True):
                classifier = paper.FINETUNE_SAM if sam else paper.FINETUNE_PLAIN
                finetune = Stage(phase="finetune", method=classifier, recipe=paper.FINETUNE)
                rows.append(
                    Row(
                        name=f"{name}-{weight:g}-{'sam' if sam else 'plain'}",
                        label=f"λ = {weight:g}, fine-tuning {'with' if sam else 'without'} SAM",
                        group=f"Masks in pre-training: {label}",
                        stages=(pretrain, finetune),
                        explanations=(SAM_HIDES,) if sam and method is paper.DESCRIBED else (),
                    )
                )
    rows.append(
        Row(
            name="supervised-dropping",
            label="ViT-B on a random quarter of the patches, 400 epochs",
            group="No pre-training",
            stages=(Stage(phase="supervised", method=DROPPING, recipe=MATCHED),),
        )
    )
    started = {
        "started-plain": ("fine-tuned alone", (paper.finetune_plain(),)),
        "started-mae": ("MAE, then fine-tuned", mae.stages()),
    }
    for name, (label, stages) in started.items():
        rows.append(Row(name=name, label=label, group=STARTED, stages=stages, start=ELSEWHERE))
    return tuple(rows)


EXPERIMENT = Table(
    title="Controls: masks, labels in pre-training, masks in fine-tuning (top-1 accuracy, %)",
    source="",
    columns=(Column(dataset="btmd"), Column(dataset="ham10000")),
    rows=_rows(),
    references=tuple(f"{name}-0-plain" for name in MASKS),
    notes=(
        "Rows of one group differ in one thing at a time. The paper's Table 3 has no row with"
        " uniform masks and labels: it cannot tell attention from labels.",
        "Rows that start from weights trained elsewhere are run where HARNESS_START_VIT names them;"
        " the paper has no such row.",
    ),
)
