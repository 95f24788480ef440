"""Profiles: the sizes at which a table can be run, and how stages are scaled to them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.spec.backbones import BackboneSizes
from harness.spec.recipe import Stage


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a profile shrinks the stages of one phase.

    Attributes:
        epochs: factor on every duration in epochs (at least one epoch remains).
        batch_size: largest batch.
        lr: factor on Adam's peak learning rate, which a smaller batch alone does not lower. The
            peak of SGD and LARS has no such factor and falls with the root of the batch (SimCLR's
            rule for small batches): their steps grow with the gradient, and its noise with it.
        drop_path: factor on stochastic depth, which few blocks and epochs cannot afford.
    """

    epochs: float = 1.0
    batch_size: int | None = None
    lr: float = 1.0
    drop_path: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How large a table is run: image size, encoders, epochs, subset and seeds.

    Attributes:
        train_images: images of the training part that are used (stratified), None: all.
        eval_images: likewise of the parts that are reported or selected on.
        phantoms: a missing real data set is replaced by its phantom family.
    """

    name: str
    backbones: BackboneSizes
    pretrain: Scale = Scale()
    finetune: Scale = Scale()
    supervised: Scale = Scale()
    train_images: int | None = None
    eval_images: int | None = None
    seeds: tuple[int, ...] = (0,)
    phantoms: bool = False

    def scaled(self, stage: Stage) -> Stage:
        """Return the stage as this profile runs it."""
        scale: Scale = getattr(self, stage.phase)
        recipe = _scale_epochs(stage.recipe, scale.epochs)
        batch = min(recipe.batch_size, scale.batch_size or recipe.batch_size)
        shrunk = dataclasses.replace(recipe, batch_size=batch)
        adaptive = recipe.optimizer in ("adamw", "adam")
        factor = scale.lr if adaptive else math.sqrt(batch / recipe.batch_size)
        recipe = dataclasses.replace(
            recipe,
            batch_size=batch,
            base_lr=recipe.base_lr * factor * (recipe.lr / shrunk.lr),
            warmup_epochs=min(recipe.warmup_epochs, recipe.epochs),
        )
        method: Any = _scale_epochs(stage.method, scale.epochs)
        method = _scale_steps(method, scale.epochs * stage.recipe.batch_size / batch)
        if hasattr(method, "drop_path"):
            method = dataclasses.replace(method, drop_path=method.drop_path * scale.drop_path)
        return Stage(phase=stage.phase, method=method, recipe=recipe)


_T = TypeVar("_T")


def _scale_epochs(value: _T, factor: float) -> _T:
    changes: dict[str, Any] = {
        f.name: _shorter(getattr(value, f.name), factor)
        for f in dataclasses.fields(value)  # type: ignore[arg-type]
        if f.metadata.get("unit") == "epochs" and getattr(value, f.name)
    }
    return dataclasses.replace(value, **changes) if changes else value  # type: ignore[type-var]


def _scale_steps(value: _T, factor: float) -> _T:
    """Keep the reach of what is kept per step when a training has ``factor`` times the steps."""
    changes: dict[str, Any] = {
        f.name: getattr(value, f.name) ** (1 / factor)
        for f in dataclasses.fields(value)  # type: ignore[arg-type]
        if f.metadata.get("unit") == "per step"
    }
    return dataclasses.replace(value, **changes) if changes else value  # type: ignore[type-var]


def _shorter(epochs: int | tuple[int, ...], factor: float) -> int | tuple[int, ...]:
    if isinstance(epochs, tuple):
        return tuple(max(1, math.floor(e * factor + 0.5)) for e in epochs)
    return max(1, math.floor(epochs * factor + 0.5))
