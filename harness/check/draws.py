"""Notice draws from torch's global generator in a user's code."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from harness.check.finding import is_users

DRAWING = (
    "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal",
    "bernoulli", "multinomial", "poisson", "bernoulli_", "normal_", "uniform_", "random_",
    "exponential_", "geometric_", "cauchy_", "log_normal_",
)  # fmt: skip
"""Functions and methods of torch that draw, by name."""


SEEDING: tuple[tuple[Any, str], ...] = (
    (torch, "manual_seed"),
    (torch, "seed"),
    (torch.random, "manual_seed"),
    (torch.cuda, "manual_seed"),
    (torch.cuda, "manual_seed_all"),
    (random, "seed"),
    (np.random, "seed"),
)
"""Functions that set a global generator."""


class Seeding:
    """Within the block, notice where a user's file sets a global generator.

    Attributes:
        first: name of the first such function and its place; None for none.
    """

    def __init__(self, files: frozenset[str]) -> None:
        """Begin without a finding; ``files`` count as the user's besides his own."""
        self.first: tuple[str, str] | None = None
        self._files = files
        self._former: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Self:
        """Put functions that look at their caller in the place of those of ``SEEDING``."""
        for module, name in SEEDING:
            former = getattr(module, name)
            self._former.append((module, name, former))
            setattr(module, name, self._noticing(f"{module.__name__}.{name}", former))
        return self

    def __exit__(self, *_: object) -> None:
        """Put the functions back."""
        while self._former:
            module, name, former = self._former.pop()
            setattr(module, name, former)

    def _noticing(self, name: str, former: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            frame = sys._getframe(1)
            if self.first is None and is_users(frame.f_code.co_filename, self._files):
                self.first = name, f"{frame.f_code.co_filename}, line {frame.f_lineno}"
            return former(*args, **named)

        return call


class GlobalDraws(TorchFunctionMode):
    """Within the block, notice draws without a generator that a user's file makes itself.

    Layers of libraries (dropout, stochastic depth) draw from the global generator, too; the
    training loop seeds it for them.

    Attributes:
        first: name of the first such function and its place; None for none.
    """

    def __init__(self, files: frozenset[str]) -> None:
        """Begin without a finding; ``files`` count as the user's besides his own."""
        super().__init__()
        self.first: tuple[str, str] | None = None
        self._files = files

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = [*args, *(kwargs or {}).values()]
        name = getattr(func, "__name__", "")
        if name in DRAWING and not any(isinstance(v, torch.Generator) for v in given):
            frame = sys._getframe(1)
            code = frame.f_code
            if self.first is None and is_users(code.co_filename, self._files):
                self.first = name, f"{code.co_filename}, line {frame.f_lineno}"
        return func(*args, **dict(kwargs or {}))
