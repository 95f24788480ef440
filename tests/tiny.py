"""Tiny sizes and data for tests."""

from __future__ import annotations

import torch

from harness.spec.backbones import BackboneSizes, ResNetSize, SwinSize, VitSize
from harness.spec.dataset import Dataset
from harness.train.task import Batch, StepContext

ENCODERS = BackboneSizes(
    image_size=32,
    given={
        "vit": VitSize(
            patch=8,
            width=48,
            depth=2,
            heads=3,
            decoder_width=32,
            decoder_depth=1,
            decoder_heads=2,
        ),
        "swin": SwinSize(patch=2, width=16, depths=(1, 1, 1, 1), heads=(1, 2, 4, 8), window=2),
        "resnet": ResNetSize(layers=(1, 1, 1, 1), width=8),
    },
)


def dataset(classes: int = 4) -> Dataset:
    """Return a data set that exists in name only, with K classes."""
    names = tuple(f"class{i}" for i in range(classes))

    def listing(source: object) -> object:
        raise NotImplementedError

    return Dataset(
        name="tiny",
        title="Tiny",
        classes=names,
        counts=(1,) * classes,
        sizes={"train": classes, "eval": 0},
        channels=3,
        source="nowhere",
        licence="none",
        listing=listing,  # type: ignore[arg-type]
    )


def batch(count: int = 8, *, classes: int = 4, views: int = 1, size: int = 32) -> Batch:
    """Return a batch of noise, uncropped and unflipped; every fourth image has no lesion."""
    generator = torch.Generator().manual_seed(0)
    whole = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(views, count, 4)
    masks = torch.zeros(views, count, 1, size, size)
    masks[
        :,
        torch.arange(count) % 4 != 3,
        :,
        size // 4 : 5 * size // 8,
        5 * size // 16 : 25 * size // 32,
    ] = 1
    return Batch(
        images=torch.randn(views, count, 3, size, size, generator=generator),
        labels=torch.arange(count) % classes,
        ids=torch.arange(count),
        boxes=whole,
        flips=torch.zeros(views, count, dtype=torch.bool),
        masks=masks,
    )


def progress(epoch: int = 0, *, epochs: int = 100, seed: int = 0) -> StepContext:
    """Return the first step of an epoch of ten steps."""
    generator = torch.Generator().manual_seed(seed)
    return StepContext(epoch=epoch, epochs=epochs, step=0, steps=10, generator=generator)
