"""What is computed from settings, once per object: the seeds of a row share its stages.

Settings are known by their identity, not by being equal: 1, 1.0 and True are equal, and different
settings. What holds something that can be changed in place is looked at each time.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from harness.canonical import canonical
from harness.spec.recipe import Stage

T = TypeVar("T")

MOST = 4096
"""Values that are remembered; more are forgotten together."""


class OncePerObject(Generic[T]):
    """Values that depend on given settings objects alone; of constant ones each is made once."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        # The objects are held, so that no other gets their identity.
        self._known: dict[tuple[int, ...], tuple[tuple[object, ...], T]] = {}

    def of(self, *parts: object, make: Callable[[], T]) -> tuple[T, bool]:
        """Return what ``make`` returns for these objects, and whether they are constant.

        Args:
            parts: all that the value depends on.
            make: makes the value; if it raises, nothing is remembered.
        """
        identity = tuple(map(id, parts))
        if (known := self._known.get(identity)) is not None:
            return known[1], True
        value = make()
        if not all(map(_is_constant, parts)):
            return value, False
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[identity] = (parts, value)
        return value, True


_TEXTS: OncePerObject[str] = OncePerObject()
"""Texts of a stage and its backbone's size."""


def stage_text(stage: Stage, size: object) -> tuple[str, bool]:
    """Return the canonical JSON text of a stage in a run's definition, and whether it can change.

    Args:
        stage: its method and recipe are described.
        size: of its backbone; None where it has none.
    """
    text, constant = _TEXTS.of(
        stage,
        size,
        make=lambda: canonical(
            {"phase": stage.phase, "method": stage.method, "recipe": stage.recipe, "backbone": size}
        ),
    )
    return text, not constant


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


def alike(
    dataset: str,
    data: str,
    split: str,
    image_size: int,
    train_images: int | None,
    eval_images: int | None,
) -> dict[str, Any]:
    """Return what defines every stage of a run alike, without the seed; see ``spec.run.Run``."""
    profile = {
        "image_size": image_size,
        "train_images": train_images,
        "eval_images": eval_images,
    }
    return {"dataset": dataset, "data": data, "split": split, "profile": profile}


@functools.lru_cache(maxsize=MOST, typed=True)
def texts(*facts: str | int | None) -> Mapping[str, str]:
    """Return the canonical JSON texts of the fields of ``alike``, of its arguments in order."""
    values: Mapping[str, Any] = alike(*facts)  # type: ignore[arg-type]
    return {name: canonical(value) for name, value in values.items()}


def composed(values: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """Return the canonical JSON text of an object, some of whose fields are texts already.

    Args:
        values: the other fields.
        texts: canonical JSON texts by field.
    """
    parts = {**{name: _text(value) for name, value in values.items()}, **texts}
    return "{" + ",".join([f"{_scalar(name)}:{parts[name]}" for name in sorted(parts)]) + "}"


def _text(value: Any) -> str:
    """Return ``canonical(value)``; that of the same plain values is made once."""
    kind = type(value)
    if kind in (str, int, type(None)):
        return _scalar(value)
    if kind is dict and all(type(name) is str for name in value):
        return composed(value, {})
    return canonical(value)


@functools.lru_cache(maxsize=MOST, typed=True)
def _scalar(value: str | int | None) -> str:
    return canonical(value)
