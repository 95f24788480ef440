"""The training loop that every stage of every method uses, see ``fit``.

No step synchronises with the device: losses stay there until the epoch's end, where a value that
is not finite is reported with its step. Given the same key, machine and thread count, results on a
CPU are bit-identical, also where the process was killed and resumed after any epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
from harness.train.task import Batch, StepContext, Task


class DivergedError(RuntimeError):
    """A loss that is not finite; the message names epoch, step and what to change."""


class StateError(RuntimeError):
    """A checkpoint does not fit the task that should continue from it."""


class EpochCallback(Protocol):
    """A function called after every epoch, for progress on a terminal or in a log."""

    def __call__(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        """Receive the figures of a finished epoch (0-based) of ``epochs``."""
        ...


class EpochEvaluator(Protocol):
    """What evaluates a task after epochs; see ``harness.evaluate.evaluator.Evaluator``."""

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Return what to add to the figures of a finished epoch (0-based)."""
        ...

    def left_out(self) -> None:
        """Be told that an epoch was finished and is not evaluated."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state to checkpoint beside the model, as plain values and tensors."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that ``state_dict`` returned."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """The arguments of ``fit``.

    Attributes:
        task: the model and loss, on the device of ``train``.
        recipe: epochs, batch size, optimiser and schedule.
        train: the training images.
        stream: the name that all random numbers are derived from, see ``harness.streams``.
        checkpoints: reads and writes the state after an epoch.
        evaluator: runs after epochs and adds to their figures; its state is part of the
            checkpoint.
        evaluate_every: epochs from one evaluation to the next; the last one is always evaluated.
        watch: called after every epoch, for progress.
        micro_batch: images per forward and backward pass, see ``harness.train.backward``; None
            for the whole batch.
        stop: checked after every epoch; after a signal the state is written and training ends.
    """

    task: Task
    recipe: Recipe
    train: Images
    stream: str
    checkpoints: Checkpoints
    evaluator: EpochEvaluator | None = None
    evaluate_every: int = 1
    watch: EpochCallback | None = None
    micro_batch: int | None = None
    stop: Stop = field(default_factory=Stop)


def fit(job: Job) -> list[dict[str, float]]:
    """Train a task to its recipe's last epoch and return the figures of every epoch.

    Resumes from the checkpoint where there is one.

    Raises:
        DivergedError: a loss was not finite.
        Stopped: ``stop`` has received a signal.
        IndivisibleError: ``micro_batch`` is set, and the batch cannot be split.
        StateError: the checkpoint is of a task with another structure.
        UserError: the recipe and the data do not fit, or the disk failed.
        ClaimLost: another process has taken the stage over.
    """
    if job.micro_batch is not None:
        backward.check(job.task, job.micro_batch, job.recipe.batch_size)
    optimizer = build_optimizer(job.task, job.recipe)
    history: list[dict[str, float]] = []
    state = job.checkpoints.load()
    if state is not None:
        history = _restore(job, optimizer, state)
    with job.checkpoints.waiting(), job.stop.training():
        for epoch in range(len(history), job.recipe.epochs):
            with seed.third_party(job.stream, "epoch", epoch):
                job.task.before_epoch(epoch, lambda function: look(job.task, job.train, function))
                figures = _train_epoch(job, optimizer, epoch)
            figures.update(_measured(job, epoch))
            figures.update(_evaluated(job, epoch))
            history.append(figures)
            if job.watch is not None:
                job.watch(epoch, job.recipe.epochs, figures)
            if job.stop.asked or job.checkpoints.due():
                state = {
                    "task": job.task.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "history": history,
                    "evaluator": None if job.evaluator is None else job.evaluator.state_dict(),
                }
                job.checkpoints.save(state, always=job.stop.asked)
            job.stop.now()
    return history


def _evaluated(job: Job, epoch: int) -> dict[str, float]:
    """Return the evaluation of an epoch that is due for one: each n-th, and always the last."""
    if job.evaluator is None:
        return {}
    finished = epoch + 1
    if finished % job.evaluate_every == 0 or finished == job.recipe.epochs:
        return job.evaluator.after_epoch(epoch)
    job.evaluator.left_out()
    return {}


def _restore(
    job: Job, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> list[dict[str, float]]:
    """Give a task, its optimizer and its evaluator their state; return the history.

    Raises:
        StateError: they have another structure than when the state was written.
    """
    try:
        job.task.load_state_dict(state["task"])
        optimizer.load_state_dict(state["optimizer"])
        if job.evaluator is not None:
            job.evaluator.load_state_dict(state["evaluator"])
        return list(state["history"])
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        if any(words in str(error) for words in ("CUDA", "memory")):
            raise  # of the device, not of the state
        raise StateError(str(error).strip().partition("\n")[0]) from error


def _train_epoch(job: Job, optimizer: torch.optim.Optimizer, epoch: int) -> dict[str, float]:
    """Train one epoch and return the mean of every loss over its steps."""
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
        # The rate follows the fractional epoch, step by step (released code, adjust_learning_rate).
        set_learning_rate(optimizer, learning_rate(recipe, at.time))
        losses = backward.backward(task, batch, at, job.micro_batch)
        # Clipping comes after all micro-batches: it bounds the norm of the whole batch's gradient.
        if recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        task.after_step(at)
        for name, value in losses.items():
            logged.setdefault(name, []).append(value)
    return _means({name: torch.stack(values) for name, values in logged.items()}, epoch)


def _measured(job: Job, epoch: int) -> dict[str, float]:
    """Return the task's own measurements of a finished epoch, drawn from streams of their own."""

    def augmented() -> Iterator[tuple[Batch, StepContext]]:
        batches = torch.arange(len(job.train)).split(EVALUATION_BATCH)
        generator = seed.generator(job.stream, "measured", epoch)
        for step, rows in enumerate(batches):
            at = StepContext(
                epoch=epoch,
                epochs=job.recipe.epochs,
                step=step,
                steps=len(batches),
                generator=generator,
            )
            yield draw_batch(job.task, job.train, rows, at), at

    with torch.no_grad(), seed.third_party(job.stream, "measured", epoch):
        return job.task.after_epoch(
            epoch, lambda function: look(job.task, job.train, function), augmented
        )


def _means(losses: dict[str, Tensor], epoch: int) -> dict[str, float]:
    """Return the mean of each loss (steps,); one transfer per loss waits for the device here."""
    figures = {"epoch": float(epoch)}
    for name, values in losses.items():
        values = values.double().cpu()
        not_finite = (~torch.isfinite(values)).nonzero()
        if len(not_finite):
            step = int(not_finite[0])
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
        task: switched to eval mode for the call.
        images: N images.
        function: from images (B, 3, H, W), in the task's range, to (B, ...).
        transform: whole images ("stretch", needed for maps) or a central crop; evaluations pass
            ``Task.evaluation``.
        batch_size: B.

    Returns:
        the outputs (N, ...) on the device of the images.
    """
    training = task.training
    task.eval()
    with torch.no_grad(), autocast(images.pixels.device):
        batches = images.evaluated(transform, batch_size, image_range=task.image_range)
        outputs = [function(batch) for batch in batches]
    task.train(training)
    return torch.cat(outputs)
