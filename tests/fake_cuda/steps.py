# ruff: noqa: E402 (what torch finds when it is imported has to be there before)
"""Count what a step of every kind of stage does on a CUDA device that does not exist.

``python -m tests.fake_cuda.steps FILE [NAME ...]`` trains one or two epochs of two steps at the
paper's sizes and writes, for every kind, launches of the last step by phase and what it found.
"planted" is a task that does everything it must not.
"""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.fake_cuda import guard

guard.load()

import torch
from torch import Tensor

from bench import _stages
from harness import seed
from harness.augment.view import Augmentation
from harness.data import registry
from harness.evaluate import classification, segmentation
from harness.evaluate import registry as evaluators
from harness.spec import profiles
from harness.train import backward, loop
from harness.train.images import Images
from harness.train.task import Batch, StepContext, Task
from tests.fake_cuda import device
from tests.fake_cuda.device import CUDA, STAGED, AsBuilt, Device

HOUSE = str(Path(__file__).parents[2])
STEP = ("data", "forward", "backward", "optimizer")
"""Phases of a step; "between" is the rest of a training, "first" an epoch's first step."""


class Nowhere:
    """Checkpoints that are not written."""

    def load(self) -> None:
        """Find no state."""

    def due(self) -> bool:
        """Whether a state is to be written: never."""
        return False

    def waiting(self) -> contextlib.AbstractContextManager[None]:
        """Wait for nothing."""
        return contextlib.nullcontext()


PLANTED = "planted"


class Planted(Task):
    """A task whose losses wait for the device in every way, and leave a tensor on the CPU."""

    augmentations = (Augmentation(),)

    def __init__(self) -> None:
        """Build one layer."""
        super().__init__()
        self.head = torch.nn.Linear(3, 7)
        self.forgotten = [torch.arange(64)]

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return a cross-entropy."""
        images = batch.images[0].mean((2, 3))
        images = images * torch.tensor([1.0, 2.0, 3.0], device=images.device)
        noise = torch.rand(len(images), STAGED // 256, generator=at.generator)
        images = images + noise.to(images.device, non_blocking=True)[:, :3]
        logits = self.head(images).float()
        loss = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")
        loss = loss[self.forgotten[0]]
        loss = loss[loss > 0].mean()
        return {"total": loss * loss.item()}


@dataclass(frozen=True)
class PlantedMethod:
    """The method of ``Planted``."""

    def build(self, *_: object) -> Task:
        """Build the task."""
        return Planted()


def _images(mode: Device, dataset: str, count: int, *, masks: bool) -> Images:
    described = registry.find(dataset)
    with mode.fake:
        pixels = torch.empty((count, described.channels, 256, 256), dtype=torch.uint8, device=CUDA)
        labels = torch.empty((count,), dtype=torch.int64, device=CUDA)
        found = torch.empty((count, 1, 256, 256), dtype=torch.uint8, device=CUDA)
    return Images(
        pixels=pixels,
        labels=labels,
        sizes=torch.randint(300, 700, (count, 2)),
        names=tuple(map(str, range(count))),
        size=224,
        masks=found if masks else None,
    )


@contextlib.contextmanager
def _phases(mode: Device) -> Iterator[None]:
    """Tell the device in which phase of a step it is; launches of the last step are kept.

    The first step of an epoch is a phase of its own: it builds what later steps keep.
    """
    first, fresh = True, [True]

    def within(phase: str, after: str | None, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            step = phase in STEP and first
            with mode.at("first" if step else phase):
                value = function(*args, **kwargs)
            mode.phase = ("first" if step else after) or mode.phase
            return value

        return call

    def cut_batch(*args: Any) -> Any:
        mode.seen.launches.clear()
        return cut(*args)

    def next_step(*args: Any) -> Any:
        nonlocal first
        first = fresh.pop() if fresh else False
        return within("data", "between", cut_batch)(*args)

    def after_epoch(*args: Any) -> Any:
        fresh.append(True)
        return means(*args)

    cut, step, means, looked = loop.cut_batch, backward.backward, loop._means, loop.look
    owners = ((loop, "cut_batch"), (backward, "backward"), (torch.Tensor, "backward"))
    owners += ((loop, "_means"), (loop, "look"))  # type: ignore[assignment]
    before = [(owner, name, getattr(owner, name)) for owner, name in owners]
    loop.cut_batch = next_step
    backward.backward = within("forward", "optimizer", step)
    torch.Tensor.backward = within("backward", None, torch.Tensor.backward)  # type: ignore[method-assign]
    loop._means = within("between", "between", after_epoch)
    loop.look = classification.look = segmentation.look = within("between", None, looked)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
        classification.look = segmentation.look = looked


def measure(kind: _stages.Kind) -> dict[str, Any]:
    """Train a kind of stage and return what the device has seen."""
    # Guided methods take steps of one kind, then of another.
    guided = hasattr(kind.stage.method, "random_epochs")
    stage = _stages.shortened(kind.stage, epochs=2 if guided else 1)
    count = 2 * stage.recipe.batch_size
    described = registry.find(kind.dataset)
    sizes = {**described.sizes, "train": max(count, 256)}
    mode = Device(HOUSE)
    with seed.third_party("fake", kind.name), device.Unset():
        task: Task = stage.method.build(replace(described, sizes=sizes), profiles.PAPER.backbones)
    with mode, AsBuilt():
        task = task.to(CUDA)
        tensors = [*task.named_parameters(), *task.named_buffers()]
        left = [name for name, tensor in tensors if tensor.device.type != "cuda"]
        mode.seen = device.Seen()
        train = _images(mode, kind.dataset, count, masks=task.needs_masks)
        tested = _images(mode, kind.dataset, 16, masks=task.segments)
        with _phases(mode):
            judged = evaluators.evaluator_for(task, tested, tested)
            loop.fit(
                loop.Job(
                    task=task,
                    recipe=stage.recipe,
                    train=train,
                    stream="fake",
                    checkpoints=Nowhere(),  # type: ignore[arg-type]
                    evaluator=judged,
                )
            )
            if task.has_features:
                classification.probes(task, tested, tested, classes=len(described.classes))
    by_phase = {phase: mode.seen.launches[phase] for phase in STEP}
    return {
        "launches": {phase: sum(counted.values()) for phase, counted in by_phase.items()},
        "operations": {phase: dict(counted.most_common(12)) for phase, counted in by_phase.items()},
        "left": left,
        "found": [[*key, times] for key, times in sorted(mode.seen.found.items())],
    }


def main(target: str, *names: str) -> int:
    """Measure the named kinds, or all; write JSON to a file."""
    device.believe()
    measured: dict[str, Any] = {}
    kinds = {kind.name: kind for kind in _stages.kinds()}
    plain: Any = kinds["supervised-resnet"]
    planted: Any = replace(plain.stage, method=PlantedMethod())
    kinds[PLANTED] = replace(plain, name=PLANTED, stage=planted)
    for kind in [kinds[name] for name in names or kinds]:
        try:
            measured[kind.name] = measure(kind)
        except Exception:  # noqa: BLE001 (the traceback is what the test shows)
            measured[kind.name] = {"error": traceback.format_exc()}
    Path(target).write_text(json.dumps(measured, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
