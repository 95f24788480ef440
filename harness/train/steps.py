"""How the operations of a training step reach the device: one by one, compiled, or recorded.

"eager" launches every kernel by itself. "compiled" joins the kernels of repeated blocks
(``torch.compile``); sums are then taken in another order, so that numbers differ in their last
digits. "captured" records forward and backward pass, clipping and AdamW's update as one CUDA graph
and replays it: the same kernels, launched at once. "deterministic" is eager with kernels that add
up in one order, where a GPU has such ones. A training goes on exactly as it would have within one
setting; records say which it was. On a CPU eager steps are deterministic.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from harness.spec.recipe import Recipe
from harness.store.result import Steps
from harness.train import backward, graphs, shadow
from harness.train.graphs import CannotCapture, Recordings
from harness.train.optimizer import Rates, learning_rate, set_learning_rate
from harness.train.task import Batch, StepContext, Task

Tell = Callable[[str], None]


class Step(Protocol):
    """Trains a task on one batch, the optimiser's update included."""

    def __call__(self, batch: Batch, at: StepContext) -> Mapping[str, Tensor]:
        """Return the losses of the batch by name, scalars on the device."""
        ...


class Eager:
    """Launches every operation by itself."""

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        optimizer: torch.optim.Optimizer,
        *,
        how: Steps = "eager",
        micro_batch: int | None = None,
    ) -> None:
        """Keep what a step needs.

        Args:
            task: in training mode.
            recipe: schedule and clipping.
            optimizer: of the task's parameters.
            how: "compiled" where the task's repeated blocks are compiled.
            micro_batch: images per forward and backward pass; None for the whole batch.
        """
        self.task, self.recipe, self.optimizer = task, recipe, optimizer
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._micro_batch = micro_batch
        self._compiled = how == "compiled"
        device = self.parameters[0].device
        # A compiled block casts its weights in the kernels that it joins.
        self._shadows = None if self._compiled else shadow.of(task, device)

    def __call__(self, batch: Batch, at: StepContext) -> Mapping[str, Tensor]:
        """Train on one batch; see ``Step``."""
        # The rate follows the fractional epoch, step by step (released code,
        # adjust_learning_rate).
        set_learning_rate(self.optimizer, learning_rate(self.recipe, at.time))
        losses = self.gradients(batch, at)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return losses

    def gradients(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Set the gradients of all parameters, clipped where the recipe says so."""
        with compiled(self.task) if self._compiled else nullcontext():
            losses = backward.backward(self.task, batch, at, self._micro_batch, self._shadows)
        # Clipping comes after all micro-batches: it bounds the norm of the whole batch's gradient.
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        return losses


class Captured:
    """Replays steps that were recorded; those of a kind that cannot be recorded are eager."""

    def __init__(self, eager: Eager, recordings: Recordings, *, tell: Tell) -> None:
        """Record nothing yet.

        Args:
            eager: what is recorded; its parameters' gradients belong to the recordings.
            recordings: of this training.
            tell: receives the line that says why steps are eager.
        """
        self._eager, self._recordings, self._tell = eager, recordings, tell
        self._rates = Rates(eager.optimizer)
        self._gave_up = False

    def __call__(self, batch: Batch, at: StepContext) -> Mapping[str, Tensor]:
        """Train on one batch; see ``Step``."""
        rate = learning_rate(self._eager.recipe, at.time)
        if self._gave_up:
            return self._launched(batch, at)
        kind = self._eager.task.step_kind(at)
        if kind is None:
            self._give_up("the numbers in its operations change from step to step")
            return self._launched(batch, at)
        # What a step draws from its weights' maps is drawn before it, as for micro-batches.
        batch = backward.with_draws(self._eager.task, batch, at)
        self._rates.set(rate)

        def whole(static: Batch) -> Mapping[str, Tensor]:
            losses = self._eager.gradients(static, at)
            if self._rates.on_device:
                self._eager.optimizer.step()
            return losses

        try:
            losses = self._recordings.run(kind, batch, whole, self._eager.parameters)
        except CannotCapture as reason:
            self._give_up(str(reason))
            return self._launched(batch, at)
        if not self._rates.on_device:
            # The gradients stay: the next replay writes them anew.
            self._eager.optimizer.step()
        return losses

    def _launched(self, batch: Batch, at: StepContext) -> Mapping[str, Tensor]:
        """Train on one batch without a recording."""
        self._recordings.release(self._eager.parameters)
        self._rates.set(learning_rate(self._eager.recipe, at.time))
        losses = self._eager.gradients(batch, at)
        self._eager.optimizer.step()
        return losses

    def _give_up(self, reason: str) -> None:
        """Launch all further steps one by one."""
        self._tell(f"steps are not captured, but launched one by one: {reason}")
        self._gave_up = True
        self._recordings.clear(self._eager.parameters)


def captured(eager: Eager, device: torch.device, tell: Tell) -> Captured:
    """Return steps that are recorded on a CUDA device."""
    return Captured(eager, Recordings(graphs.on_device(device)), tell=tell)


def settled(
    asked: Steps, task: Task, device: torch.device, micro_batch: int | None, tell: Tell
) -> Steps:
    """Return how a training's steps run: as asked, or eager where that cannot be, which is told."""
    if asked == "deterministic":
        settle_kernels(device)
        return asked
    reason = obstacle(asked, task, device, micro_batch)
    if reason is not None:
        tell(f"steps are not {asked}, but launched one by one: {reason}")
        return "eager"
    return asked


def obstacle(steps: Steps, task: Task, device: torch.device, micro_batch: int | None) -> str | None:
    """Return why a training's steps can only be eager, in words; None where they need not be."""
    if steps in ("eager", "deterministic"):
        return None
    if micro_batch is not None:
        return "the batch is divided into micro-batches"
    if steps == "captured":
        if device.type != "cuda":
            return f"graphs are recorded on CUDA devices, and this is {device.type!r}"
        if not task.captures:
            return f"{type(task).__name__} does not say that its steps can be recorded (step_kind)"
        return None
    if not blocks_of(task):
        return f"{type(task).__name__} has no repeated blocks"
    return _no_compiler(device)


def settle_kernels(device: torch.device) -> None:
    """Let a GPU's libraries choose kernels that add up in one order; torch warns of the others.

    It is a state of the process, which the end of the stage puts back.
    """
    if device.type == "cuda":
        # cuBLAS reads it when it is used first.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False


def _no_compiler(device: torch.device) -> str | None:
    """Return why nothing can be compiled for a device; None where a small function can."""
    try:
        torch.compile(lambda x: x.sin() + 1, dynamic=False)(torch.zeros(2, device=device))
    except (RuntimeError, OSError, ImportError) as error:
        return f"torch.compile does not work here ({str(error).strip().partition(chr(10))[0]})"
    return None


def blocks_of(task: nn.Module) -> list[nn.Module]:
    """Return the repeated blocks of a task: members of a list or sequence with a twin in it.

    Of nested blocks only the outermost are returned. One compilation serves all of one shape.
    """
    found: list[nn.Module] = []
    inside: set[int] = set()
    for module in task.modules():  # an outer module comes before what it contains
        if id(module) in inside or not isinstance(module, (nn.ModuleList, nn.Sequential)):
            continue
        kinds = [type(child) for child in module]
        twins = [
            child
            for child in module
            if kinds.count(type(child)) > 1 and any(True for _ in child.children())
        ]
        for child in twins:
            inside.update(id(part) for part in child.modules())
        found += twins
    return found


@contextmanager
def compiled(task: Task) -> Iterator[None]:
    """Compile the repeated blocks of a task within the block; code is kept by torch between calls.

    Random numbers come from torch's own generator, as in eager steps.
    """
    blocks = blocks_of(task)
    with (
        torch._inductor.config.patch(fallback_random=True),
        # One entry for every shape: classes of blocks share one cache.
        torch._dynamo.config.patch(recompile_limit=64),
    ):
        for block in blocks:
            block.compile(dynamic=False)
        try:
            yield
        finally:
            for block in blocks:
                block._compiled_call_impl = None
