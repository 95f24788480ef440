"""Augmentation and regularisation of ImageNet fine-tuning in MAE, AMT, SimMIM and DeiT."""

from __future__ import annotations

from harness.augment.erasing import Erasing
from harness.augment.randaugment import RandAugment
from harness.augment.view import Augmentation

STRONG = Augmentation(
    scale=(0.08, 1.0), interpolation="bicubic", operations=RandAugment(), erasing=Erasing()
)
"""Crops of 0.08 to 1 of the area, bicubic, flips, RandAugment ``rand-m9-mstd0.5-inc1``, random
erasing with probability 0.25 in pixel mode."""

PLAIN = Augmentation(scale=(0.08, 1.0), interpolation="bilinear")
"""torchvision's defaults: crops of 0.08 to 1 of the area, bilinear, flips."""

MIXUP, CUTMIX = 0.8, 1.0
"""Alphas of the Beta distributions of mixup and CutMix."""

LABEL_SMOOTHING = 0.1
"""Share of the target spread over all classes."""

DROP_PATH = 0.1
"""Rate of stochastic depth at the last block."""
