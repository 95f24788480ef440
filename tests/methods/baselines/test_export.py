"""Trained encoders under timm's names: every tensor is taken, and the features are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from harness.api import (
    AMT,
    MAE,
    MSMAE,
    ContrastiveCrop,
    Finetune,
    MoCoV3,
    ResNet50,
    SimCLR,
    SimMIM,
    Swin,
    TimmClassifier,
    TimmSimCLR,
    encoder_weights,
    to_timm,
)
from harness.cli.export_weights import FORMATS, _contents
from harness.errors import UserError
from harness.report import usage
from harness.spec import profiles
from harness.spec.recipe import Method, Recipe, Stage
from harness.spec.run import Run
from harness.train.task import Task, build_task
from tests import snippets, tiny

METHODS: dict[str, Method] = {
    "mae": MAE(),
    "msmae": MSMAE(),
    "amt": AMT(),
    "mocov3": MoCoV3(),
    "simmim": SimMIM(),
    "simclr": SimCLR(),
    "contrastivecrop": ContrastiveCrop(),
    "vit": Finetune(),
    "vit-class": Finetune(pool="class"),
    "swin": Swin(),
    "resnet50": ResNet50(),
    "timm-simclr": TimmSimCLR(net="convnext_atto"),
    "timm-vit": TimmClassifier(net="vit_tiny_patch16_224"),
}


def _trained(method: Method) -> Task:
    """Return a task in eval mode whose every tensor has been moved, as if it were trained."""
    torch.manual_seed(0)
    task = build_task(method, tiny.dataset(), profiles.SMOKE.backbones)
    generator = torch.Generator().manual_seed(1)
    for value in task.state_dict().values():
        if isinstance(value, Tensor) and value.is_floating_point():
            value.add_(0.05 * torch.rand(value.shape, generator=generator))
    return task.eval()


def _definition(method: Method) -> dict[str, Any]:
    stage = Stage(
        phase="pretrain", method=method, recipe=Recipe(epochs=1, batch_size=8, base_lr=0.1)
    )
    run = Run(dataset="a", data="b", split="paper", profile=profiles.SMOKE, stages=(stage,), seed=0)
    return run.definition()


def _features(task: Task) -> Callable[[Tensor], Tensor]:
    """Return the features of a pre-training, or what the last layer of a classifier reads."""
    if task.has_features:
        return task.features
    read: list[Tensor] = []
    heads = ("head", "encoder.fc", "encoder.head.fc", "encoder.head")
    modules = dict(task.named_modules())
    last = next(modules[n] for n in heads if isinstance(modules.get(n), nn.Linear))
    last.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))

    def features(images: Tensor) -> Tensor:
        task.predict(images)
        return read[-1]

    return features


@pytest.mark.parametrize("name", METHODS)
def test_timm_takes_every_tensor_and_gives_the_same_features(name: str) -> None:
    task = _trained(METHODS[name])
    encoder = to_timm(_definition(METHODS[name]), task.state_dict())
    model = timm.create_model(encoder.architecture, **encoder.arguments).eval()
    result = model.load_state_dict(dict(encoder.tensors), strict=True)
    assert not result.missing_keys and not result.unexpected_keys
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    if any(isinstance(part, torch.nn.BatchNorm2d) for part in model.modules()):
        # Ours keep their channels last in memory, where sums are taken in another order.
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        ours, theirs = _features(task)(images), model(images)
    assert ours.shape == theirs.shape
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=0)


def test_the_normalisation_is_that_of_the_images_that_were_trained_on() -> None:
    unit = to_timm(_definition(SimCLR()), _trained(SimCLR()).state_dict())
    usual = to_timm(_definition(MAE()), _trained(MAE()).state_dict())
    assert (unit.mean, unit.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert usual.config["pretrained_cfg"]["mean"] == [0.485, 0.456, 0.406]


def test_what_timm_has_not_is_refused_in_one_line() -> None:
    weights = _trained(MAE()).state_dict()
    definition = _definition(MAE())
    definition["stages"][-1]["backbone"] = {"type": "conv", "width": 8}
    with pytest.raises(UserError, match="no counterpart of the backbone 'conv'.*--format torch"):
        to_timm(definition, weights)
    with pytest.raises(UserError, match="has no encoder"):
        encoder_weights({"layer.weight": torch.zeros(1)})
    wider = {**weights, "encoder.more": torch.zeros(1)}
    with pytest.raises(UserError, match="does not take this encoder.*more"):
        to_timm(_definition(MAE()), wider)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["simmim", "simclr", "vit-class", "timm-simclr"])
def test_the_python_of_a_card_runs_and_gives_the_features(
    tmp_path: Path, name: str, kind: str
) -> None:
    task = _trained(METHODS[name])
    encoder = to_timm(_definition(METHODS[name]), task.state_dict())
    for file, content in _contents(kind, encoder, {}).items():
        (tmp_path / file).write_bytes(content)
    (tmp_path / "README.md").write_text("\n".join(usage.lines(kind, encoder, 32)))
    image = snippets.squashed(snippets.picture(tmp_path), 32, encoder.mean, encoder.std)
    with torch.no_grad():
        expected = _features(task)(image)
    found = snippets.run(tmp_path)["features"]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", FORMATS)
def test_cards_prepare_images_by_a_central_crop_where_the_training_did(
    tmp_path: Path, kind: str
) -> None:
    method = ResNet50(evaluation="centre-crop")
    encoder = to_timm(_definition(method), _trained(method).state_dict())
    for file, content in _contents(kind, encoder, {}).items():
        (tmp_path / file).write_bytes(content)
    text = usage.lines(kind, encoder, 32)
    (tmp_path / "README.md").write_text("\n".join(text))
    image = snippets.picture(tmp_path)
    prepared = snippets.run(tmp_path)["transform"](image)
    whole = image.resize((48, 36), Image.Resampling.BICUBIC).crop((8, 2, 40, 34))
    expected = snippets.squashed(whole, 32, encoder.mean, encoder.std)[0]
    torch.testing.assert_close(prepared, expected)
    assert any("the central 87.5 % of the shorter side (bicubic)" in line for line in text)


@pytest.mark.parametrize("kind", ["torch", "safetensors"])
def test_cards_of_networks_that_timm_has_not_read_their_tensors(tmp_path: Path, kind: str) -> None:
    own = {"layer.weight": torch.ones(2)}
    for file, content in _contents(kind, None, own).items():
        (tmp_path / file).write_bytes(content)
    (tmp_path / "README.md").write_text("\n".join(usage.lines(kind, None, 32)))
    assert torch.equal(snippets.run(tmp_path)["tensors"]["layer.weight"], own["layer.weight"])
