"""AMT: mask and throw patches by the attention of self-supervised training (Gui et al. 2022).

As MSMAE, but without labels: the attention that guides the masks is trained by reconstruction
only. By default the map is cropped like its image, as intended; ``crop="top-left"`` reproduces
an error of AMT's released code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from harness.methods.baselines import mae
from harness.methods.msmae import paper
from harness.methods.msmae.method import GuidedMasking, MaskedAutoencoder
from harness.ranges import ShareBelowOne
from harness.spec.backbones import VIT, Backbone, BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import Stage
from harness.train.task import Task


@dataclass(frozen=True, kw_only=True)
class AMT(GuidedMasking):
    """Settings of AMT pre-training; see ``GuidedMasking`` for fields not listed here.

    Attributes:
        throw_ratio: share of patches thrown (AMT: 0.40, with 0.45 masked).
        normalisation: AMT scales every head's attention to 0..1 before averaging the heads.
    """

    key_name: ClassVar[str] = "amt"
    backbone: ClassVar[Backbone[Any]] = VIT

    throw_ratio: ShareBelowOne = 0.40
    normalisation: Literal["mean-first", "per-head"] = "per-head"

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the pre-training task; labels play no part."""
        del dataset
        return MaskedAutoencoder(backbones, guidance=self)


def stages() -> tuple[Stage, ...]:
    """Return pre-training on Table 4's recipe, then fine-tuning on Table 5's without masks."""
    return (
        Stage(phase="pretrain", method=AMT(), recipe=paper.PRETRAIN),
        paper.finetune_plain(),
    )


def own_finetune() -> Stage:
    """Return AMT's own fine-tuning of ViT-B on ImageNet (AMT's README): MAE's with two changes.

    Base learning rate 1e-3 (times B / 256) and layer decay 0.75; the rest as
    ``mae.own_finetune``. Published at batch 1024, here 256.
    """
    stage = mae.own_finetune()
    return replace(stage, recipe=replace(stage.recipe, base_lr=1e-3, layer_decay=0.75))
