"""Extreme settings of every method are refused when planned, or train a step without an error.

``HARNESS_FUZZ=N pytest tests/methods/test_extreme_settings.py`` draws N settings of each method.
"""

from __future__ import annotations

import dataclasses
import math
import os
import typing
from typing import Annotated, Any, get_args, get_origin

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from harness import ranges
from harness.errors import UserError
from harness.spec import profiles
from harness.spec.backbones import BACKBONES, BackboneSizes, ResNetSize, SwinSize, VitSize
from harness.spec.recipe import Recipe, Stage
from harness.train import backward
from harness.train.images import Images, draw_batch
from harness.train.optimizer import build_optimizer, learning_rate, set_learning_rate
from harness.train.task import StepContext, build_task
from tests import settings_values as values
from tests import tiny

EXAMPLES = int(os.environ.get("HARNESS_FUZZ", "8"))
COUNT = 8
"""Training images."""

METHODS = [kind for kind in values.settings_types() if hasattr(kind, "build")]
WIDEST = 256
"""Widths and counts that are drawn are at most these, so that a step takes milliseconds."""

many = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


def images(size: int) -> Images:
    generator = torch.Generator().manual_seed(1)
    return Images(
        pixels=torch.randint(0, 256, (COUNT, 3, 64, 64), dtype=torch.uint8, generator=generator),
        labels=torch.arange(COUNT) % 4,
        sizes=torch.tensor([[64, 64], [1, 64], [64, 1], [5, 7]] * (COUNT // 4)),
        names=tuple(map(str, range(COUNT))),
        size=size,
        masks=torch.randint(0, 2, (COUNT, 1, 64, 64), dtype=torch.uint8, generator=generator),
    )


def numbers(number: type, metas: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """Numbers of a range: mostly ends of it and what is near them, a few beyond."""
    low, high, with_low, with_high = values.bounds(number, metas)
    if number is int:
        first, last = int(low) + (not with_low), min(int(high) - (not with_high), WIDEST)
        inside = st.integers(first, last) | st.sampled_from([first, first + 1, 2 * first + 1])
        return inside | st.sampled_from([first - 1, 2**53 + 1, 10**400])
    first_up = low if with_low else math.nextafter(low, math.inf)
    last_down = high if with_high else math.nextafter(high, -math.inf)
    ends = [first_up, last_down, (low + high) / 2, low + (high - low) / 1000, 1e-3, 1.0]
    inside = st.floats(first_up, last_down) | st.sampled_from([e for e in ends if low < e < high])
    inside |= st.sampled_from([first_up, last_down])
    return inside | inside | st.sampled_from([low - 1, high + 1, math.nan, math.inf, 1e308])


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a settings field's type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        (found,) = values.leaves(kind) if arguments[0] in (int, float) else ((None, ()),)
        return of_type(arguments[0]) if found[0] is None else numbers(*found)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[1:] == (...,):
        return st.lists(of_type(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(of_type, arguments))
    if arguments:
        return st.one_of(*(st.none() if a is type(None) else of_type(a) for a in arguments))
    if dataclasses.is_dataclass(kind):
        return objects(typing.cast(type, kind))
    return st.booleans() if kind is bool else st.none()


def objects(kind: type, most: int = 3) -> st.SearchStrategy[Any]:
    """Draw an object with a few fields changed; None where that is refused."""
    types = ranges.field_types(kind)
    names = [f.name for f in dataclasses.fields(kind)]

    def make(changes: dict[str, Any]) -> Any:
        required = {"epochs": 2, "batch_size": 4, "base_lr": 0.1} if kind is Recipe else {}
        try:
            return kind(**{**required, **changes})
        except UserError as error:
            assert "\n" not in str(error)
            return None

    chosen = st.lists(st.sampled_from(names), max_size=most, unique=True)
    return chosen.flatmap(
        lambda fields: st.fixed_dictionaries({f: of_type(types[f]) for f in fields})
    ).map(make)


def step(stage: Stage, backbones: BackboneSizes) -> None:
    """Check a stage as planning does, then train a step at the start and in the last epoch.

    Raises:
        UserError: planning refuses the stage.
    """
    method, recipe = stage.method, stage.recipe
    data = images(backbones.image_size)
    if recipe.batch_size > COUNT:
        raise UserError("batch")
    if hasattr(method, "check"):
        method.check(recipe=recipe, images=COUNT, backbones=backbones)
    for profile in profiles.PROFILES.values():
        profile.scaled(stage)
    torch.manual_seed(0)
    dataset = dataclasses.replace(tiny.dataset(), sizes={"train": COUNT, "eval": 0})
    task = build_task(method, dataset, backbones).train()
    optimizer = build_optimizer(task, recipe)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for epoch in {0, recipe.epochs - 1}:
        at = StepContext(
            epoch=epoch,
            epochs=recipe.epochs,
            step=0,
            steps=COUNT // recipe.batch_size,
            generator=torch.Generator().manual_seed(3),
        )
        task.eval()
        with torch.no_grad():
            task.before_epoch(
                epoch, lambda function: torch.cat([function(b) for b in data.stretched()])
            )
        task.train()
        rate = learning_rate(recipe, at.time)
        assert 0 <= rate <= max(recipe.lr, recipe.min_lr) * (1 + 1e-9)
        set_learning_rate(optimizer, rate)
        batch = draw_batch(task, data, torch.arange(recipe.batch_size), at)
        assert torch.isfinite(batch.images).all()
        losses = backward.backward(task, batch, at, None)
        assert all(value.ndim == 0 for value in losses.values())
        if recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        task.after_step(at)


@pytest.mark.slow
@pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind.__name__)
def test_extreme_settings_are_refused_or_train(kind: type) -> None:
    tried = [0, 0]

    @many
    @given(method=objects(kind), recipe=objects(Recipe))
    def trains(method: Any, recipe: Recipe | None) -> None:
        tried[0] += 1
        if method is None or recipe is None:
            return
        try:
            step(Stage(phase="pretrain", method=method, recipe=recipe), tiny.ENCODERS)
        except UserError as error:
            assert "\n" not in str(error)
        else:
            tried[1] += 1

    trains()
    assert tried[1] > 0, f"none of {tried[0]} settings of {kind.__name__} could be trained"


@pytest.mark.slow
def test_extreme_sizes_are_refused_or_train() -> None:
    small = st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 24, 32, 48])
    few = st.sampled_from([1, 1, 1, 2, 3])

    def stages(number: int) -> st.SearchStrategy[tuple[int, ...]]:
        return st.lists(few, min_size=number, max_size=4).map(tuple)

    names = ["patch", "width", "depth", "heads", "decoder_width", "decoder_depth", "decoder_heads"]
    vit = st.fixed_dictionaries({n: few if "depth" in n or "heads" in n else small for n in names})
    swin = st.fixed_dictionaries(
        {"patch": few, "width": small, "depths": stages(1), "heads": stages(1), "window": small}
    )
    resnet = st.fixed_dictionaries({"layers": stages(3), "width": small})
    kinds = {"vit": (VitSize, vit), "swin": (SwinSize, swin), "resnet": (ResNetSize, resnet)}
    tried = dict.fromkeys(kinds, 0)

    @settings(many, max_examples=10 * EXAMPLES)
    @given(st.data(), st.sampled_from(METHODS), small)
    def trains(data: st.DataObject, kind: Any, image_size: int) -> None:
        declared = kind.backbone
        assume(not isinstance(declared, property))  # a network of timm has its own sizes
        name = declared.name
        size, strategy = kinds[name]
        try:
            own = size(**data.draw(strategy))
            backbones = BackboneSizes(image_size=image_size, given={name: own})
            recipe = Recipe(epochs=1, batch_size=4, base_lr=0.1)
            step(Stage(phase="pretrain", method=kind(), recipe=recipe), backbones)
        except UserError as error:
            assert "\n" not in str(error)
        else:
            tried[name] += 1

    trains()
    assert set(tried) == set(BACKBONES)
