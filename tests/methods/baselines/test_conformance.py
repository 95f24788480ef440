"""Conformance of every registered method: settings, forward, backward, state, parameters."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Iterator

import pytest
import torch

from harness.canonical import ACTS_WHERE, canonical, describe
from harness.plan import catalog
from harness.spec.backbones import BACKBONES
from harness.spec.recipe import Method, NeedsMasks, Recipe, Stage, backbone_of
from harness.spec.run import Run
from harness.train.images import Images, draw_batch
from harness.train.optimizer import build_optimizer
from harness.train.task import Task
from tests import tiny


def _methods() -> Iterator[type]:
    for component in catalog.methods().values():
        package = "msmae" if component.path.parent.name == "msmae" else "baselines"
        module = importlib.import_module(f"harness.methods.{package}.{component.path.stem}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and "build" in vars(kind):
                yield kind


METHODS = sorted(set(_methods()), key=lambda kind: kind.__name__)
every_method = pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind.__name__)


def _build(kind: type) -> Task:
    torch.manual_seed(0)
    task: Task = kind().build(tiny.dataset(), tiny.ENCODERS)
    return task


def _images(count: int = 16) -> Images:
    generator = torch.Generator().manual_seed(1)
    return Images(
        pixels=torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8, generator=generator),
        labels=torch.arange(count) % 4,
        sizes=torch.full((count, 2), 64),
        names=tuple(map(str, range(count))),
        size=32,
        masks=torch.randint(0, 2, (count, 1, 64, 64), dtype=torch.uint8, generator=generator),
    )


def test_all_methods_of_the_paper_that_exist_are_found() -> None:
    names = {kind.__name__ for kind in METHODS}
    assert {"MSMAE", "MAE", "AMT", "Swin", "ResNet50"} <= names


@every_method
def test_settings_are_frozen_documented_and_have_a_canonical_form(kind: type) -> None:
    settings = kind()
    assert dataclasses.is_dataclass(kind)
    assert isinstance(settings, Method)
    assert inspect.getdoc(kind)
    assert canonical(settings) == canonical(kind())
    # Declared on the class itself: a renamed class or file keeps its keys.
    assert describe(settings)["type"] == vars(kind)["key_name"]
    backbone = backbone_of(settings)
    assert backbone is not None
    assert backbone.name in BACKBONES or backbone.name.startswith("timm:")
    for field in dataclasses.fields(kind):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(settings, field.name, None)


@every_method
def test_a_step_trains_every_parameter_that_it_says_it_trains(kind: type) -> None:
    task = _build(kind)
    images = _images()
    task.before_epoch(0, lambda function: torch.cat([function(b) for b in images.stretched()]))
    recipe = Recipe(epochs=2, batch_size=8, base_lr=0.1)
    optimizer = build_optimizer(task, recipe)
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    trainable = [p for p in task.parameters() if p.requires_grad]
    assert len(grouped) == len(set(map(id, grouped))) == len(trainable)
    at = tiny.progress()
    losses = task.losses(draw_batch(task, images, torch.arange(8), at), at)
    assert all(value.ndim == 0 and torch.isfinite(value) for value in losses.values())
    losses["total"].backward()
    silent = [n for n, p in task.named_parameters() if p.requires_grad and p.grad is None]
    assert silent == []
    before = {name: p.detach().clone() for name, p in task.named_parameters()}
    optimizer.step()
    task.after_step(at)
    for name, parameter in task.named_parameters():
        if not parameter.requires_grad:
            assert torch.equal(parameter, before[name]), name


@every_method
def test_the_same_generator_gives_the_same_loss(kind: type) -> None:
    images, found = _images(), []
    for _ in range(2):
        task = _build(kind).train()
        at = tiny.progress(epoch=1, seed=3)
        torch.manual_seed(5)  # drop path draws from here, inside seed.third_party
        batch = draw_batch(task, images, torch.arange(8), at)
        found.append(float(task.losses(batch, at)["total"].detach()))
    assert found[0] == found[1]


@every_method
def test_state_goes_through_a_checkpoint(kind: type) -> None:
    task, images = _build(kind), _images()
    task.before_epoch(0, lambda function: torch.cat([function(b) for b in images.stretched()]))
    torch.manual_seed(9)
    other: Task = kind().build(tiny.dataset(), tiny.ENCODERS)
    other.load_state_dict(task.state_dict())
    results = []
    for one in (task, other):
        one.eval()
        at = tiny.progress(epoch=60)
        batch = draw_batch(one, images, torch.arange(8), at)
        results.append(float(one.losses(batch, at)["total"].detach()))
    assert results[0] == results[1]


@every_method
def test_predictions_have_a_column_a_class_and_do_not_depend_on_the_batch(kind: type) -> None:
    task = _build(kind).eval()
    assert not (task.classifies and task.segments)
    assert isinstance(kind(), NeedsMasks) == task.segments
    assert (task.deployed is None) == (not task.classifies and not task.segments)
    if not task.classifies:
        with pytest.raises(NotImplementedError):
            task.predict(torch.zeros(1, 3, 32, 32))
        return
    images = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together, alone = task.predict(images), task.predict(images[2:3])
    assert together.shape == (6, 4)
    torch.testing.assert_close(together[2:3], alone, atol=1e-5, rtol=1e-4)


@every_method
def test_every_setting_is_part_of_the_key(kind: type) -> None:
    from harness.spec import profiles

    def key(method: Method) -> str:
        stage = Stage(
            phase="pretrain", method=method, recipe=Recipe(epochs=1, batch_size=1, base_lr=1.0)
        )
        run = Run(
            dataset="a",
            data="b",
            split="paper",
            profile=profiles.SMOKE,
            stages=(stage,),
            seed=0,
        )
        return run.key()

    plain = kind()
    for field in dataclasses.fields(kind):
        value = getattr(plain, field.name)
        if isinstance(value, bool):
            changed = dataclasses.replace(plain, **{field.name: not value})
        elif isinstance(value, float):
            changed = dataclasses.replace(plain, **{field.name: value * 0.5 + 0.01})
        elif isinstance(value, int):
            changed = dataclasses.replace(plain, **{field.name: value + 1})
        else:
            continue
        acting = field.metadata.get(ACTS_WHERE)
        beside = {} if acting is None else {acting[0]: acting[1]}
        before, after = (dataclasses.replace(m, **beside) for m in (plain, changed))
        assert key(after) != key(before), field.name
