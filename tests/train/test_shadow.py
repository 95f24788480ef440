"""Copies of the weights in bfloat16: autocast's arithmetic to the bit, with its casts made once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import _stages
from harness import seed
from harness.train import backward, shadow
from harness.train.loop import look
from harness.train.optimizer import build_optimizer
from harness.train.shadow import Shadows
from harness.train.task import Batch, StepContext, Task, nothing_drawn, states
from tests import tiny
from tests.train import toy

CPU = torch.device("cpu")
KINDS = {kind.name: kind for kind in _stages.kinds()}
DIVISIBLE = ("mae", "msmae-described", "finetune-plain", "simmim")


@pytest.fixture(autouse=True)
def autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU stand in for a device: autocast casts the same layers there."""
    on = lambda device: torch.autocast(device.type, dtype=torch.bfloat16)  # noqa: E731
    monkeypatch.setattr(backward, "autocast", on)


def _copies(task: nn.Module) -> Shadows:
    return Shadows(task, CPU, torch.bfloat16)


def _untouched(task: Task) -> bool:
    names = ("forward", "_conv_forward")
    return not any(name in vars(module) for module in task.modules() for name in names)


def _trained(kind: _stages.Kind, size: int | None, *, copies: bool) -> dict[str, Tensor]:
    """Train two steps; return losses, gradients and the state."""
    stage = _stages.shortened(kind.stage)
    method: Any = stage.method
    if hasattr(method, "queue"):
        method = replace(method, queue=16)
    with seed.third_party("shadow", "build"):
        task: Task = method.build(tiny.dataset(), tiny.ENCODERS)
    found: dict[str, Tensor] = {}
    batch = tiny.batch(8, views=len(task.augmentations))
    optimizer = build_optimizer(task.train(), stage.recipe)
    shadows = _copies(task) if copies else None
    for step in range(2):
        at = tiny.progress(seed=step)
        with seed.third_party("shadow", "step", step):
            losses = backward.backward(task, batch, at, size, shadows)
        found |= {f"{step} {name}": value for name, value in losses.items()}
        for name, parameter in task.named_parameters():
            if parameter.grad is not None:
                assert parameter.grad.dtype == torch.float32
                found[f"{step} {name}"] = parameter.grad.clone()
        optimizer.step()
        optimizer.zero_grad()
        task.after_step(at)
        assert _untouched(task)
    return {**found, **{n: v for n, v in task.state_dict().items() if isinstance(v, Tensor)}}


def _assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    different = [name for name, value in first.items() if not torch.equal(value, second[name])]
    assert different == []


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_step_is_that_of_autocast_to_the_bit(name: str) -> None:
    """Momentum encoders, several uses of a weight, frozen encoders and convolutions included."""
    plain = _trained(KINDS[name], None, copies=False)
    _assert_same(plain, _trained(KINDS[name], None, copies=True))


@pytest.mark.parametrize("name", DIVISIBLE)
def test_micro_batches_add_up_as_under_autocast(name: str) -> None:
    plain = _trained(KINDS[name], 3, copies=False)
    _assert_same(plain, _trained(KINDS[name], 3, copies=True))


class _Uses(Task):
    """One weight in two layers, used twice in one and read outside; a momentum copy; a frozen."""

    needs_whole = None

    def __init__(self, *, outside: bool = False) -> None:
        super().__init__()
        self.outside = outside
        self.first, self.second = nn.Linear(12, 12), nn.Linear(12, 12, bias=False)
        self.second.weight = self.first.weight
        self.average, self.frozen = nn.Linear(12, 12), nn.Linear(12, 12)
        for layer in (self.average, self.frozen):
            layer.requires_grad_(requires_grad=False)
        self.scaled = nn.utils.parametrizations.weight_norm(nn.Linear(12, 12))
        self.precise = nn.Linear(12, 12).double()
        self.fail = False

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        images = batch.images[0].flatten(1)[:, :12]
        inner = self.first(self.second(self.first(images)))
        if self.fail:
            raise ValueError("in the middle")
        with torch.no_grad():
            self.average.weight.lerp_(self.first.weight, 0.5)
            keys = self.average(images)
        outer = self.scaled(self.frozen(inner)) * keys + self.precise(images.double())
        if self.outside:
            with torch.autocast("cpu", enabled=False):
                outer = outer + self.first(images)
            outer = outer * self.first.weight.square().mean()
        return {"total": outer.square().mean()}


def _used(*, copies: bool, fail: bool = False, outside: bool = False) -> dict[str, Tensor]:
    torch.manual_seed(3)
    task = _Uses(outside=outside).train()
    shadows = _copies(task) if copies else None
    if fail:
        task.fail = True
        with pytest.raises(ValueError, match="in the middle"):
            backward.backward(task, tiny.batch(4), tiny.progress(), None, shadows)
        assert _untouched(task)
        task.fail = False
    losses: dict[str, Tensor] = {}
    for _ in range(2):
        losses |= backward.backward(task, tiny.batch(4), tiny.progress(), None, shadows)
        assert _untouched(task)
    gradients = {n: p.grad for n, p in task.named_parameters() if p.grad is not None}
    return {**losses, **gradients, **{f"state {n}": v for n, v in task.state_dict().items()}}


def test_weights_that_are_shared_or_moved() -> None:
    _assert_same(_used(copies=False), _used(copies=True))


def test_weights_that_are_read_elsewhere_keep_their_value() -> None:
    """Their gradient is a sum of float32 numbers in another order."""
    plain, found = _used(copies=False, outside=True), _used(copies=True, outside=True)
    assert torch.equal(plain["total"], found["total"])
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-7)


def test_a_step_that_fails_leaves_the_layers_as_they_were() -> None:
    _assert_same(_used(copies=True), _used(copies=True, fail=True))


def test_a_layer_with_a_computed_weight_or_another_type_is_left_to_autocast() -> None:
    task = _Uses()
    copied = {id(pair.source) for pair in _copies(task)._copies.values()}
    names = {n for n, p in task.named_parameters() if id(p) in copied}
    assert names == {
        *("first.weight", "first.bias", "average.weight", "average.bias"),
        *("frozen.weight", "frozen.bias"),
    }


def test_every_weight_is_cast_by_one_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    plain = torch._foreach_copy_

    def copied(targets: Any, sources: Any) -> None:
        counted.append(len(targets))
        plain(targets, sources)

    monkeypatch.setattr(torch, "_foreach_copy_", copied)
    with seed.third_party("shadow", "build"):
        task = KINDS["simmim"].stage.method.build(tiny.dataset(), tiny.ENCODERS)
    shadows = _copies(task)
    backward.backward(task.train(), tiny.batch(8), tiny.progress(), None, shadows)
    weights = len(shadows._copies)
    assert counted == [weights, weights]  # there and, for the gradients, back


def test_on_the_cpu_nothing_changes() -> None:
    assert shadow.of(_Uses(), CPU) is None


def test_who_says_nothing_keeps_autocast() -> None:
    """A subclass with functions of its own might change weights in a way that nobody sees."""

    class Says(toy.Toy):
        cast_once = True
        draw_ahead = nothing_drawn

    class Renamed(Says):
        threshold = 0.4

    class Changed(Says):
        def features(self, images: Tensor) -> Tensor:
            return images.flatten(1)

    class Again(Changed):
        cast_once = True

    assert not states(toy.Toy(), "cast_once")
    assert [states(kind(), "cast_once") for kind in (Says, Renamed, Changed, Again)] == [
        *(True, True, False, True)
    ]
    assert not states(Again(), "draw_ahead")
    assert all(
        states(k.stage.method.build(tiny.dataset(), tiny.ENCODERS), name)
        for k in KINDS.values()
        if not hasattr(k.stage.method, "queue")
        for name in ("cast_once", "draw_ahead")
    )


def test_a_pass_casts_once_and_prepares_images_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under autocast, images would be resized and normalised with eight bits."""
    from harness.train import loop

    class Says(toy.Toy):
        cast_once = True

    casts: list[int] = []
    plain = Shadows._cast
    monkeypatch.setattr(Shadows, "_cast", lambda self, p: (casts.append(len(p)), plain(self, p)))
    monkeypatch.setattr(shadow, "of", lambda task, _: _copies(task))
    monkeypatch.setattr(loop, "autocast", lambda device: torch.autocast("cpu", torch.bfloat16))
    seen: list[Tensor] = []

    def function(images: Tensor) -> Tensor:
        assert torch.is_autocast_enabled("cpu")
        seen.append(images)
        return task.predict(images)

    task, images = Says(), toy.images()
    found = look(task, images, function, batch_size=4)
    assert found.dtype == torch.bfloat16
    assert casts == [2]
    assert torch.equal(torch.cat(seen), torch.cat(list(images.stretched())))
