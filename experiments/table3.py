"""Table 3: masks in pre-training (random, AMT, SAM) x masks in fine-tuning (SAM off, on).

    harness run table3 [--profile smoke|laptop|paper] [--seeds 0-4]

The table's accuracies on Messidor-2; its FLOPs and inference times are not in this table yet.

Expected with ``--profile paper``: the paper ranks SAM before AMT before random masks in
pre-training, and SAM in fine-tuning adds to each (63.41 % at best): 0.04, 0.47 and 1.34 points,
which are 0.2 to 7 of 522 images, so one seed cannot tell them from chance. Settings I, II and VI
are Table 1's MAE, AMT and MSMAE and share all stages with it.
"""

from __future__ import annotations

from baselines.amt import AMT
from baselines.mae import MAE
from harness.spec import Method, Stage
from harness.table import Column, Row, Table
from msmae import paper

PRETRAINING: dict[str, tuple[str, Method]] = {
    "random": ("random masks", MAE()),
    "amt": ("AMT", AMT()),
    "sam": ("SAM", paper.DESCRIBED),
}
"""Masks in pre-training: P-RM, P-AMT and P-SAM."""

PRINTED = {
    ("random", False): ("Baseline (I)", 60.54),
    ("amt", False): ("II", 60.92),
    ("sam", False): ("III", 62.07),
    ("random", True): ("IV", 60.58),
    ("amt", True): ("V", 61.39),
    ("sam", True): ("VI", 63.41),
}
"""For masks in pre-training and SAM in fine-tuning: the setting and its accuracy, as printed."""


def _setting(masks: str, *, sam: bool) -> Row:
    setting, accuracy = PRINTED[masks, sam]
    label, method = PRETRAINING[masks]
    classifier = paper.FINETUNE_SAM if sam else paper.FINETUNE_PLAIN
    return Row(
        name=f"{masks}-{'sam' if sam else 'plain'}",
        label=f"{setting}: {label}, fine-tuning {'with' if sam else 'without'} SAM",
        backbone="ViT-B",
        group="Settings of the paper",
        stages=(
            Stage(phase="pretrain", method=method, recipe=paper.PRETRAIN),
            Stage(phase="finetune", method=classifier, recipe=paper.FINETUNE),
        ),
        printed={"messidor2": accuracy},
    )


EXPERIMENT = Table(
    title="Masks in pre-training and in fine-tuning (top-1 accuracy, %)",
    source="Table 3",
    columns=(Column(dataset="messidor2"),),
    rows=(
        *(_setting(masks, sam=sam) for masks, sam in PRINTED),
        Row(
            name="released",
            label="VI as the released code runs it",
            backbone="ViT-B",
            group="What the released code does",
            stages=paper.released(),
        ),
        Row(
            name="amt-crop",
            label="VI with AMT's crop of the attention map",
            backbone="ViT-B",
            group="What the released code does",
            stages=paper.amt_crop(),
        ),
    ),
    notes=(
        "SAM's pre-training uses labels, AMT's and random masks' does not: from one to the other"
        " the source of the maps and the labels change together. `harness run controls` changes"
        " one at a time.",
        "In the paper SAM in fine-tuning adds 0.04 (I to IV), 0.47 (II to V) and 1.34 points"
        " (III to VI): 0.2, 2 and 7 of 522 images.",
        "The paper's FLOPs and inference times are not in this table yet.",
    ),
)
