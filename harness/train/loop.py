"""The training loop that every stage of every method uses, see ``fit``.

No step synchronises with the device: losses stay there until the epoch's end, where a value that
is not finite is reported with its step. Given the same key, machine and thread count, results on a
CPU are bit-identical, also where the process was killed and resumed after any epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from harness import seed
from harness.augment.view import Evaluation
from harness.interrupt import Stop
from harness.spec.recipe import Recipe
from harness.store.checkpoint import Checkpoints
from harness.store.result import Steps
from harness.train import ahead, backward, shadow, steps
from harness.train.ahead import Packed, packed
from harness.train.backward import autocast
from harness.train.images import (
    EVALUATION_BATCH,
    Draws,
    Images,
    cut_batch,
    draw,
    draw_batch,
    epoch_order,
)
from harness.train.optimizer import build_optimizer
from harness.train.steps import Eager, Step, captured
from harness.train.task import Batch, StepContext, Task, states


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
        steps: how the operations of a step reach the device, see ``harness.train.steps``; eager
            where that cannot be.
        tell: receives the line that says why steps are eager though something else was asked for.
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
    steps: Steps = "eager"
    tell: Callable[[str], None] = lambda line: None


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
    device = job.train.pixels.device
    how = steps.settled(job.steps, job.task, device, job.micro_batch, job.tell)
    optimizer = build_optimizer(job.task, job.recipe, capturable=how == "captured")
    history: list[dict[str, float]] = []
    state = job.checkpoints.load()
    if state is not None:
        history = _restore(job, optimizer, state)
    eager = Eager(job.task, job.recipe, optimizer, how=how, micro_batch=job.micro_batch)
    step = captured(eager, device, job.tell) if how == "captured" else eager
    with job.checkpoints.waiting(), job.stop.training():
        for epoch in range(len(history), job.recipe.epochs):
            with seed.third_party(job.stream, "epoch", epoch):
                job.task.before_epoch(epoch, lambda function: look(job.task, job.train, function))
                figures = _train_epoch(job, step, epoch)
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


def _train_epoch(job: Job, step: Step, epoch: int) -> dict[str, float]:
    """Train one epoch and return the mean of every loss over its steps."""
    task = job.task
    order = epoch_order(len(job.train), job.recipe, job.stream, epoch)
    logged: dict[str, list[Tensor]] = {}
    task.train()
    with closing(_drawn(job, order, epoch)) as drawn:
        for at, draws in drawn:
            losses = step(cut_batch(task, job.train, draws), at)
            task.after_step(at)
            for name, value in losses.items():
                logged.setdefault(name, []).append(value)
    return _means({name: torch.stack(values) for name, values in logged.items()}, epoch)


def _drawn(
    job: Job, order: Tensor, epoch: int
) -> Generator[tuple[StepContext, Draws | Packed], None, None]:
    """Yield the steps of an epoch with their draws.

    On a device the draws of the next step are made while the present one runs, where the task
    makes all of them in ``draw_ahead``.
    """
    task, device = job.task, job.train.pixels.device
    generator = seed.generator(job.stream, "step", epoch)
    says, helps = states(task, "draw_ahead"), ahead.helps(device)

    def of(step: int) -> tuple[StepContext, Draws | Packed]:
        at = StepContext(
            epoch=epoch,
            epochs=job.recipe.epochs,
            step=step,
            steps=len(order),
            generator=generator,
        )
        draws = draw(task, job.train, order[step], at, ahead=says, prepares=helps)
        return at, packed(draws, device)

    yield from ahead.each(of, len(order), ahead=says and helps)


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
    """Return the mean of each loss (steps,); one transfer waits for the device here."""
    figures = {"epoch": float(epoch)}
    lengths = [len(values) for values in losses.values()]
    together = torch.cat([values.double() for values in losses.values()]).cpu()
    for name, values in zip(losses, together.split(lengths), strict=True):
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
    training, device = task.training, images.pixels.device
    task.eval()
    outputs = []
    with torch.no_grad(), shadow.used(shadow.of(task, device)):  # weights are cast once
        for batch in images.evaluated(transform, batch_size, image_range=task.image_range):
            # Images are resized and normalised outside autocast, in float32.
            with autocast(device):
                outputs.append(function(batch))
    task.train(training)
    return torch.cat(outputs)
