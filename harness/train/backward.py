"""The backward pass of a batch: at once, or accumulated over micro-batches.

Micro-batches give the gradient of the whole batch up to the order of floating-point sums: batch
size, learning rate and every random draw stay those of the whole. Crops and masks are drawn for
all images first (``Task.draw``), and so is stochastic depth, block by block. A task whose loss
couples the images of a batch cannot be split (``Task.needs_whole``).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from harness.train import shadow
from harness.train.figures import check_losses
from harness.train.shadow import Shadows
from harness.train.task import Batch, StepContext, Task

T = TypeVar("T")


class IndivisibleError(RuntimeError):
    """A stage whose batch cannot be split into micro-batches; the message says why."""


def obstacle(task: Task) -> str | None:
    """Return why a batch cannot be split, in words; None where its images are independent.

    The task must be in training mode: BatchNorm in eval mode (a frozen encoder) takes no
    statistics.
    """
    reasons = [task.needs_whole] if task.needs_whole else []
    modules = [module for module in task.modules() if module.training]
    if any(isinstance(module, _BatchNorm) for module in modules):
        reasons.append("BatchNorm takes its statistics over the batch")
    dropouts = [m for m in modules if isinstance(m, nn.modules.dropout._DropoutNd)]
    if any(dropout.p > 0 for dropout in dropouts):
        reasons.append("dropout is drawn for the batch at once")
    return "; ".join(reasons) or None


def check(task: Task, size: int, batch: int) -> None:
    """Refuse micro-batches of ``size`` images where they would change the result.

    Raises:
        IndivisibleError: a batch of ``batch`` images needs several micro-batches and cannot be
            split.
    """
    reason = obstacle(task.train())
    if size < batch and reason is not None:
        raise IndivisibleError(
            f"{type(task).__name__} needs its whole batch of {batch} at once ({reason});"
            " micro-batches would change the experiment. Leave --micro-batch out, or choose a"
            " smaller batch with --set recipe.batch_size=N, which is another experiment"
        )


def backward(
    task: Task,
    batch: Batch,
    at: StepContext,
    size: int | None,
    shadows: Shadows | None = None,
) -> dict[str, Tensor]:
    """Accumulate the gradient of a batch's "total" loss and return its losses, detached.

    Args:
        task: its losses must be means over independent images, unless ``size`` is None or at
            least B.
        batch: B images.
        at: epoch, step and generator.
        size: images per micro-batch; None for all at once.
        shadows: the copies of the weights that layers compute with; None for the weights.

    Returns:
        scalar losses by name, means over the whole batch.
    """
    count, device = len(batch.labels), batch.images.device
    whole = size is None or size >= count
    if batch.ahead is not None or not whole:
        batch = with_draws(task, batch, at)
    with shadow.used(shadows):
        if whole:
            with autocast(device):
                losses = task.losses(batch, at)
            check_losses(losses)
            losses["total"].backward()
            if shadows is not None:
                shadows.collect()
            return {name: value.detach() for name, value in losses.items()}
        assert size is not None
        sums: dict[str, Tensor] = {}
        with _Depth(count) as depth:
            for rows in cuts(count, size):
                # The loss over B images is sum_i (b_i / B) L_i, L_i the mean over the b_i images
                # of part i; its gradient is the same weighted sum, also for a smaller last part.
                share = (rows.stop - rows.start) / count
                with depth.part(rows), autocast(device):
                    losses = task.losses(part(batch, rows), at)
                check_losses(losses)
                (share * losses["total"]).backward()
                if shadows is not None:
                    shadows.collect()
                for name, value in losses.items():
                    weighted = share * value.detach()
                    sums[name] = sums[name] + weighted if name in sums else weighted
        return sums


def with_draws(task: Task, batch: Batch, at: StepContext) -> Batch:
    """Return a batch with what the task draws for it, unless that has been drawn.

    All random draws come first, for B images at once: the generator then yields the same numbers
    as for an undivided batch, whatever the size of the parts. Outside autocast: maps are cut in
    float32.
    """
    return batch if batch.drawn is not None else replace(batch, drawn=task.draw(batch, at))


def cuts(count: int, size: int) -> Iterator[slice]:
    """Yield slices of at most ``size`` rows that cover ``count`` rows in order."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def part(batch: Batch, rows: slice) -> Batch:
    """Return the given rows of every tensor of a batch."""
    return Batch(
        images=batch.images[:, rows],
        labels=batch.labels[rows],
        ids=batch.ids[rows],
        boxes=batch.boxes[:, rows],
        flips=batch.flips[:, rows],
        masks=None if batch.masks is None else batch.masks[:, rows],
        drawn=None if batch.drawn is None else batch.drawn[rows],
    )


class _Depth(TorchFunctionMode):
    """Intercept ``bernoulli_`` so that micro-batches share the stochastic depth of one batch.

    During the first part every call draws B rows, as for the undivided batch; later parts reuse
    their rows of the stored draws. A call is identified by its position within the forward pass.
    """

    def __init__(self, count: int) -> None:
        """Begin without draws, for a batch of ``count`` images."""
        super().__init__()
        self.count = count
        self.rows = slice(0, count)
        self.draws: list[Tensor] = []
        self.next = 0

    @contextmanager
    def part(self, rows: slice) -> Iterator[None]:
        """Give draws inside the block the rows of one part."""
        self.rows, self.next = rows, 0
        yield
        assert self.next == len(self.draws), "a part drew less than the one before it"

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is not torch.Tensor.bernoulli_:
            return func(*args, **dict(kwargs or {}))
        target: Tensor = args[0]  # (b, 1, ..., 1), filled in place
        assert len(target) == self.rows.stop - self.rows.start, "a draw that is not by image"
        if self.next == len(self.draws):
            assert self.rows.start == 0, "a part drew more than the one before it"
            whole = target.new_empty((self.count, *target.shape[1:]))
            self.draws.append(func(whole, *args[1:], **dict(kwargs or {})))
        self.next += 1
        return target.copy_(self.draws[self.next - 1][self.rows])


def within_memory(
    attempt: Callable[[int | None], T],
    *,
    size: int | None,
    batch: int,
    tell: Callable[[str], None],
) -> tuple[T, int | None]:
    """Call ``attempt`` with a micro-batch size that is halved whenever memory runs out.

    Args:
        attempt: trains with micro-batches of that many images (None: whole batches) and resumes
            from its last checkpoint when it is called again.
        size: the first size; None begins with whole batches.
        batch: images of a whole batch.
        tell: receives a message whenever memory ran out.

    Returns:
        the value of the successful call and its micro-batch size.

    Raises:
        IndivisibleError: memory ran out, and the batch cannot be split.
        torch.OutOfMemoryError: not even one image fits.
    """
    tried: int | None = None
    while True:
        try:
            return attempt(size), size
        except IndivisibleError as error:
            if tried is None:
                raise
            raise IndivisibleError(
                f"out of memory with {tried} images at once, and {error}"
            ) from error
        except torch.OutOfMemoryError:
            tried = min(size or batch, batch)
            if tried == 1:
                raise
        # Outside the handler: its traceback keeps the attempt's tensors alive.
        size = (tried + 1) // 2
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        tell(f"out of memory with {tried} images at once; continuing with {size}")


def autocast(device: torch.device) -> torch.autocast:
    """Return the autocast context of a step: bfloat16 on CUDA, float32 elsewhere."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
