"""What must agree between a device and the CPU: the same draws, losses within bfloat16."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from harness import seed
from harness.augment import view
from harness.augment.random_crop import random_boxes
from harness.data import registry
from harness.methods.baselines import _imagenet
from harness.methods.msmae.method import MSMAE
from harness.spec import profiles
from harness.spec.recipe import Recipe
from harness.store.checkpoint import Checkpoints
from harness.train import shadow
from harness.train.images import Images
from harness.train.loop import Job, fit
from harness.train.task import build_task

VIEWS = 0.02
"""Largest mean difference of strong views, in the range of normalised images: a value that lies
between two whole numbers may round either way."""

LOSSES = 0.03
"""Largest relative difference of an epoch's losses: bfloat16 keeps 8 bits of the mantissa."""


ORDER = 1e-3
"""Largest relative difference of an epoch's losses where the arithmetic is the same: gradients of
patches are added up in any order on a device."""


def views(device: torch.device) -> float:
    """Return the mean difference of strong views of the same draws, on a device and the CPU."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (64, 3, 64, 64), dtype=torch.uint8, generator=generator)
    boxes = random_boxes(torch.full((64, 2), 64), _imagenet.STRONG, generator).float()
    flips = torch.rand(64, generator=generator) < 0.5
    drawn = view.draw(_imagenet.STRONG, 64, 32, generator)
    on_cpu, on_device = (
        view.view(
            pixels.to(place), boxes.to(place), flips.to(place), 32, _imagenet.STRONG, drawn
        ).cpu()
        for place in (torch.device("cpu"), device)
    )
    return float((on_cpu - on_device).abs().mean())


def losses(device: torch.device) -> float:
    """Return the largest relative difference of MSMAE's losses, by epoch, from the CPU's.

    Three epochs: random masks, the first guided ones, and maps that were renewed.
    """
    return _difference(_losses(torch.device("cpu")), _losses(device))


def casts(device: torch.device) -> float:
    """Return the difference that casting all weights together makes to MSMAE's losses."""
    together = _losses(device)
    with mock.patch.object(shadow, "of", lambda *_: None):
        return _difference(_losses(device), together)


def captured(device: torch.device) -> float:
    """Return the difference that recording its steps makes to MSMAE's losses.

    Raises:
        RuntimeError: they are not recorded.
    """

    def refuse(line: str) -> None:
        raise RuntimeError(line)

    return _difference(_losses(device), _losses(device, steps="captured", tell=refuse))


def _difference(expected: list[dict[str, float]], found: list[dict[str, float]]) -> float:
    """Return the largest relative difference of losses by epoch and name."""
    assert [set(epoch) for epoch in expected] == [set(epoch) for epoch in found]
    return max(
        abs(epoch[name] - value) / abs(value)
        for there, epoch in zip(expected, found, strict=True)
        for name, value in there.items()
        if name != "epoch"
    )


def _losses(device: torch.device, **how: Any) -> list[dict[str, float]]:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (24, 3, 64, 64), dtype=torch.uint8, generator=generator)
    train = Images(
        pixels=pixels.to(device),
        labels=(torch.arange(24) % 4).to(device),
        sizes=torch.full((24, 2), 64),
        names=tuple(map(str, range(24))),
        size=32,
    )
    method = MSMAE(random_epochs=1, update_interval=1)
    with seed.third_party("gpu", "build"):
        task = build_task(method, registry.find("btmd"), profiles.SMOKE.backbones).to(device)
    recipe = Recipe(epochs=3, batch_size=8, base_lr=0.01)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), "gpu")
        job = Job(task=task, recipe=recipe, train=train, stream="gpu", checkpoints=checkpoints)
        return fit(replace(job, **how))
