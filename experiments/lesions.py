"""Does SAM find lesions? Masks against the true lesions, with the controls that the paper lacks.

    harness run lesions [--profile smoke|laptop|paper] [--datasets busi] [--seeds 0-2]

Every stage measures after every epoch how the encoder's attention, the weights of the masking and
the masks themselves lie to the lesions of its training images. ``lesions-curves`` beside the table
has the numbers, against chance, and draws them by epoch.

Expected if the paper's explanation holds ("SAM pinpoints lesions, and masks that hide them make a
better encoder"): the weights' AUC rises above 0.5 and stays there; the oracle, whose masks hide the
lesions for certain, is at least as accurate as SAM, and its inverse, which never hides them, at
most as accurate as random masks. In fine-tuning the same masks decide what the classifier is
trained on: what SAM hides there it cannot learn from, so the oracle should be the worst and the
inverse the best.

Data sets without lesion masks are refused. With the smoke profile BUSI and HAM10000 are replaced by
generated images, of which every lesion is known.
"""

from __future__ import annotations

from dataclasses import replace

from harness.api import (
    AMT,
    MSMAE,
    Column,
    Curve,
    Curves,
    Explanation,
    Finetune,
    Row,
    Stage,
    Table,
    paper,
)

PRETRAINING = "Masks in pre-training; fine-tuning without masks"
FINETUNING = "Masks in fine-tuning; pre-training: SAM as described"

HINTS = 0.25
"""Share of the most attended patches that the AttMask-like masks show instead of hiding them."""

SAM = replace(paper.DESCRIBED, measure="lesions")
"""SAM as described, measured."""

METHODS: dict[str, tuple[str, AMT | MSMAE]] = {
    "random": ("uniformly at random", replace(SAM, weights="ones")),
    "amt": ("AMT: attention without labels", AMT(measure="lesions")),
    "sam": ("SAM as described", SAM),
    "released": ("SAM as released: weights 1", replace(paper.RELEASED, measure="lesions")),
    "hints": (
        "most attended first, a quarter of them shown",
        replace(SAM, selection="highest", hints=HINTS),
    ),
    "oracle": ("oracle: the true lesions first", replace(SAM, weights="lesion")),
    "inverse": ("inverse: the true lesions last", replace(SAM, weights="inverse")),
}
"""Masks in pre-training by the row's name: label and method."""

FINETUNED = replace(paper.FINETUNE_SAM, measure="lesions")
"""Fine-tuning with SAM, measured."""

CLASSIFIERS: dict[str, tuple[str, Finetune]] = {
    "f-random": ("uniformly at random", replace(FINETUNED, weights="ones")),
    "f-sam": ("SAM as described", FINETUNED),
    "f-hints": (
        "most attended first, a quarter of them shown",
        replace(FINETUNED, selection="highest", hints=HINTS),
    ),
    "f-oracle": ("oracle: the true lesions first", replace(FINETUNED, weights="lesion")),
    "f-inverse": ("inverse: the true lesions last", replace(FINETUNED, weights="inverse")),
}
"""Masks in fine-tuning by the row's name: label and method. Masks drop patches there: a classifier
learns from the visible quarter alone, and is tested on all patches."""


HIDDEN = Explanation(
    text="its masks hide in fine-tuning the lesions that decide the label: lesions-curves has the"
    " share of lesion patches that stays visible (docs/lesions.md)",
    profile="smoke",
    generated=True,
)
"""Why classifiers whose masks follow the lesions may score no better than a constant answer."""


def _rows() -> tuple[Row, ...]:
    released, _ = paper.released()
    rows = []
    for name, (label, method) in METHODS.items():
        recipe = released.recipe if name == "released" else paper.PRETRAIN
        stages = (
            Stage(phase="pretrain", method=method, recipe=recipe),
            paper.finetune_plain(),
        )
        rows.append(Row(name=name, label=label, group=PRETRAINING, stages=stages))
    pretrain = Stage(phase="pretrain", method=SAM, recipe=paper.PRETRAIN)
    for name, (label, classifier) in CLASSIFIERS.items():
        finetune = Stage(phase="finetune", method=classifier, recipe=paper.FINETUNE)
        rows.append(
            Row(
                name=name,
                label=label,
                group=FINETUNING,
                stages=(pretrain, finetune),
                explanations=(HIDDEN,) if name in ("f-sam", "f-oracle") else (),
            )
        )
    return tuple(rows)


EXPERIMENT = Table(
    title="Does SAM find lesions? Top-1 accuracy (%) by what is masked",
    source="",
    heading="Masked",
    columns=(Column(dataset="busi"), Column(dataset="ham10000")),
    rows=_rows(),
    references=("random", "f-random"),
    curves=Curves(
        name="curves",
        title="Attention, masking weights and masks against the true lesions",
        phases={"pretrain": "Pre-training", "finetune": "Fine-tuning"},
        curves=(
            Curve(name="lesion/auc", title="AUC of the weights", level=0.5),
            Curve(name="lesion/attention_auc", title="AUC of the attention", level=0.5),
            Curve(
                name="lesion/pointing",
                title="heaviest patch on a lesion (%)",
                chance="lesion/touched",
                factor=100.0,
                digits=1,
            ),
            Curve(
                name="lesion/masked",
                title="masked patches on a lesion (%)",
                chance="lesion/touched",
                factor=100.0,
                digits=1,
            ),
            Curve(
                name="lesion/seen",
                title="lesion patches visible (%)",
                chance="lesion/seen_chance",
                factor=100.0,
                digits=1,
            ),
            Curve(
                name="lesion/unseen",
                title="images with no lesion patch visible (%)",
                chance="lesion/unseen_chance",
                factor=100.0,
                digits=1,
            ),
            Curve(name="eval/accuracy", title="accuracy (%)", factor=100.0, digits=2),
        ),
        notes=(
            "Measured after every epoch on one more augmentation of all training images, from"
            " random numbers of its own: a stage that measures has the same weights as one that"
            " does not. Only images count that show a lesion and something else.",
            "AUC: the probability that a patch with a lesion weighs more than one without (ties"
            " count half); the attention is the encoder's at that epoch, whether masks follow it"
            " or not. Chance for patches is their share that a lesion touches.",
        ),
    ),
    notes=(
        "The first epochs of every pre-training mask uniformly, as the paper's do (40 of 300); the"
        " oracle, the inverse and the hints follow the same schedule.",
        "Rows of the second part share one pre-training, SAM as described, and differ from its row"
        " in the first part in the masks of fine-tuning alone.",
        "lesions-curves holds, against chance, what attention, weights and masks did to the"
        " lesions, by epoch.",
    ),
)
