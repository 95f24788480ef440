"""The backward pass of a batch: at once, or in parts that give the same gradient.

In parts, the batch, its learning rate and every draw stay those of the whole: crops and masks are
drawn for all images first (``Task.draw``), and so is stochastic depth, block by block. Only the
order of sums differs. A task whose images see each other cannot be cut (``Task.needs_whole``).
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

from harness.train.task import Batch, StepContext, Task

T = TypeVar("T")


class IndivisibleError(RuntimeError):
    """Report that a stage cannot be trained in parts of its batch, and why."""


def obstacle(task: Task) -> str | None:
    """Return what ties the images of a batch together, in words; None where nothing does.

    The task must be in training mode: BatchNorm in eval mode (a frozen encoder) takes no
    statistics.
    """
    found = [task.needs_whole] if task.needs_whole else []
    parts = [part for part in task.modules() if part.training]
    if any(isinstance(part, _BatchNorm) for part in parts):
        found.append("BatchNorm takes its statistics over the batch")
    if any(isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0 for part in parts):
        found.append("dropout is drawn for the batch at once")
    return "; ".join(found) or None


def check(task: Task, size: int, batch: int) -> None:
    """Refuse parts of ``size`` images where they would change the experiment.

    Raises:
        IndivisibleError: a batch of ``batch`` images is more than one part and cannot be cut.
    """
    reason = obstacle(task.train())
    if size < batch and reason is not None:
        raise IndivisibleError(
            f"{type(task).__name__} needs its whole batch of {batch} at once ({reason});"
            " micro-batches would change the experiment. Leave --micro-batch out, or choose a"
            " smaller batch with --set recipe.batch_size=N, which is another experiment"
        )


def backward(task: Task, batch: Batch, at: StepContext, size: int | None) -> dict[str, Tensor]:
    """Add the gradient of a batch's "total" and return its losses, without gradient.

    Args:
        task: losses are means over images that see nothing of each other, unless ``size`` is
            None or no less than the batch.
        batch: B images.
        at: where training stands.
        size: images at once; None for all.
    """
    count, device = len(batch.labels), batch.images.device
    if size is None or size >= count:
        with autocast(device):
            losses = task.losses(batch, at)
        losses["total"].backward()
        return {name: value.detach() for name, value in losses.items()}
    with autocast(device):
        drawn = task.draw(batch, at)
    sums: dict[str, Tensor] = {}
    with _Depth(count) as depth:
        for rows in cuts(count, size):
            share = (rows.stop - rows.start) / count
            with depth.part(rows), autocast(device):
                losses = task.losses(part(replace(batch, drawn=drawn), rows), at)
            (share * losses["total"]).backward()
            for name, value in losses.items():
                weighted = share * value.detach()
                sums[name] = sums[name] + weighted if name in sums else weighted
    return sums


def cuts(count: int, size: int) -> Iterator[slice]:
    """Yield the rows of each part of at most ``size``."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def part(batch: Batch, rows: slice) -> Batch:
    """Return some images of a batch with all that belongs to them."""
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
    """Draw stochastic depth as for the whole batch.

    The first part makes every draw with B rows, in the order of the whole batch; later parts take
    their rows of it.
    """

    def __init__(self, count: int) -> None:
        """Expect parts of a batch of ``count`` images."""
        super().__init__()
        self.count = count
        self.rows = slice(0, count)
        self.draws: list[Tensor] = []
        self.next = 0

    @contextmanager
    def part(self, rows: slice) -> Iterator[None]:
        """Serve the rows of one part for the block."""
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
        mine: Tensor = args[0]
        assert len(mine) == self.rows.stop - self.rows.start, "a draw that is not by image"
        if self.next == len(self.draws):
            assert self.rows.start == 0, "a part drew more than the one before it"
            whole = mine.new_empty((self.count, *mine.shape[1:]))
            self.draws.append(func(whole, *args[1:], **dict(kwargs or {})))
        self.next += 1
        return mine.copy_(self.draws[self.next - 1][self.rows])


def within_memory(
    attempt: Callable[[int | None], T],
    *,
    size: int | None,
    batch: int,
    tell: Callable[[str], None],
) -> tuple[T, int | None]:
    """Call with the parts' size, halved as long as the device's memory does not hold one.

    Args:
        attempt: trains with parts of that many images (None: all); goes on where it was left.
        size: the first size; None begins with whole batches.
        batch: images of a whole batch.
        tell: takes a line whenever memory ran out.

    Returns:
        what the attempt returned, and the size that it had.

    Raises:
        IndivisibleError: memory ran out, and the batch cannot be cut.
        torch.OutOfMemoryError: not even one image fits.
    """
    now: int | None = None
    while True:
        try:
            return attempt(size), size
        except IndivisibleError as error:
            if now is None:
                raise
            raise IndivisibleError(
                f"out of memory with {now} images at once, and {error}"
            ) from error
        except torch.OutOfMemoryError:
            now = min(size or batch, batch)
            if now == 1:
                raise
        # Outside the handler: its traceback keeps the attempt's tensors alive.
        size = (now + 1) // 2
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        tell(f"out of memory with {now} images at once; going on with {size}")


def autocast(device: torch.device) -> torch.autocast:
    """Return the precision of a step: bfloat16 where there is CUDA, float32 elsewhere."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
