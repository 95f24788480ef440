"""A segmenter of one convolution, for tests of what surrounds a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from harness.augment.view import RotatingAugmentation
from harness.spec.backbones import BackboneSizes
from harness.spec.dataset import Dataset
from harness.train.task import Batch, StepContext, Task


class OneLayer(Task):
    """A single convolution under a turning view, the whole image uncropped."""

    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        self.augmentations = (RotatingAugmentation(interpolation="bilinear"),)
        self.layer = nn.Conv2d(3, 1, 3, padding=1)
        nn.init.constant_(self.layer.bias, bias)  # type: ignore[arg-type]

    def draw_boxes(self, view: int, sizes: Tensor, ids: Tensor, at: StepContext) -> Tensor:
        return torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(len(sizes), 4)

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        assert batch.masks is not None
        logits = self.layer(batch.images[0])
        loss = nn.functional.binary_cross_entropy_with_logits(logits, batch.masks[0])
        return {"total": loss}

    def segment(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer(images)
        return logits


@dataclass(frozen=True)
class Segment:
    """Settings of ``OneLayer``."""

    key_name: ClassVar[str] = "one-layer"
    backbone: ClassVar[None] = None

    bias: float = 0.0

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        return OneLayer(self.bias)
