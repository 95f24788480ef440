"""What a user's code leaves behind in its process: replaced functions, hooks, threads, a folder.

Other code of the process would compute with these. What ``harness.surroundings`` puts back is not
looked at here.
"""

from __future__ import annotations

import builtins
import importlib
import inspect
import json
import math
import os
import random
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch

from harness.sources import user_frames
from harness.sources.user_errors import HOUSE

OPTIMIZER = "torch.optim.optimizer"

HOOKS = tuple(
    (module, name)
    for module in (importlib.import_module(n) for n in ("torch.nn.modules.module", OPTIMIZER))
    for name, value in vars(module).items()
    if name.startswith("_global_") and name.endswith("hooks") and isinstance(value, Mapping)
)
"""Registers of hooks that act on every module or optimiser."""


@dataclass(frozen=True)
class Traces:
    """What was found in a process.

    Attributes:
        functions: functions and classes of Python, numpy, torch and this project, by name.
        hooks: number of global hooks, by register.
        threads: that a user's code has started.
    """

    functions: Mapping[str, object]
    hooks: Mapping[str, int]
    threads: frozenset[threading.Thread]

    @classmethod
    def now(cls) -> Traces:
        """Look at this process."""
        return cls(
            functions=dict(_functions()),
            hooks={f"{m.__name__}.{name}": len(getattr(m, name)) for m, name in HOOKS},
            threads=frozenset(t for t in threading.enumerate() if _is_users(_target(t))),
        )

    def put_back(self) -> None:
        """Put back the functions that were replaced since, and take hooks out that were added."""
        for owner, thing in list(_owners()):
            for name, value in list(vars(thing).items()):
                before = self.functions.get(f"{owner}.{name}", value)
                if before is not value:
                    setattr(thing, name, before)
        for module, name in HOOKS:
            register = getattr(module, name)
            for added in list(register)[self.hooks[f"{module.__name__}.{name}"] :]:
                del register[added]

    def left(self, after: Traces) -> list[str]:
        """Return, in words, what is different afterwards.

        Libraries replace functions of their own, such as an optimiser's step when it is first used.
        """
        replaced = [
            name
            for name, value in after.functions.items()
            if value is not self.functions.get(name)
            if _is_users(value) or (name in self.functions and not hasattr(value, "__code__"))
        ]
        replaced += [name for name in self.functions if name not in after.functions]
        said = [f"it replaces {name}" for name in replaced]
        said += [f"it leaves a hook in {n}" for n, c in self.hooks.items() if after.hooks[n] != c]
        threads = sorted(thread.name for thread in after.threads - self.threads)
        return said + [f"it leaves the thread {name!r} running" for name in threads]


def _owners() -> Iterator[tuple[str, Any]]:
    """Yield modules and classes whose functions are looked at, by name."""
    functional = torch.nn.functional
    libraries = (builtins, os, json, math, random, time, np, np.random, torch, functional)
    for module in (*libraries, torch.nn.init, torch.nn.utils, torch.autograd, torch.linalg):
        yield module.__name__, module
    for kind in (torch.Tensor, torch.Generator):
        yield f"torch.{kind.__qualname__}", kind
    house = [name for name in list(sys.modules) if name.partition(".")[0] in HOUSE]
    for name in ("torch.optim", "torch.nn", *house):
        found: object = sys.modules.get(name)
        if not isinstance(found, ModuleType):
            continue  # a user's code has taken it out
        if name in house:
            yield name, found
        for inner, kind in list(vars(found).items()):
            if inspect.isclass(kind) and (name not in house or kind.__module__ == name):
                yield f"{name}.{inner}", kind


def _functions() -> Iterator[tuple[str, object]]:
    for owner, thing in _owners():
        for name, value in list(vars(thing).items()):
            if callable(value) or isinstance(value, property | staticmethod | classmethod):
                yield f"{owner}.{name}", value


def _target(thread: threading.Thread) -> object:
    """Return what a thread runs."""
    return getattr(thread, "_target", None) or type(thread).run


def _is_users(function: object) -> bool:
    """Whether a function, or what is bound in it, is a user's code."""
    for name in ("__func__", "fget", "func", "function"):  # methods, properties, partials, timers
        function = getattr(function, name, function)
    code = getattr(function, "__code__", None)
    return code is not None and user_frames.owner_of(code.co_filename) == "user"
