"""What the published ImageNet fine-tuning recipes of MAE, AMT, SimMIM and DeiT share."""

from __future__ import annotations

from harness.augment.erasing import Erasing
from harness.augment.randaugment import RandAugment
from harness.augment.view import Augmentation

STRONG = Augmentation(
    scale=(0.08, 1.0), interpolation="bicubic", operations=RandAugment(), erasing=Erasing()
)
"""Crops of 0.08 to 1, bicubic, flip, ``rand-m9-mstd0.5-inc1``, erasing 0.25 in pixel mode."""

PLAIN = Augmentation(scale=(0.08, 1.0), interpolation="bilinear")
"""torchvision's defaults: crops of 0.08 to 1, bilinear, flip."""

MIXUP, CUTMIX = 0.8, 1.0
LABEL_SMOOTHING = 0.1
DROP_PATH = 0.1
