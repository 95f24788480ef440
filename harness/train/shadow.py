"""Copies of the weights in the type of autocast, made once a step by one operation.

Autocast casts the weight and the bias of every layer one by one, and casts every gradient back one
by one: a third of a step's kernels. Here all of them are cast together at the beginning of a step,
layers compute with the copies, and the gradients of the copies are cast back together. The
arithmetic is autocast's: the same casts, and gradients that add up where they add up there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.train.task import Task, states

PLAIN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers that autocast computes in its own type. What else casts weights keeps autocast's way."""

WEIGHTS = "_copied_weights"
"""Name in a layer's own dictionary of the function that returns its copies."""


@dataclass(eq=False)
class _Copy:
    """A parameter and its copy; ``version`` tells whether the parameter has changed since."""

    source: nn.Parameter
    copy: Tensor
    version: int = -1

    @property
    def stale(self) -> bool:
        """Whether the parameter has changed since it was cast."""
        return self.version != self.source._version

    def mark(self) -> None:
        """Note that it is cast."""
        self.version = self.source._version

    def take(self) -> Tensor | None:
        """Return the copy's gradient and forget it."""
        gradient, self.copy.grad = self.copy.grad, None
        return gradient

    def give(self, gradient: Tensor) -> Tensor | None:
        """Set the parameter's gradient where it has none; return the one that it has."""
        if self.source.grad is None:
            self.source.grad = gradient
            return None
        return self.source.grad


class Shadows:
    """The copies of a task's weights, and its layers computing with them."""

    def __init__(self, task: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        """Find the layers.

        Args:
            task: its layers are changed within ``used`` only.
            device: of the task.
            dtype: of autocast within the block.
        """
        self._kind, self._dtype = device.type, dtype
        self._copies: dict[int, _Copy] = {}
        # By layer: its own dictionary, the name of the method, and what takes its place.
        self._layers: list[tuple[dict[str, Any], str, Callable[..., Tensor]]] = []
        for module in task.modules():
            weights = _weights(module) if isinstance(module, PLAIN) else []
            if weights and all(_is_castable(p) for p in weights):
                name, forward = self._forward_of(module)
                if name:
                    self._layers.append((vars(module), name, forward))
                    self._layers.append((vars(module), WEIGHTS, self._weights_of(module)))

    @contextmanager
    def used(self) -> Iterator[None]:
        """Cast the weights; within the block layers under autocast compute with the copies.

        Parameters, their names and state dicts stay as they are.
        """
        for pair in self._copies.values():
            pair.copy.requires_grad_(pair.source.requires_grad)
        # What is trained has changed since the last step, also where no version tells it.
        self._cast([c for c in self._copies.values() if c.stale or c.source.requires_grad])
        for own, name, forward in self._layers:
            own[name] = forward
        try:
            yield
        finally:
            for own, name, _ in self._layers:
                del own[name]
            for pair in self._copies.values():
                pair.take()  # of a backward pass that failed

    @torch.no_grad()
    def collect(self) -> None:
        """Add the gradients of the copies to those of the parameters, after a backward pass."""
        casts: list[Tensor] = []
        gradients: list[Tensor] = []
        there: list[Tensor] = []
        added: list[Tensor] = []
        for pair in self._copies.values():
            gradient = pair.take()
            if gradient is None:
                continue
            casts.append(torch.empty_like(gradient, dtype=pair.source.dtype))
            gradients.append(gradient)
            # One is there after other micro-batches, or where a weight is used outside its layer.
            before = pair.give(casts[-1])
            if before is not None:
                there.append(before)
                added.append(casts[-1])
        if casts:
            torch._foreach_copy_(casts, gradients)
        if there:
            torch._foreach_add_(there, added)

    @torch.no_grad()
    def _cast(self, pairs: list[_Copy]) -> None:
        if pairs:
            torch._foreach_copy_([p.copy for p in pairs], [p.source for p in pairs])
        for pair in pairs:
            pair.mark()

    def _of(self, parameter: nn.Parameter) -> _Copy:
        """Return the copy of a parameter; layers that share it share the copy, too."""
        if id(parameter) not in self._copies:
            copy = torch.empty_like(parameter, dtype=self._dtype, requires_grad=False)
            self._copies[id(parameter)] = _Copy(parameter, copy)
        return self._copies[id(parameter)]

    def _pairs(self, module: nn.Module) -> tuple[_Copy, _Copy | None, Callable[[], bool]]:
        """Return a layer's weight and bias with their copies, and whether to use them now."""
        own = module._parameters
        pairs = [self._of(p) for p in _weights(module)]
        weight = pairs[0]
        bias = pairs[1] if len(pairs) > 1 else None

        def ready() -> bool:
            """Whether the copies are what autocast would cast now."""
            if (
                not torch.is_autocast_enabled(self._kind)
                or torch.get_autocast_dtype(self._kind) != self._dtype
                or own["weight"] is not weight.source
                or (bias is not None and own["bias"] is not bias.source)
            ):
                return False
            if weight.stale or (bias is not None and bias.stale):
                # Changed within the step, such as a momentum encoder: all of them, at once.
                self._cast([pair for pair in self._copies.values() if pair.stale])
            return True

        return weight, bias, ready

    def _weights_of(self, module: nn.Module) -> Callable[..., Any]:
        """Return what ``weights_of`` asks a layer for."""
        weight, bias, ready = self._pairs(module)

        def weights() -> tuple[Tensor, Tensor | None]:
            if not ready():
                return weight.source, None if bias is None else bias.source
            return weight.copy, None if bias is None else bias.copy

        return weights

    def _forward_of(self, module: nn.Module) -> tuple[str, Callable[..., Tensor]]:
        """Return the name of the method that computes a layer, "" for none, and its replacement."""
        weight, bias, ready = self._pairs(module)
        if isinstance(module, nn.Linear):
            if type(module).forward is not nn.Linear.forward:
                return "", nn.Linear.forward

            def linear(images: Tensor) -> Tensor:
                if not ready():
                    return nn.Linear.forward(module, images)
                return nn.functional.linear(images, weight.copy, bias.copy if bias else None)

            return "forward", linear
        layer: Any = type(module)
        plain: Callable[..., Tensor] = layer._conv_forward

        def convolve(images: Tensor, given: Tensor, added: Tensor | None) -> Tensor:
            # A subclass may hand over weights that it has computed; autocast casts those.
            mine = given is weight.source and added is (bias.source if bias else None)
            if not (mine and ready()):
                return plain(module, images, given, added)
            return plain(module, images, weight.copy, bias.copy if bias else None)

        return "_conv_forward", convolve


def weights_of(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return a layer's weight and bias, or their copies where it computes with those.

    For code that computes with a layer's weights without calling it.
    """
    copies = vars(layer).get(WEIGHTS)
    own = layer._parameters
    found: Any = copies() if copies else (own["weight"], own.get("bias"))
    weight, bias = found
    return weight, bias


def of(task: Task, device: torch.device) -> Shadows | None:
    """Return the copies for a step on a device; None where autocast is off or left to itself."""
    if device.type != "cuda" or not states(task, "cast_once"):
        return None
    return Shadows(task, device, torch.bfloat16)


def used(shadows: Shadows | None) -> AbstractContextManager[None]:
    """Return the block within which layers compute with the copies, if there are any."""
    return nullcontext() if shadows is None else shadows.used()


def _weights(module: nn.Module) -> list[nn.Parameter]:
    """Return a layer's weight and, where it has one, its bias; none where a weight is computed."""
    given = [module._parameters.get(name) for name in ("weight", "bias")]
    return [p for p in given if p is not None] if given[0] is not None else []


def _is_castable(parameter: nn.Parameter) -> bool:
    """Whether autocast casts a parameter and nobody waits for its gradient."""
    waiting = parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None)
    return parameter.dtype == torch.float32 and not waiting
