"""Parse and apply ``--set``, which changes a field of recipes or methods, or a fine-tuning.

Forms: ``[PHASE.]recipe.FIELD=VALUE``, ``[PHASE.]method.FIELD=VALUE``, ``finetune=NAME``, and
``[PHASE.]method.backbone=timm:NAME`` (``harness.plan.on_backbone``). Fields
are set after the profile's scaling, so that the given value is the one that runs; it is part of the
key like any other. A setting of one phase takes precedence over one of all phases, in any order. A
fine-tuning is replaced before scaling and scaled like the one it replaces.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from harness import ranges
from harness.canonical import type_name
from harness.errors import UserError, unknown, within
from harness.spec.recipe import Phase, Stage
from harness.spec.table import Row

PHASES: tuple[str, ...] = typing.get_args(Phase)
SWAP = "finetune"
"""Path that selects another fine-tuning of a row; the only one without a field."""

EXAMPLES: Mapping[Any, str] = MappingProxyType({float: "0.5", int: "2", bool: "true", str: '"a"'})
"""A value of each type as it is written in a list."""


@dataclasses.dataclass(frozen=True)
class Override:
    """A parsed ``--set`` of a field.

    Attributes:
        phase: None for every phase.
        part: "recipe" or "method".
        field: name of the field.
        text: the value as written.
    """

    phase: str | None
    part: str
    field: str
    text: str

    @property
    def is_backbone(self) -> bool:
        """Whether it puts methods on another network, which is no field of theirs."""
        return (self.part, self.field) == ("method", "backbone")

    def __str__(self) -> str:
        """Return the text of the command line."""
        phase = f"{self.phase}." if self.phase else ""
        return f"{phase}{self.part}.{self.field}={self.text}"


def parse(text: str) -> Override:
    """Parse one ``--set`` argument.

    Raises:
        UserError: the text has none of the forms, or the phase or part is unknown.
    """
    path, sign, value = text.partition("=")
    words = path.strip().split(".")
    if not sign or len(words) not in (2, 3):
        raise UserError(
            f"--set {text!r} is not of the form [PHASE.]recipe.FIELD=VALUE,"
            " [PHASE.]method.FIELD=VALUE or finetune=NAME, for instance finetune.recipe.epochs=5."
        )
    phase = words[0] if len(words) == 3 else None
    if phase is not None and phase not in PHASES:
        raise unknown("phase", phase, PHASES)
    if words[-2] not in ("recipe", "method"):
        raise unknown("part of a stage", words[-2], ("recipe", "method"))
    return Override(phase, words[-2], words[-1], value.strip())


def finetunings(rows: Sequence[Row], overrides: Sequence[str]) -> list[tuple[Stage, ...]]:
    """Return the stages of rows, with the fine-tuning that ``--set finetune=NAME`` selects.

    Raises:
        UserError: the setting is given twice, or no row has a fine-tuning of that name.
    """
    names = [text.partition("=")[2].strip() for text in overrides if selects_finetuning(text)]
    if not names:
        return [row.chain() for row in rows]
    if len(names) > 1:
        raise UserError(f"--set {SWAP}={names[0]} is given more than once; give it once.")
    known = {name for row in rows if len(row.chain()) > 1 for name in row.finetunes}
    if names[0] not in known:
        raise unknown("fine-tuning", names[0], known)
    return [row.chain(names[0]) for row in rows]


def selects_finetuning(text: str) -> bool:
    """Whether a ``--set`` text selects another fine-tuning."""
    path, sign, _ = text.partition("=")
    return bool(sign) and path.strip() == SWAP


def apply(
    chains: Sequence[Sequence[Stage]], overrides: Sequence[str], rows: Sequence[str] = ()
) -> list[tuple[Stage, ...]]:
    """Return chains of stages with every override applied to all stages that have its field.

    Args:
        chains: the stages of each row.
        overrides: ``--set`` texts.
        rows: names of the rows, for messages.

    Raises:
        UserError: a field exists in no stage that the override names, a value has the wrong
            type or is outside its range, or the same field is set twice.
    """
    fields = [text for text in overrides if not selects_finetuning(text)]
    parsed = [o for o in map(parse, fields) if not o.is_backbone]
    targets = [(o.phase, o.part, o.field) for o in parsed]
    for override, target in zip(parsed, targets, strict=True):
        if targets.count(target) > 1:
            raise UserError(f"--set {override} is given more than once; give it once.")
        stages = [stage for chain in chains for stage in chain]
        known = _owners(override, [s for s in stages if override.phase in (None, s.phase)])
        if not known:
            phase = f"the phase {override.phase!r}" if override.phase else "any phase"
            raise UserError(
                f"--set {override}: no stage of {phase} in the selected rows has settings of its"
                f" {override.part}; choose other rows or another field."
            )
        if override.field not in known:
            raise _no_such_field(override, stages, known)
    changed: list[tuple[Stage, ...]] = []
    for number, chain in enumerate(chains):
        row = f"Row {rows[number]!r}, " if rows else ""
        changed.append(tuple(_overridden(stage, parsed, row) for stage in chain))
    return changed


def check_range(chain: Sequence[Stage], text: str) -> None:
    """Check one ``--set`` text against the type and the range of its field, and nothing else.

    Raises:
        UserError: the value has the wrong type or is outside its range.
    """
    override = parse(text)
    for stage in chain:
        owner = type(_part(stage, override))
        kinds = typing.get_type_hints(owner, include_extras=True)
        if override.phase in (None, stage.phase) and override.field in kinds:
            value, kind = _value(owner, override), kinds[override.field]
            if not ranges.fits(kind, value):
                raise UserError(
                    f"{text.partition('=')[0]} is {ranges.said(value)}; allowed:"
                    f" {ranges.words(kind)}."
                )


def _owners(override: Override, stages: Sequence[Stage]) -> dict[str, str]:
    """Return the fields of a part of stages, each with the names of the types that have it."""
    owners: dict[str, set[str]] = {}
    for stage in stages:
        settings = _part(stage, override)
        for field in dataclasses.fields(settings):
            owners.setdefault(field.name, set()).add(type_name(type(settings)))
    return {name: ", ".join(sorted(types)) for name, types in owners.items()}


def _no_such_field(
    override: Override, stages: Sequence[Stage], known: Mapping[str, str]
) -> UserError:
    """Return the error for a field that no stage of an override's phase has."""
    elsewhere = sorted({s.phase for s in stages if override.field in _owners(override, [s])})
    if elsewhere:
        return UserError(
            f"--set {override}: no method of the phase {override.phase!r} in the selected rows has"
            f" the field {override.field!r}; set {elsewhere[0]}.{override.part}.{override.field}."
        )
    notes = known if override.part == "method" else None
    return unknown(f"{override.part} field", override.field, known, notes=notes)


def _part(stage: Stage, override: Override) -> Any:
    return getattr(stage, override.part)


def _overridden(stage: Stage, overrides: Sequence[Override], row: str) -> Stage:
    # Those of one phase come last, so that they replace those of every phase in ``changes``.
    ordered = sorted(overrides, key=lambda o: o.phase is not None)
    for part in ("recipe", "method"):
        value = getattr(stage, part)
        names = {f.name for f in dataclasses.fields(value)}
        changes = {
            o.field: _value(type(value), o)
            for o in ordered
            if o.part == part and o.field in names and o.phase in (None, stage.phase)
        }
        if changes:
            with within(f"{row}{stage.phase}"):
                changed = dataclasses.replace(value, **changes)
            stage = dataclasses.replace(stage, **{part: changed})
    return stage


def _value(owner: type, override: Override) -> Any:
    """Convert the text to the type of the field of ``owner``.

    Raises:
        UserError: the text is no value of that type.
    """
    kind = typing.get_type_hints(owner)[override.field]
    for alternative in _alternatives(kind):
        try:
            return _convert(alternative, override.text)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            continue
    ranged = typing.get_type_hints(owner, include_extras=True)[override.field]
    raise UserError(
        f"--set {override}: {override.text!r} is not {_words(ranged)}{_example(kind, override)}."
    )


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, else the type alone."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return typing.get_args(kind)
    return (kind,)


def _convert(kind: Any, text: str) -> Any:
    """Return the value of a type that a text stands for.

    Texts and choices are written as they are, all else as JSON, where numbers are finite.

    Raises:
        ValueError: it stands for none.
        msgspec.MsgspecError: likewise.
    """
    if kind is type(None):
        if text.lower() != "none":
            raise ValueError(text)
        return None
    if kind is str or (typing.get_origin(kind) is typing.Literal and text in typing.get_args(kind)):
        return text
    if dataclasses.is_dataclass(kind):
        raise ValueError(text)
    value = msgspec.json.decode(text.lower() if kind is bool else text, type=kind)
    if not ranges.fits(kind, value):
        raise ValueError(text)
    return value


def _words(kind: Any) -> str:
    """Return what a type's values are, in words."""
    several = "one value: this field holds several settings, which a table's file sets"
    return " or ".join(
        several if dataclasses.is_dataclass(alternative) else ranges.words(alternative)
        for alternative in _alternatives(kind)
    )


def _example(kind: Any, override: Override) -> str:
    """Return an example of a list; other values need none."""
    for alternative in _alternatives(kind):
        inner = typing.get_args(alternative)
        if typing.get_origin(alternative) is tuple and set(inner) <= {*EXAMPLES, ...}:
            values = [EXAMPLES[k] for k in (inner if ... not in inner else (inner[0],) * 2)]
            path = str(override).partition("=")[0]
            return f", such as {path}=[{','.join(values)}]"
    return ""
