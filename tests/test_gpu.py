"""On a CUDA device: the same draws as on the CPU, bfloat16, and losses that agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness import seed
from harness.augment import view
from harness.methods.baselines import _imagenet
from harness.methods.msmae.method import MSMAE
from harness.spec.recipe import Recipe
from harness.store.checkpoint import Checkpoints
from harness.train import shadow
from harness.train.images import Images
from harness.train.loop import Job, fit
from tests import tiny

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def _losses(device: str, folder: Path) -> list[dict[str, float]]:
    generator = torch.Generator().manual_seed(1)
    train = Images(
        pixels=torch.randint(0, 256, (24, 3, 64, 64), dtype=torch.uint8, generator=generator),
        labels=torch.arange(24) % 4,
        sizes=torch.full((24, 2), 64),
        names=tuple(map(str, range(24))),
        size=32,
    )
    train = replace(train, pixels=train.pixels.to(device), labels=train.labels.to(device))
    method = MSMAE(random_epochs=1, update_interval=1)
    with seed.third_party("gpu", "build"):
        task = method.build(tiny.dataset(), tiny.ENCODERS).to(device)
    recipe = Recipe(epochs=3, batch_size=8, base_lr=0.01)
    checkpoints = Checkpoints(folder / device, "gpu")
    return fit(Job(task=task, recipe=recipe, train=train, stream="gpu", checkpoints=checkpoints))


def test_strong_views_agree_with_the_cpu() -> None:
    """The same draws; a value that lies between two whole numbers may round either way."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (64, 3, 64, 64), dtype=torch.uint8, generator=generator)
    boxes = view.random_boxes(torch.full((64, 2), 64), _imagenet.STRONG, generator).float()
    flips = torch.rand(64, generator=generator) < 0.5
    drawn = view.draw(_imagenet.STRONG, 64, 32, generator)
    on_cpu, on_gpu = (
        view.view(
            pixels.to(device), boxes.to(device), flips.to(device), 32, _imagenet.STRONG, drawn
        ).cpu()
        for device in ("cpu", "cuda")
    )
    assert float((on_cpu - on_gpu).abs().mean()) < 0.02


def test_losses_agree_with_the_cpu_within_bfloat16(tmp_path: Path) -> None:
    on_cpu, on_gpu = (_losses(device, tmp_path) for device in ("cpu", "cuda"))
    for first, second in zip(on_cpu, on_gpu, strict=True):
        assert second == pytest.approx(first, rel=0.03)


def test_weights_cast_together_give_what_autocast_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = _losses("cuda", tmp_path / "together")
    monkeypatch.setattr(shadow, "of", lambda *_: None)
    alone = _losses("cuda", tmp_path / "alone")
    for first, second in zip(together, alone, strict=True):
        # Gradients of patches are added up in any order.
        assert second == pytest.approx(first, rel=1e-3)
