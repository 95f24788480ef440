"""Checks of a method's settings: they are frozen, and every field is part of the key."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from harness import ranges
from harness.canonical import ACTS_WHERE, canonical, types_of
from harness.check.finding import Finding
from harness.check.subject import Subject
from harness.errors import UserError
from harness.plan.definable import unkept
from harness.spec.profile import Profile
from harness.spec.recipe import Method, Recipe, Stage, backbone_of
from harness.spec.run import Run


def frozen(subject: Subject) -> str | None:
    """Settings are frozen dataclasses, which nothing can change after planning."""
    method = subject.method
    for kind in dict.fromkeys((type(method), *types_of(method))):
        if not dataclasses.is_dataclass(kind):
            raise Finding(
                f"{kind.__name__} is no dataclass; put @dataclass(frozen=True, kw_only=True) above"
                " it",
                kind,
            )
        for field in dataclasses.fields(kind):
            value = getattr(kind, field.name, None)
            try:
                setattr(_made(kind, method), field.name, value)
            except dataclasses.FrozenInstanceError:
                continue
            raise Finding(
                f"{kind.__name__}.{field.name} can be changed after planning; write"
                " @dataclass(frozen=True, kw_only=True)",
                kind,
            )
        if taken := unkept(kind):
            raise Finding(
                f"{kind.__name__}.{taken[0]} is an InitVar, which is no field and no part of the"
                f" key; write {taken[0]}: TYPE = VALUE",
                kind,
            )
        name = vars(kind).get("key_name", kind.__qualname__)
        if not isinstance(name, str) or not name.strip():
            raise Finding(
                f"{kind.__name__}.key_name is {ranges.said(name)}; give a text that is not empty",
                kind,
            )
        _check_plain_attributes(kind)
    if not isinstance(method, Method):
        raise Finding("it lacks build(self, dataset, backbones) or backbone", type(method))
    try:
        backbone_of(method)
    except UserError as error:
        raise Finding(str(error), type(method)) from error
    return None


def _made(kind: type, method: Method) -> Any:
    """Return an object of a type within settings."""
    if isinstance(method, kind):
        return dataclasses.replace(method)  # type: ignore[type-var]
    return next(part for part in _parts(method) if type(part) is kind)


def _parts(value: Any) -> Iterator[Any]:
    if dataclasses.is_dataclass(value):
        yield value
        for field in dataclasses.fields(value):
            yield from _parts(getattr(value, field.name))
    elif isinstance(value, Mapping | tuple | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _parts(item)


def _check_plain_attributes(kind: type) -> None:
    """Refuse numbers and texts that look like settings and are no fields.

    Raises:
        Finding: one has no type annotation, so that it is no part of the key.
    """
    annotated = vars(kind).get("__annotations__", {})
    for name, value in vars(kind).items():
        if not name.startswith("_") and name not in annotated and isinstance(value, int | float):
            raise Finding(
                f"{kind.__name__}.{name} = {value!r} has no type annotation, so that it is no field"
                f" and no part of the key; write {name}: {type(value).__name__} = {value!r}",
                kind,
            )


def keys(subject: Subject) -> str | None:
    """The key is the same for equal settings, and another for every field that is changed."""
    method: Any = subject.method
    try:
        canonical(method)
    except (TypeError, ValueError) as error:
        raise Finding(
            f"{error}; settings are numbers, texts, True, False, None, tuples, mappings and frozen"
            " dataclasses of these",
            type(method),
        ) from error
    if _key(subject, method) != _key(subject, dataclasses.replace(method)):
        raise Finding("equal settings have two keys; leave draws out of them", type(method))
    untried = []
    for field in dataclasses.fields(method):
        pair = _changed(method, field)
        if pair is None:
            untried.append(field.name)
        elif _key(subject, pair[0]) == _key(subject, pair[1]):
            raise Finding(
                f"changing {field.name} does not change the key; is it overwritten in"
                " __post_init__?",
                type(method),
            )
    declared = "key_name" in vars(type(method))
    remarks = [] if declared else ["no key_name: renaming the class would change its keys"]
    remarks += [f"not tried: {', '.join(untried)}"] if untried else []
    return "; ".join(remarks) or None


def _key(subject: Subject, method: Method) -> str:
    recipe = Recipe(epochs=1, batch_size=1, base_lr=1.0)
    return Run(
        dataset="a",
        data="b",
        split="paper",
        profile=Profile(name="check", backbones=subject.backbones),
        stages=(Stage(phase="pretrain", method=method, recipe=recipe),),
        seed=0,
    ).key()


def _changed(method: Any, field: dataclasses.Field[Any]) -> tuple[Any, Any] | None:
    """Return settings that differ in a field alone, where it acts; None if none are allowed."""
    acting = field.metadata.get(ACTS_WHERE)
    beside = {} if acting is None else {acting[0]: acting[1]}
    owner: type = type(method)
    kind = ranges.field_types(owner).get(field.name)
    for value in _others(getattr(method, field.name), kind):
        try:
            before = dataclasses.replace(method, **beside)
            return before, dataclasses.replace(before, **{field.name: value})
        except (UserError, TypeError, ValueError):
            continue  # not allowed there; another may be
    return None


def _others(value: Any, kind: Any) -> Iterator[Any]:
    """Yield values that differ from one; first small changes, which ranges most often allow."""
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) is typing.Literal:
        yield from (other for other in typing.get_args(kind) if other != value)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1, 2 * value, value // 2)
    elif isinstance(value, float):
        moved = (value * 0.5 + 0.01, value * 0.9, value * 1.1, value / 2, 0.5, 0.25)
        yield from (other for other in moved if other != value and math.isfinite(other))
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            pair = _changed(value, field)
            if pair is not None:
                yield pair[1]
