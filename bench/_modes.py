"""The ways in which ``harness.train`` can run a step: eager, compiled, captured."""

from __future__ import annotations

import typing
from typing import Any

from harness.train.loop import Job

MODES = ("eager", "compiled", "captured")
"""Eager launches every kernel from Python; compiled steps are torch.compile's; a captured step is
one CUDA graph."""


def setting(mode: str) -> dict[str, Any] | None:
    """Return the arguments of ``Job`` that choose a mode; None where training does not offer it.

    The field of ``Job`` is found by its type, a Literal that holds the mode's name.
    """
    fields = [name for name, hint in typing.get_type_hints(Job).items() if mode in _values(hint)]
    if fields:
        return {fields[0]: mode}
    return {} if mode == "eager" else None


def listener(lines: list[str]) -> dict[str, Any]:
    """Return the argument of ``Job`` that receives why a mode is not kept, if training tells it."""
    return {"tell": lines.append} if "tell" in typing.get_type_hints(Job) else {}


def _values(hint: Any) -> tuple[Any, ...]:
    """Return the values of a Literal, also where it stands in a union or an Annotated."""
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)
    return tuple(value for part in typing.get_args(hint) for value in _values(part))
