"""The one training loop: every stage of every method goes through ``fit``.

Nothing in a step waits for the device: losses stay there until the epoch's end, where a value
that is not finite is reported with its step. Given the same key, machine and thread count, the
result on a CPU is the same to the bit, also after a kill and a resume at any epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from harness import seed
from harness.augment.view import Evaluation
from harness.interrupt import Stop
from harness.spec.recipe import Recipe
from harness.store.checkpoint import Checkpoints
from harness.train import backward
from harness.train.backward import autocast
from harness.train.images import EVALUATION_BATCH, Images, draw_batch, epoch_order
from harness.train.optimizer import build_optimizer, learning_rate, set_learning_rate
from harness.train.task import StepContext, Task


class DivergedError(RuntimeError):
    """Report that a loss is not finite, with epoch and step; lower the learning rate or clip."""


class EpochCallback(Protocol):
    """Follow a training from outside, for progress on a terminal or in a log."""

    def __call__(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        """Take the figures of a finished epoch (0-based)."""
        ...


class EpochEvaluator(Protocol):
    """Evaluate a task after every epoch; see ``harness.evaluate.evaluator.Evaluator``."""

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Return what to add to the figures of a finished epoch (0-based)."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what must survive a kill beside the model, as plain values and tensors."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that ``state_dict`` returned."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that ``fit`` needs.

    Attributes:
        stream: the name that all randomness is derived from, see ``harness.streams``.
        evaluator: asked after every epoch for what to add to the epoch's figures; its state is
            part of the checkpoint.
        micro_batch: images whose gradient is taken at once, see ``harness.train.backward``; None
            for all.
        stop: asked after every epoch, whose state is written in any case if it says so.
    """

    task: Task
    recipe: Recipe
    train: Images
    stream: str
    checkpoints: Checkpoints
    evaluator: EpochEvaluator | None = None
    watch: EpochCallback | None = None
    micro_batch: int | None = None
    stop: Stop = field(default_factory=Stop)


def fit(job: Job) -> list[dict[str, float]]:
    """Train a task to its recipe's last epoch and return the figures of every epoch.

    Goes on from the checkpoint where there is one.

    Raises:
        DivergedError: a loss was not finite.
        Stopped: ``stop`` has had a signal.
        IndivisibleError: a batch that cannot be cut shall be.
        UserError: the recipe and the data do not fit, or a checkpoint cannot be read.
    """
    if job.micro_batch is not None:
        backward.check(job.task, job.micro_batch, job.recipe.batch_size)
    optimizer = build_optimizer(job.task, job.recipe)
    history: list[dict[str, float]] = []
    state = job.checkpoints.load()
    if state is not None:
        job.task.load_state_dict(state["task"])
        optimizer.load_state_dict(state["optimizer"])
        history = state["history"]
        if job.evaluator is not None:
            job.evaluator.load_state_dict(state["evaluator"])
    with job.stop.training():
        for epoch in range(len(history), job.recipe.epochs):
            with seed.third_party(job.stream, "epoch", epoch):
                job.task.before_epoch(epoch, lambda function: look(job.task, job.train, function))
                figures = _train_epoch(job, optimizer, epoch)
            if job.evaluator is not None:
                figures.update(job.evaluator.after_epoch(epoch))
            history.append(figures)
            if job.watch is not None:
                job.watch(epoch, job.recipe.epochs, figures)
            state = {
                "task": job.task.state_dict(),
                "optimizer": optimizer.state_dict(),
                "history": history,
                "evaluator": None if job.evaluator is None else job.evaluator.state_dict(),
            }
            job.checkpoints.save(state, always=job.stop.asked)
            job.stop.now()
    return history


def _train_epoch(job: Job, optimizer: torch.optim.Optimizer, epoch: int) -> dict[str, float]:
    task, recipe = job.task, job.recipe
    order = epoch_order(len(job.train), recipe, job.stream, epoch)
    generator = seed.generator(job.stream, "step", epoch)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    logged: dict[str, list[Tensor]] = {}
    task.train()
    for step, rows in enumerate(order):
        at = StepContext(
            epoch=epoch, epochs=recipe.epochs, step=step, steps=len(order), generator=generator
        )
        batch = draw_batch(task, job.train, rows, at)
        set_learning_rate(optimizer, learning_rate(recipe, at.time))
        losses = backward.backward(task, batch, at, job.micro_batch)
        if recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        task.after_step(at)
        for name, value in losses.items():
            logged.setdefault(name, []).append(value)
    return _means({name: torch.stack(values) for name, values in logged.items()}, epoch)


def _means(losses: dict[str, Tensor], epoch: int) -> dict[str, float]:
    figures = {"epoch": float(epoch)}
    for name, values in losses.items():
        values = values.double().cpu()
        wrong = (~torch.isfinite(values)).nonzero()
        if len(wrong):
            step = int(wrong[0])
            raise DivergedError(
                f"loss {name!r} is {float(values[step])} at epoch {epoch}, step {step} of"
                f" {len(values)}; lower recipe.base_lr or set recipe.clip_norm"
            )
        figures[f"loss/{name}"] = float(values.mean())
    return figures


def look(
    task: Task,
    images: Images,
    function: Callable[[Tensor], Tensor],
    transform: Evaluation = "stretch",
    *,
    batch_size: int = EVALUATION_BATCH,
) -> Tensor:
    """Apply a function to all images, unaugmented and in order, in eval mode without gradient.

    Args:
        task: is put in eval mode meanwhile.
        images: N of them.
        function: from images (B, 3, H, W) to (B, ...).
        transform: how they are prepared; maps need the whole image, evaluations what the task says.
        batch_size: B.
    """
    training = task.training
    task.eval()
    with torch.no_grad(), autocast(images.pixels.device):
        outputs = [function(batch) for batch in images.evaluated(transform, batch_size)]
    task.train(training)
    return torch.cat(outputs)
