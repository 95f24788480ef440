"""Every kind of stage that the paper trains, by name, with a data set that it is measured on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from harness.spec.recipe import Stage


@dataclass(frozen=True)
class Kind:
    """A kind of stage.

    Attributes:
        name: unique among the kinds.
        stage: its method and recipe, at the paper's settings.
        dataset: name of a registered data set: greyscale ("btmd"), colour ("ham10000"), or one
            with masks ("busi").
    """

    name: str
    stage: Stage
    dataset: str = "ham10000"


def kinds() -> tuple[Kind, ...]:
    """Return all kinds: pre-trainings, supervised trainings, fine-tunings and segmentations."""
    from harness.methods.baselines import (
        amt,
        contrastivecrop,
        mae,
        mocov3,
        simclr,
        simmim,
        supervised,
    )
    from harness.methods.msmae import paper

    return (
        Kind("mae", mae.stages()[0], "btmd"),
        Kind("amt", amt.stages()[0]),
        Kind("msmae-described", paper.described()[0]),
        Kind("msmae-released", paper.released()[0]),
        Kind("msmae-amt-crop", paper.amt_crop()[0]),
        Kind("simmim", simmim.stages()[0]),
        Kind("mocov3", mocov3.stages()[0]),
        Kind("simclr", simclr.stages()[0]),
        Kind("contrastivecrop", contrastivecrop.stages()[0]),
        Kind("supervised-vit", supervised.vit()[0]),
        Kind("supervised-swin", supervised.swin()[0]),
        Kind("supervised-resnet", supervised.resnet()[0]),
        Kind("finetune-plain", paper.finetune_plain()),
        Kind("finetune-sam", paper.described()[1]),
        Kind("finetune-released", paper.released()[1]),
        Kind("finetune-own-mae", mae.own_finetune()),
        Kind("finetune-own-simmim", simmim.own_finetune()),
        Kind("finetune-own-ccrop-linear", contrastivecrop.own_finetune()),
        Kind("finetune-own-simclr-lars", simclr.own_finetune()),
        Kind("setr", paper.then_segment(paper.finetune_plain())[1], "busi"),
        Kind("setr-released", paper.then_segment_released(paper.finetune_plain())[1], "busi"),
    )


def shortened(stage: Stage, epochs: int = 2) -> Stage:
    """Return a stage of a few epochs that has every kind of step of the whole one.

    Attention-guided masks and the boxes of ContrastiveCrop begin in the second epoch.
    """
    method: Any = stage.method
    guided = {"random_epochs": 1, "update_interval": 1}
    method = replace(method, **{n: v for n, v in guided.items() if hasattr(method, n)})
    recipe = replace(
        stage.recipe,
        epochs=epochs,
        warmup_epochs=min(1, stage.recipe.warmup_epochs),
        milestones=(1,) if stage.recipe.schedule == "steps" else (),
    )
    return replace(stage, method=method, recipe=recipe)
