"""Golden losses: three epochs of every stage of the paper's methods at toy size.

A change that should not alter numbers leaves ``golden/losses.json`` untouched. One that should
says so in the changelog and writes it anew:
``HARNESS_WRITE_GOLDEN=1 pytest tests/train/test_golden_losses.py``.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
import torch

from harness import seed
from harness.methods.baselines import amt, mae, supervised
from harness.methods.msmae import paper
from harness.spec.recipe import Stage
from harness.store.checkpoint import Checkpoints
from harness.train.images import Images
from harness.train.loop import Job, fit
from tests import tiny

GOLDEN = Path(__file__).parents[1] / "golden/losses.json"
RELATIVE = 2e-4
"""Room for other processors' kernels; any change of an algorithm moves a loss by far more."""

WIDER = {"resnet50/supervised": 5e-3}
"""Batch statistics of eight images amplify rounding: one part in 1e7 became 1e-3 by epoch 3."""

STAGES: dict[str, Stage] = {
    "mae/pretrain": mae.stages()[0],
    "amt/pretrain": amt.stages()[0],
    "msmae/pretrain": paper.described()[0],
    "msmae/finetune": paper.described()[1],
    "msmae-released/pretrain": paper.released()[0],
    "msmae-released/finetune": paper.released()[1],
    "msmae-amt-crop/pretrain": paper.amt_crop()[0],
    "plain/finetune": paper.finetune_plain(),
    "vit/supervised": supervised.vit()[0],
    "swin/supervised": supervised.swin()[0],
    "resnet50/supervised": supervised.resnet()[0],
}


def _images() -> Images:
    """Return 24 pictures of four classes: noise, a bright quarter tells the class."""
    generator = torch.Generator().manual_seed(11)
    pixels = torch.randint(0, 128, (24, 3, 64, 64), dtype=torch.uint8, generator=generator)
    labels = torch.arange(24) % 4
    for picture, label in zip(pixels, labels.tolist(), strict=True):
        top, left = 32 * (label // 2), 32 * (label % 2)
        picture[:, top : top + 32, left : left + 32] += 100
    return Images(
        pixels=pixels,
        labels=labels,
        sizes=torch.full((24, 2), 64),
        names=tuple(map(str, range(24))),
        size=32,
    )


def _losses(name: str, folder: Path) -> list[dict[str, float]]:
    stage = STAGES[name]
    short = {"epochs": 3, "batch_size": 8, "warmup_epochs": 1, "base_lr": 0.01}
    if stage.recipe.optimizer == "sgd":
        short["base_lr"] = 0.02  # batch statistics of eight images amplify rounding
    recipe = dataclasses.replace(stage.recipe, **short)
    scaled = {
        f.name: 1
        for f in dataclasses.fields(stage.method)  # type: ignore[arg-type]
        if f.metadata.get("unit") == "epochs"
    }
    method = dataclasses.replace(stage.method, **scaled)  # type: ignore[type-var]
    with seed.third_party(name, "build"):
        task = method.build(tiny.dataset(), tiny.ENCODERS)
    job = Job(
        task=task,
        recipe=recipe,
        train=_images(),
        stream=name,
        checkpoints=Checkpoints(folder, name.replace("/", "-")),
    )
    return fit(job)


@pytest.mark.parametrize("name", STAGES)
def test_losses_have_not_moved(name: str, tmp_path: Path) -> None:
    found = _losses(name, tmp_path)
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("HARNESS_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps({**golden, name: found}, indent=1, sort_keys=True) + "\n")
        return
    assert len(found) == len(golden[name]) == 3
    for epoch, expected in zip(found, golden[name], strict=True):
        assert epoch == pytest.approx(expected, rel=WIDER.get(name, RELATIVE))


def test_variants_that_should_differ_do() -> None:
    golden = json.loads(GOLDEN.read_text())
    last = {name: epochs[-1]["loss/total"] for name, epochs in golden.items()}
    assert len(set(last.values())) == len(last)
