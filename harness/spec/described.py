"""The canonical text of stages, made once per stage object: the seeds of a row share it.

A stage is known by its identity, not by being equal: 1, 1.0 and True are equal, and different
settings. One that holds something that can be changed in place is described each time.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from harness.canonical import canonical
from harness.spec.recipe import Stage

MOST = 4096
"""Stages that are remembered; more are forgotten together."""

_TEXTS: dict[tuple[int, int], tuple[object, object, str]] = {}
"""Texts by the identities of a stage and of its backbone's size, which are held, so that no other
object gets their identity."""


def stage_text(stage: Stage, size: object) -> tuple[str, bool]:
    """Return the canonical JSON text of a stage in a run's definition, and whether it can change.

    Args:
        stage: its method and recipe are described.
        size: of its backbone; None where it has none.
    """
    identity = (id(stage), id(size))
    if (known := _TEXTS.get(identity)) is not None:
        return known[2], False
    text = canonical(
        {"phase": stage.phase, "method": stage.method, "recipe": stage.recipe, "backbone": size}
    )
    if not (_is_constant(stage) and _is_constant(size)):
        return text, True
    if len(_TEXTS) >= MOST:
        _TEXTS.clear()
    _TEXTS[identity] = (stage, size, text)
    return text, False


def _is_constant(value: object) -> bool:
    """Whether nothing in a value can be changed in place."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        params: Any = getattr(value, "__dataclass_params__")  # noqa: B009 (it has no declared type)
        return bool(params.frozen) and all(
            _is_constant(getattr(value, field.name)) for field in dataclasses.fields(value)
        )
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    return value is None or isinstance(value, bool | int | float | str)


def composed(values: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """Return the canonical JSON text of an object, some of whose fields are texts already.

    Args:
        values: the other fields.
        texts: canonical JSON texts by field.
    """
    parts = {**{name: canonical(value) for name, value in values.items()}, **texts}
    return "{" + ",".join(f"{json.dumps(name)}:{parts[name]}" for name in sorted(parts)) + "}"
