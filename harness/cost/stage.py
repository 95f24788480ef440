"""Count a model's passes under the conventions, and lay them out as plain values."""

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
        tokens: with [CLS], where the model has tokens that can be left out.
        batch: images that were counted together (similarities grow with the batch).
        forward: by name of the convention.
        step: forward and backward, by name of the convention, where it says so.
    """

    name: str
    tokens: int | None
    batch: int
    forward: dict[str, float]
    step: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "pass": self.name,
            "tokens": self.tokens,
            "batch": self.batch,
            "forward": self.forward,
            "forward+backward": self.step,
        }


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a model costs at a size: its parameters and passes, and a training step's memory."""

    model: Model
    parameters: dict[str, int]
    passes: tuple[Pass, ...]
    memory: Memory | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "model": self.model.name,
            "label": self.model.label,
            "parameters": self.parameters,
            "passes": [p.to_json() for p in self.passes],
            "memory": self.memory and self.memory.to_json(),
        }


def of_stage(stage: Stage, dataset: Dataset, backbones: BackboneSizes) -> StageCost:
    """Return what a stage costs per image, for its record.

    Counting needs no values, so nothing that is trained can change by it.

    Raises:
        UncountedError: an operator has no formula.
    """
    model = Model(name="", label="", stage=stage)
    with seed.third_party("cost", "count"):
        cost = measure(model, dataset, backbones)
    forward = {one.name.partition(" ")[0]: one.forward for one in cost.passes}
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
    """Count a model: the deployed forward over each number of tokens, and the training forward.

    A classifier is counted by the single image, a pre-training at its recipe's batch. Without
    ``tokens``, all are kept when deployed, and the training forward is shown too, with the
    ``memory`` of its step unless that is not wanted.

    Raises:
        UserError: the model has no tokens, or fewer than asked for.
        UncountedError: an operator has no formula.
    """
    stage = model.stage
    classifies = stage.phase != "pretrain"
    work = StagePasses(
        stage, dataset, backbones, META, 1 if classifies else stage.recipe.batch_size
    )
    passes, needed = [], None
    if tokens or classifies:
        for number in tokens or (None,):
            forward = work.deployed(number)
            kept = number or work.tokens
            passes.append(_pass("deployed forward", work, forward, kept, conventions))
    if not tokens:
        work = StagePasses(stage, dataset, backbones, META, stage.recipe.batch_size)
        training = work.training()
        passes.append(_pass("training forward", work, training, None, conventions))
        needed = of_step(work.task, training, work.images) if memory else None
    parameters = classification.count_parameters(work.task)
    return Cost(model=model, parameters=parameters, passes=tuple(passes), memory=needed)


def _pass(
    name: str,
    work: StagePasses,
    forward: Callable[[], Tensor],
    tokens: int | None,
    conventions: Sequence[Convention],
) -> Pass:
    once = count(work.task, forward)
    both = [c for c in conventions if c.backward]
    step = count(work.task, lambda: forward().sum(), backward=True) if both else None
    return Pass(
        name=name,
        tokens=tokens,
        batch=work.images,
        forward={c.name: c.of(once) / work.images for c in conventions},
        step={c.name: c.of(step) / work.images for c in both} if step else {},
    )
