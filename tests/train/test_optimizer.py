"""Schedules, parameter groups, layer decay and LARS against hand computation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.spec.recipe import Recipe
from harness.train.optimizer import (
    Lars,
    build_optimizer,
    learning_rate,
    parameter_groups,
    set_learning_rate,
)
from harness.train.task import Layers, Task


class _Stack(Task):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(2, 3)
        self.head = nn.Linear(3, 2)

    def layers(self) -> Layers:
        return Layers(3, lambda name: 0 if name.startswith("embed") else 2)


def _recipe(**changes: object) -> Recipe:
    base: dict[str, object] = {"epochs": 10, "batch_size": 128, "base_lr": 1.0}
    return Recipe(**(base | changes))  # type: ignore[arg-type]


def test_learning_rate_is_scaled_by_the_batch() -> None:
    assert _recipe(base_lr=1e-3, batch_size=64).lr == pytest.approx(2.5e-4)
    assert _recipe(base_lr=1e-3, batch_size=64, lr_batch=None).lr == 1e-3


def test_cosine_starts_at_zero_peaks_after_warmup_and_ends_at_the_minimum() -> None:
    recipe = _recipe(base_lr=2.0, warmup_epochs=2, min_lr=0.1)
    assert learning_rate(recipe, 0) == 0
    assert learning_rate(recipe, 1) == pytest.approx(0.5)
    assert learning_rate(recipe, 2) == pytest.approx(1.0)
    assert learning_rate(recipe, 6) == pytest.approx(0.1 + 0.9 * 0.5)
    assert learning_rate(recipe, 10) == pytest.approx(0.1)


def test_other_schedules() -> None:
    whole = _recipe(base_lr=2.0, warmup_epochs=2, schedule="cosine-whole")
    assert learning_rate(whole, 2) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.2)))
    steps = _recipe(base_lr=2.0, schedule="cosine-by-epoch")
    assert learning_rate(steps, 0.9) == pytest.approx(1.0)
    assert learning_rate(steps, 5.9) == pytest.approx(0.5)


def test_steps_multiply_the_rate_at_every_milestone() -> None:
    recipe = _recipe(
        base_lr=60.0, epochs=100, schedule="steps", milestones=(60, 80), weight_decay=0.0
    )
    times = (0, 59.99, 60, 79.99, 80, 99.9)
    found = [learning_rate(recipe, time) for time in times]
    assert found == pytest.approx([30, 30, 3, 3, 0.3, 0.3])


def test_a_profile_scales_milestones_with_the_epochs() -> None:
    from harness.methods.msmae.finetune import Finetune
    from harness.spec.profiles import SMOKE
    from harness.spec.recipe import Stage

    recipe = _recipe(epochs=100, schedule="steps", milestones=(60, 80))
    stage = SMOKE.scaled(Stage(phase="finetune", method=Finetune(), recipe=recipe))
    assert (stage.recipe.epochs, stage.recipe.milestones) == (20, (12, 16))


@pytest.mark.parametrize("milestones", [(), (80, 60), (0, 5), (1.5,)])
def test_milestones_that_are_no_rising_epochs_are_refused(milestones: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"recipe\.milestones is \["):
        _recipe(schedule="steps", milestones=milestones)


def test_layer_decay_acts_on_the_first_step() -> None:
    """With plain SGD and equal gradients the step sizes stand in the ratio of the decay."""
    task = _Stack()
    recipe = _recipe(optimizer="sgd", momentum=0.0, weight_decay=0.0, layer_decay=0.5)
    optimizer = build_optimizer(task, recipe)
    set_learning_rate(optimizer, 0.1)
    before = {n: p.detach().clone() for n, p in task.named_parameters()}
    for p in task.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    moved = {n: float((before[n] - p.detach()).mean()) for n, p in task.named_parameters()}
    assert moved["head.weight"] == pytest.approx(0.1, rel=1e-5)
    assert moved["embed.weight"] == pytest.approx(0.1 * 0.5**2, rel=1e-5)


def test_layer_decay_needs_layers() -> None:
    class Plain(Task):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(2, 2)

    with pytest.raises(UserError, match="defines no layers"):
        parameter_groups(Plain(), _recipe(layer_decay=0.75))


def test_weight_decay_spares_biases_unless_told() -> None:
    groups = parameter_groups(_Stack(), _recipe(weight_decay=0.3))
    decay = {name: g["weight_decay"] for g in groups for name in g["names"]}
    assert decay == {"embed.weight": 0.3, "embed.bias": 0.0, "head.weight": 0.3, "head.bias": 0.0}
    groups = parameter_groups(_Stack(), _recipe(weight_decay=0.3, decay_all=True))
    assert {g["weight_decay"] for g in groups} == {0.3}


@pytest.mark.parametrize("rate_inside", [True, False])
def test_lars_two_steps_by_hand(rate_inside: bool) -> None:
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    bias = nn.Parameter(torch.tensor([1.0]))
    optimizer = Lars(
        [
            {"params": [weight], "weight_decay": 0.1},
            {"params": [bias], "weight_decay": 0.0, "adapted": False},
        ],
        lr=2.0,
        momentum=0.5,
        trust=0.01,
        rate_inside=rate_inside,
    )
    # At one rate throughout both forms are the same.
    w, m = torch.tensor([3.0, 4.0]), torch.zeros(2)
    b, mb = 1.0, 0.0
    for gradient in (torch.tensor([1.0, 0.0]), torch.tensor([0.0, -2.0])):
        weight.grad, bias.grad = gradient.clone(), torch.tensor([0.5])
        optimizer.step()
        full = gradient + 0.1 * w
        m = 0.5 * m + full * (0.01 * w.norm() / full.norm())
        w = w - 2.0 * m
        mb = 0.5 * mb + 0.5
        b = b - 2.0 * mb
        torch.testing.assert_close(weight.detach(), w)
        assert float(bias.detach()) == pytest.approx(b)


GOLDEN_LARS = {
    # m = 0.1 * 0.5 = 0.05; then 0.025 + 0.15 = 0.175; then 0.0875 + 0.1 = 0.1875.
    "inside-momentum": ([0.95, 0.775, 0.5875], [0.0, 0.05, 0.175, 0.1875]),
    # m = 0.5, 0.25 + 0.5 = 0.75, 0.375 + 0.5 = 0.875; steps 0.1 * 0.5, 0.3 * 0.75, 0.2 * 0.875.
    "outside-momentum": ([0.95, 0.725, 0.55], [0.0, 0.5, 0.75, 0.875]),
}
"""A weight of 1 with gradients of 0.5, momentum 0.5 and rates 0.1, 0.3, 0.2, not adapted: the
weight and the momentum after each step, by hand."""


@pytest.mark.parametrize("place", sorted(GOLDEN_LARS))
def test_lars_under_a_changing_rate_by_hand(place: str) -> None:
    task = Task()
    task.bias = nn.Parameter(torch.tensor([1.0]))
    optimizer = build_optimizer(task, _recipe(optimizer="lars", momentum=0.5, lars_rate=place))
    weights, momenta = GOLDEN_LARS[place]
    for rate, weight, momentum in zip((0.1, 0.3, 0.2), weights, momenta[1:], strict=True):
        task.bias.grad = torch.tensor([0.5])
        set_learning_rate(optimizer, rate)
        optimizer.step()
        assert float(task.bias.detach()) == pytest.approx(weight, rel=1e-6)
        assert float(optimizer.state[task.bias]["momentum"]) == pytest.approx(momentum, rel=1e-6)


@pytest.mark.parametrize("place", sorted(GOLDEN_LARS))
def test_lars_adapts_under_a_changing_rate_by_hand(place: str) -> None:
    """A kernel of (6, 8) with gradients (3, 4): r = 0.001 |w| / 5, momentum 0.9, three rates.

    r is 0.002, then 0.001 (both forms move by 500 * 0.002 * (3, 4) first), then 0.00015 inside and
    0.0003 outside. Inside: m = (3, 4); 0.9 m + 250 * 0.001 * (3, 4) = (3.45, 4.6);
    0.9 m + 1000 * 0.00015 * (3, 4) = (3.555, 4.74). Outside: m = (0.006, 0.008);
    0.9 m + 0.001 * (3, 4) = (0.0084, 0.0112); 0.9 m + 0.0003 * (3, 4) = (0.00846, 0.01128).
    """
    expected = {
        "inside-momentum": [(3.0, 4.0), (-0.45, -0.6), (-4.005, -5.34)],
        "outside-momentum": [(3.0, 4.0), (0.9, 1.2), (-7.56, -10.08)],
    }
    task = Task()
    task.kernel = nn.Parameter(torch.tensor([[6.0, 8.0]]))
    recipe = _recipe(optimizer="lars", momentum=0.9, weight_decay=0.0, lars_rate=place)
    optimizer = build_optimizer(task, recipe)
    for rate, weights in zip((500.0, 250.0, 1000.0), expected[place], strict=True):
        task.kernel.grad = torch.tensor([[3.0, 4.0]])
        set_learning_rate(optimizer, rate)
        optimizer.step()
        assert task.kernel.detach().flatten().tolist() == pytest.approx(weights, rel=1e-4)


@torch.no_grad()
def _lars_one_by_one(task: Task, momenta: dict[str, Tensor], *, inside: float) -> None:
    """Take a step at rate 0.2 with a decay of 0.1, tensor by tensor."""
    for name, p in task.named_parameters():
        assert p.grad is not None
        gradient = p.grad
        if p.ndim > 1:
            gradient = torch.add(gradient, p, alpha=0.1)
            w, g = p.norm(), gradient.norm()
            gradient = gradient * torch.where((w > 0) & (g > 0), 0.001 * w / g, torch.ones(()))
        momenta[name] = momenta.get(name, torch.zeros_like(p)).mul(0.9)
        momenta[name].add_(gradient, alpha=inside)
        p.sub_(momenta[name], alpha=0.2 / inside)


@pytest.mark.parametrize(("place", "inside"), [("inside-momentum", 0.2), ("outside-momentum", 1.0)])
def test_ratios_of_all_tensors_are_those_of_each_to_the_bit(place: str, inside: float) -> None:
    first, second = _Stack(), _Stack()
    nn.init.zeros_(first.head.weight)  # has no ratio
    second.load_state_dict(first.state_dict())
    recipe = _recipe(optimizer="lars", momentum=0.9, weight_decay=0.1, lars_rate=place)
    optimizer = build_optimizer(first, recipe)
    set_learning_rate(optimizer, 0.2)
    momenta: dict[str, Tensor] = {}
    for step in range(3):
        for task in (first, second):
            for p in task.parameters():
                p.grad = torch.linspace(-1, 2 + step, p.numel()).view_as(p)
        optimizer.step()
        _lars_one_by_one(second, momenta, inside=inside)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_recipes_say_whose_lars_they_use() -> None:
    from harness.methods.baselines import mocov3, simclr

    assert simclr.RECIPE.lars_rate == simclr.own_finetune().recipe.lars_rate == "inside-momentum"
    assert mocov3.RECIPE.lars_rate == "outside-momentum"


def test_lars_adapts_without_weight_decay_but_spares_what_is_free_of_it() -> None:
    """SimCLR fine-tunes so: no decay at all, yet kernels take the trust ratio."""
    task = _Stack()
    recipe = _recipe(optimizer="lars", momentum=0.0, weight_decay=0.0)
    optimizer = build_optimizer(task, recipe)
    set_learning_rate(optimizer, 0.1)
    before = {n: p.detach().clone() for n, p in task.named_parameters()}
    for p in task.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    for name, p in task.named_parameters():
        w, g = before[name].norm(), torch.ones_like(p).norm()
        rate = 0.1 if name.endswith("bias") else 0.1 * 0.001 * float(w / g)
        torch.testing.assert_close(before[name] - p.detach(), torch.full_like(p, rate))


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "lars"])
def test_every_optimiser_lowers_a_quadratic(name: str) -> None:
    torch.manual_seed(0)
    task = _Stack()
    recipe = _recipe(optimizer=name, base_lr=0.1, weight_decay=0.01, clip_norm=1.0)
    optimizer = build_optimizer(task, recipe)
    x, y = torch.randn(16, 2), torch.randn(16, 2)
    losses = []
    for _ in range(30):
        loss = (task.head(task.embed(x)) - y).square().mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        set_learning_rate(optimizer, 0.05)
        optimizer.step()
    assert losses[-1] < losses[0]
