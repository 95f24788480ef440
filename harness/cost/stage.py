"""Count a model's passes under the conventions, per image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from harness import seed
from harness.cost.conventions import CONVENTIONS, Convention
from harness.cost.count import count
from harness.cost.memory import Memory, of_step
from harness.cost.models import Model
from harness.cost.passes import StagePasses
from harness.evaluate import classification
from harness.spec.backbones import BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import Stage
from harness.store.result import StageCost, StepMemory

META = torch.device("meta")


@dataclass(frozen=True, kw_only=True)
class Pass:
    """The cost of one pass, per image.

    Attributes:
        name: "deployed forward" or "training forward".
        tokens: number with [CLS]; None if the model cannot leave patches out.
        batch: number of images counted together (similarities grow with the batch).
        forward: number by convention.
        step: number of forward and backward by convention, for those that cover both.
    """

    name: str
    tokens: int | None
    batch: int
    forward: dict[str, float]
    step: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "pass": self.name,
            "tokens": self.tokens,
            "batch": self.batch,
            "forward": self.forward,
            "forward+backward": self.step,
        }


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of a model at a size.

    Attributes:
        model: the model.
        parameters: numbers of all ("total") and of trained ("trainable") parameters.
        passes: its passes.
        memory: of a training step; None if not measured.
    """

    model: Model
    parameters: dict[str, int]
    passes: tuple[Pass, ...]
    memory: Memory | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "model": self.model.name,
            "label": self.model.label,
            "parameters": self.parameters,
            "passes": [p.to_json() for p in self.passes],
            "memory": self.memory and self.memory.to_json(),
        }


def of_stage(stage: Stage, dataset: Dataset, backbones: BackboneSizes) -> StageCost:
    """Return the cost of a stage per image, for its record.

    Counting uses shapes only and does not affect training.

    Raises:
        UncountedError: an operator has no formula.
    """
    model = Model(name="", label="", stage=stage)
    with seed.third_party("cost", "count"):
        cost = measure(model, dataset, backbones)
    forward = {p.name.partition(" ")[0]: p.forward for p in cost.passes}
    return StageCost(
        deployed=forward.get("deployed"),
        training=forward.get("training"),
        step=cost.passes[-1].step,
        memory=None if cost.memory is None else StepMemory(**cost.memory.to_json()),
    )


def measure(
    model: Model,
    dataset: Dataset,
    backbones: BackboneSizes,
    *,
    tokens: Sequence[int] = (),
    conventions: Sequence[Convention] = tuple(CONVENTIONS.values()),
    memory: bool = True,
) -> Cost:
    """Count a model's deployed forward, at each number of tokens, and its training forward.

    The deployed forward is counted for a single image, training at the recipe's batch size.

    Args:
        model: the model.
        dataset: determines the number of classes.
        backbones: the profile's sizes.
        tokens: numbers of tokens kept when deployed; if given, training is not counted. Empty
            keeps all.
        conventions: to count under.
        memory: whether to measure the memory of a training step, too.

    Raises:
        UserError: the model cannot keep that number of tokens.
        UncountedError: an operator has no formula.
    """
    stage = model.stage
    classifies = stage.phase != "pretrain"
    work = StagePasses(
        stage, dataset, backbones, META, 1 if classifies else stage.recipe.batch_size
    )
    passes, step_memory = [], None
    if tokens or classifies:
        for number in tokens or (None,):
            forward = work.deployed(number)
            kept_tokens = number or work.tokens
            passes.append(_pass("deployed forward", work, forward, kept_tokens, conventions))
    if not tokens:
        work = StagePasses(stage, dataset, backbones, META, stage.recipe.batch_size)
        training = work.training()
        passes.append(_pass("training forward", work, training, None, conventions))
        step_memory = of_step(work.task, training, work.images) if memory else None
    parameters = classification.count_parameters(work.task)
    return Cost(model=model, parameters=parameters, passes=tuple(passes), memory=step_memory)


def _pass(
    name: str,
    work: StagePasses,
    forward: Callable[[], Tensor],
    tokens: int | None,
    conventions: Sequence[Convention],
) -> Pass:
    """Count a forward pass, and its backward pass for the conventions that cover it."""
    forward_tally = count(work.task, forward)
    with_backward = [c for c in conventions if c.backward]
    step_tally = count(work.task, lambda: forward().sum(), backward=True) if with_backward else None
    return Pass(
        name=name,
        tokens=tokens,
        batch=work.images,
        forward={c.name: c.of(forward_tally) / work.images for c in conventions},
        step={c.name: c.of(step_tally) / work.images for c in with_backward} if step_tally else {},
    )
