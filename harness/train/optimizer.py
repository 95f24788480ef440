"""Parameter groups, optimisers and the learning-rate schedule of a recipe.

torch's optimisers have no layer-wise learning-rate decay; here every parameter group carries a
``factor`` by which ``set_learning_rate`` multiplies its rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from harness.errors import UserError
from harness.spec.recipe import Recipe
from harness.train.adam import Adam
from harness.train.task import Task

STEP = 0.1
"""Factor on the learning rate at a milestone."""


def parameter_groups(task: Task, recipe: Recipe) -> list[dict[str, Any]]:
    """Split trainable parameters by depth and weight decay.

    Biases, normalisation layers (one dimension) and what ``task.no_decay`` names have no weight
    decay unless ``recipe.decay_all``. Each group has a ``factor`` on the learning rate.

    Raises:
        UserError: the recipe sets layer decay and the method defines no layers.
    """
    layers = task.layers() if recipe.layer_decay is not None else None
    if recipe.layer_decay is not None and layers is None:
        raise UserError(
            f"recipe.layer_decay is {recipe.layer_decay}, but {type(task).__name__} defines no"
            " layers; set recipe.layer_decay=none."
        )
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in task.named_parameters():
        if not parameter.requires_grad:
            continue
        exempt = not recipe.decay_all and (
            parameter.ndim <= 1 or name.endswith(".bias") or task.no_decay(name)
        )
        # Layer l of L (0 the input, L - 1 the head) trains at decay^(L - 1 - l) times the rate
        # (BEiT; released code, param_groups_lrd).
        depth = layers.of(name) if layers else 0
        factor = recipe.layer_decay ** (layers.count - 1 - depth) if layers else 1.0  # type: ignore[operator]
        group = groups.setdefault(
            (depth, exempt),
            {
                "params": [],
                "names": [],
                "factor": factor,
                "weight_decay": 0.0 if exempt else recipe.weight_decay,
                "adapted": not exempt,
            },
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return [groups[key] for key in sorted(groups)]


def build_optimizer(
    task: Task, recipe: Recipe, *, capturable: bool = False
) -> torch.optim.Optimizer:
    """Build the recipe's optimiser over the task's parameter groups.

    Args:
        task: whose parameters are trained.
        recipe: names the optimiser.
        capturable: whether Adam and AdamW can be part of a CUDA graph, see ``Rates``.
    """
    groups = parameter_groups(task, recipe)
    for group in groups:
        group.pop("names")
    lr = recipe.lr
    betas = (float(recipe.betas[0]), float(recipe.betas[1]))  # torch refuses 0 beside 0.9
    match recipe.optimizer:
        case "adamw" | "adam":
            kind = torch.optim.Adam if capturable else Adam
            return kind(
                groups,
                lr=lr,
                betas=betas,
                weight_decay=0.0,  # every group carries its own
                fused=True,
                capturable=capturable,
                decoupled_weight_decay=recipe.optimizer == "adamw",
            )
        case "sgd":
            return torch.optim.SGD(groups, lr=lr, momentum=recipe.momentum, foreach=True)
        case "lars":
            rate_inside = recipe.lars_rate == "inside-momentum"
            return Lars(groups, lr=lr, momentum=recipe.momentum, rate_inside=rate_inside)


def learning_rate(recipe: Recipe, time: float) -> float:
    """Return the learning rate at a fractional epoch ``time``, before layer factors.

    "cosine": linear warm-up from ``warmup_lr``, then half a cosine to ``min_lr`` (released code,
    per step). "cosine-whole": the cosine counts from epoch 0, warm-up included (SimMIM).
    "cosine-by-epoch": likewise, constant within an epoch (ContrastiveCrop). "steps": times 0.1 at
    every milestone.
    """
    warmup = recipe.warmup_epochs
    if time < warmup:
        return recipe.warmup_lr + (recipe.lr - recipe.warmup_lr) * time / warmup
    if recipe.schedule == "steps":
        return recipe.lr * STEP ** sum(time >= milestone for milestone in recipe.milestones)
    if recipe.schedule == "cosine":
        progress = (time - warmup) / max(recipe.epochs - warmup, 1e-12)
    elif recipe.schedule == "cosine-whole":
        progress = time / recipe.epochs
    else:
        progress = math.floor(time) / recipe.epochs
    # Half a cosine: 1 at progress 0, 0 at progress 1.
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * cosine


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set every group's learning rate to ``lr`` times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["factor"]


class Rates:
    """The groups' learning rates where steps are recorded in a CUDA graph.

    A number in a recorded operation stays what it was when it was recorded. Optimisers that can
    therefore read theirs, in float32, from the device: here all groups' rates are one tensor.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        """Put the rates on the device if the optimiser reads them there."""
        self._optimizer = optimizer
        groups = optimizer.param_groups
        self.on_device = all(group.get("capturable", False) for group in groups)
        if self.on_device:
            self._factors = torch.tensor([group["factor"] for group in groups], dtype=torch.float64)
            self._rates = torch.zeros(len(groups), device=groups[0]["params"][0].device)
            for group, rate in zip(groups, self._rates.unbind(), strict=True):
                group["lr"] = rate

    def set(self, lr: float) -> None:
        """Set every group's rate to ``lr`` times the group's factor."""
        if not self.on_device:
            set_learning_rate(self._optimizer, lr)
            return
        rates = (lr * self._factors).float()
        if self._rates.is_cuda:
            rates = rates.pin_memory()
        self._rates.copy_(rates, non_blocking=True)


class Lars(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017) with momentum.

    For a tensor w with gradient g the update is, per step,
    ``m <- momentum * m + lr * r * (g + decay * w)``, ``w <- w - m`` with the trust ratio
    ``r = trust * |w| / |g + decay * w|`` (You et al. 2017; SimCLR's code). With the rate outside
    the momentum it is ``m <- momentum * m + r * (g + decay * w)``, ``w <- w - lr * m`` (MoCo v3's
    code): what older gradients add to a step then follows the present rate. Groups that are not
    "adapted" (parameters exempt from weight decay) use r = 1, which is SGD with momentum.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float = 0.9,
        trust: float = 0.001,
        rate_inside: bool = True,
    ) -> None:
        """Keep the groups; every group carries its own ``weight_decay`` and ``adapted``."""
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "trust": trust,
            "weight_decay": 0.0,
            "adapted": True,
        }
        super().__init__(params, defaults)
        self.rate_inside = rate_inside

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all tensors, group by group with one fused call per operation."""
        assert closure is None
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            grads: list[Tensor] = [p.grad for p in weights if p.grad is not None]
            if group["weight_decay"]:
                grads = list(torch._foreach_add(grads, weights, alpha=group["weight_decay"]))
            if group["adapted"]:
                w = torch.stack(torch._foreach_norm(weights))
                g = torch.stack(torch._foreach_norm(grads))  # weight decay included
                # A norm of 0 gives no ratio (a tensor that starts at 0); r = 1 there.
                ratios = torch.where((w > 0) & (g > 0), group["trust"] * w / g, 1.0)
                grads = list(torch._foreach_mul(grads, ratios.unbind()))
            momenta = []
            for p in weights:
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                momenta.append(state["momentum"])
            # The momenta hold steps where the rate is inside, and gradients where it is outside.
            inside, outside = (group["lr"], 1.0) if self.rate_inside else (1.0, group["lr"])
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_add_(momenta, grads, alpha=inside)
            torch._foreach_add_(weights, momenta, alpha=-outside)
