"""Steps recorded as CUDA graphs, and replayed on new values in the same tensors.

The first steps of a kind run by themselves, on a stream of their own: libraries choose their
kernels and allocate then. The next one is recorded, which computes nothing, and replayed. Every
step is thus computed once, recorded or not.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from harness.train.task import Batch

WARM_UP = 3
"""Steps of a kind that run by themselves before one is recorded."""

MOST = 4
"""Recordings of one training; each keeps the activations of a step."""

Step = Callable[[Batch], Mapping[str, Tensor]]


class CannotCapture(RuntimeError):
    """A step cannot be recorded; the message says why."""


class Graph(Protocol):
    """A recording of operations on a device."""

    def warm(self, function: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Run a function as it will be recorded, and return what it returns."""
        ...

    def record(self, function: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Record a function without computing; the returned tensors are filled by ``replay``."""
        ...

    def replay(self) -> None:
        """Compute what was recorded."""
        ...


class CudaGraph:
    """A CUDA graph; all of one training share one pool of memory."""

    def __init__(self, device: torch.device, pool: Any) -> None:
        """Record nothing yet."""
        self._graph = torch.cuda.CUDAGraph()
        self._pool = pool
        self._stream = torch.cuda.Stream(device)

    def warm(self, function: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Run a function on a stream of its own; see ``Graph``."""
        present = torch.cuda.current_stream()
        self._stream.wait_stream(present)
        with torch.cuda.stream(self._stream):
            returned = function()
        present.wait_stream(self._stream)
        return returned

    def record(self, function: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Record a function; see ``Graph``."""
        # "thread_local": another thread allocates the next step's draws meanwhile.
        with torch.cuda.graph(
            self._graph,
            pool=self._pool,
            stream=self._stream,
            capture_error_mode="thread_local",
        ):
            return function()

    def replay(self) -> None:
        """Compute what was recorded."""
        self._graph.replay()


@dataclass
class _Recording:
    graph: Graph
    inputs: list[Tensor]
    losses: Mapping[str, Tensor]
    gradients: list[Tensor | None]


class Recordings:
    """The recorded steps of one training, by kind."""

    def __init__(self, new: Callable[[], Graph]) -> None:
        """Begin without any.

        Args:
            new: makes an empty recording, such as ``on_device``.
        """
        self._new = new
        self._warmed: Counter[Hashable] = Counter()
        self._graphs: dict[Hashable, Graph] = {}
        self._recorded: dict[Hashable, _Recording] = {}
        self._active: _Recording | None = None

    def run(
        self, kind: Hashable, batch: Batch, step: Step, parameters: Sequence[Tensor]
    ) -> Mapping[str, Tensor]:
        """Run a step of a kind: by itself, or recorded.

        Args:
            kind: equal for steps that are the same operations, see ``Task.step_kind``.
            batch: of this step; what is not a tensor in it is a part of the kind.
            step: is called with a batch of other tensors of the same shapes when it is recorded.
            parameters: whose gradients the step sets.

        Returns:
            the losses, in tensors that later steps do not change.

        Raises:
            CannotCapture: recording failed, or the steps are of too many kinds.
        """
        parts, rest = taken_apart(batch)
        whole_kind = (kind, rest, tuple((p.shape, p.dtype) for p in parts))
        recorded = self._recorded.get(whole_kind)
        if recorded is None:
            if len(self._graphs) >= MOST and whole_kind not in self._graphs:
                raise CannotCapture(f"the steps are of more than {MOST} kinds")
            graph = self._graphs.setdefault(whole_kind, self._new())
            if self._warmed[whole_kind] < WARM_UP:
                self._warmed[whole_kind] += 1
                self.release(parameters)
                return graph.warm(lambda: step(batch))
            recorded = self._record(graph, batch, parts, step, parameters)
            self._recorded[whole_kind] = recorded
        for held, part in zip(recorded.inputs, parts, strict=True):
            held.copy_(part, non_blocking=True)
        if self._active is not recorded:
            for parameter, gradient in zip(parameters, recorded.gradients, strict=True):
                parameter.grad = gradient
            self._active = recorded
        recorded.graph.replay()
        # The next replay writes into the same tensors.
        together = torch.stack(list(recorded.losses.values()))
        return dict(zip(recorded.losses, together.unbind(), strict=True))

    def _record(
        self,
        graph: Graph,
        batch: Batch,
        parts: Sequence[Tensor],
        step: Step,
        parameters: Sequence[Tensor],
    ) -> _Recording:
        """Record a step; nothing is computed.

        Raises:
            CannotCapture: it failed.
        """
        self.release(parameters)  # so that the recording allocates gradients of its own
        inputs = [part.clone() for part in parts]
        try:
            losses = graph.record(lambda: step(put_together(batch, inputs)))
        except RuntimeError as error:
            raise CannotCapture(str(error).strip().partition("\n")[0]) from error
        gradients = [parameter.grad for parameter in parameters]
        return _Recording(graph=graph, inputs=inputs, losses=losses, gradients=gradients)

    def release(self, parameters: Sequence[Tensor]) -> None:
        """Take all gradients from the parameters, before a step that is not replayed."""
        for parameter in parameters:
            parameter.grad = None
        self._active = None

    def clear(self, parameters: Sequence[Tensor]) -> None:
        """Forget all recordings and free their memory."""
        self.release(parameters)
        self._recorded.clear()
        self._graphs.clear()


def on_device(device: torch.device) -> Callable[[], Graph]:
    """Return what makes the CUDA graphs of one training."""
    pool = torch.cuda.graph_pool_handle()
    return lambda: CudaGraph(device, pool)


def taken_apart(value: Any) -> tuple[list[Tensor], Hashable]:
    """Return the tensors of a tree, in order, and what is left of it, comparable."""
    if isinstance(value, Tensor):
        return [value], Tensor
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return _joined(type(value), [(name, getattr(value, name)) for name in names])
    if isinstance(value, Mapping):
        return _joined(dict, list(value.items()))
    if isinstance(value, (tuple, list)):
        return _joined(type(value), list(enumerate(value)))
    return [], value


def _joined(kind: type, named: Sequence[tuple[Hashable, Any]]) -> tuple[list[Tensor], Hashable]:
    tensors: list[Tensor] = []
    rests: list[Hashable] = []
    for name, part in named:
        inner, rest = taken_apart(part)
        tensors += inner
        rests.append((name, rest))
    return tensors, (kind, tuple(rests))


def put_together(value: Any, tensors: Sequence[Tensor]) -> Any:
    """Return a tree with other tensors in the places of its own, in the order of ``taken_apart``.

    ``put_together(tree, taken_apart(tree)[0])`` is an equal tree.
    """
    left = iter(tensors)

    def build(part: Any) -> Any:
        if isinstance(part, Tensor):
            return next(left)
        if dataclasses.is_dataclass(part) and not isinstance(part, type):
            names = [field.name for field in dataclasses.fields(part)]
            return dataclasses.replace(part, **{n: build(getattr(part, n)) for n in names})
        if isinstance(part, Mapping):
            return {name: build(item) for name, item in part.items()}
        if isinstance(part, (tuple, list)):
            return type(part)(build(item) for item in part)
        return part

    return build(value)
