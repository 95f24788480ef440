"""Settings that a key can be made of: frozen dataclasses of plain values with a stable name."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from harness.canonical import canonical, types_of
from harness.errors import UserError
from harness.ranges import said
from harness.sources import leaving
from harness.sources.modules import is_house_module
from harness.spec.recipe import Stage, backbone_of

FROZEN = "@dataclass(frozen=True, kw_only=True)"
"""What settings are declared with."""


def check(stage: Stage) -> None:
    """Refuse settings that cannot be part of a key, or that could change after planning.

    Raises:
        UserError: a type is no frozen dataclass, has no usable stable name or takes values that are
            no fields; or a value has no canonical form, such as an enumeration's.
    """
    for kind in dict.fromkeys((type(stage.method), *types_of([stage.method, stage.recipe]))):
        _check_type(kind)
    backbone_of(stage.method)
    try:
        canonical([stage.method, stage.recipe])
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{error}; settings are numbers, texts, True, False, None, tuples, mappings and frozen"
            " dataclasses of these."
        ) from error


def _check_type(kind: type) -> None:
    if not dataclasses.is_dataclass(kind):
        raise UserError(f"{kind.__qualname__} is no dataclass; put {FROZEN} above it.")
    if not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise UserError(
            f"{kind.__qualname__} can be changed after planning; put {FROZEN} above it."
        )
    name = vars(kind).get("key_name", kind.__qualname__)
    if not isinstance(name, str) or not name.strip():
        raise UserError(
            f"{kind.__qualname__}.key_name is {said(name)}; it must be a text that is not empty, a"
            " stable name such as the class's own."
        )
    if taken := unkept(kind):
        raise UserError(
            f"{kind.__qualname__}.{taken[0]} is an InitVar, which is no field and no part of the"
            f" key; declare it as a field, {taken[0]}: TYPE = VALUE."
        )


def unkept(kind: type) -> list[str]:
    """Return the names of what a type of settings takes and does not keep as a field."""
    fields: dict[str, Any] = getattr(kind, "__dataclass_fields__", {})
    return [name for name, f in fields.items() if f._field_type is dataclasses._FIELD_INITVAR]  # type: ignore[attr-defined]


def asked(stage: Stage, ask: Callable[[Any, Any], None]) -> None:
    """Let a method check a stage, on copies: what it changes of them is refused.

    Args:
        stage: whose settings and recipe are handed over; those of a method that ships as they are.
        ask: receives the settings and the recipe.

    Raises:
        UserError: the method has refused the stage, or changed what its key is made of.
    """
    if is_house_module(type(stage.method).__module__):
        ask(stage.method, stage.recipe)
        return
    before = canonical([stage.method, stage.recipe])
    method, recipe = _copies(stage)
    with leaving.refused():
        ask(method, recipe)
    if before != canonical([stage.method, stage.recipe]) or before != canonical([method, recipe]):
        raise UserError(
            "its check changes the settings or the recipe, of which the key is made; a check may"
            " only raise UserError."
        )


def _copies(stage: Stage) -> tuple[Any, Any]:
    try:
        return copy.deepcopy((stage.method, stage.recipe))
    except Exception:  # noqa: BLE001 (a stranger's type that has no copy is handed over itself)
        return stage.method, stage.recipe
