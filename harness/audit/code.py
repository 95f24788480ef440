"""Audit of a released code against its paper's text: settings objects compared field by field."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.audit.page import Page, Section
from harness.canonical import type_name
from harness.errors import UserError, listed
from harness.spec.compared import EFFECTS, Compared, Sources, Unset

FORMAT = 2
"""Version of the JSON layout."""

COMMAND = "harness audit code --format md,tex,json"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One field in which text and code differ.

    Attributes:
        where: what it is a setting of.
        setting: type and path of the field ("msmae.crop").
        text: value by the text.
        code: value of the code.
        sources: of both.
        reading: how the text is read; "" where the harness runs it so as described.
    """

    where: str
    setting: str
    text: Any
    code: Any
    sources: Sources
    reading: str = ""


_AnyDifference = TypeVar("_AnyDifference", Difference, Unset)


@dataclass(frozen=True, kw_only=True)
class CodeAudit:
    """All differences of a released code to its paper's text; what changes numbers comes first.

    Attributes:
        settings: those that the harness can run either way, as described and as released.
        readings: literal readings of the text that it does not run as described.
        unset: those that no setting expresses.
    """

    settings: tuple[Difference, ...]
    readings: tuple[Difference, ...]
    unset: tuple[Unset, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "format": FORMAT,
            "effects": self.effects,
            "settings": [_json(d) for d in self.settings],
            "readings": [_json(d) for d in self.readings],
            "without_setting": [_json(d) for d in self.unset],
        }

    @property
    def effects(self) -> dict[str, int]:
        """Number of differences by effect."""
        compared = (*self.settings, *self.readings)
        found = [
            *(difference.sources.effect for difference in compared),
            *(difference.sources.effect for difference in self.unset),
        ]
        return {effect: found.count(effect) for effect in EFFECTS}


def _json(difference: Difference | Unset) -> dict[str, Any]:
    """Return a difference as JSON values, its effect beside what differs."""
    values = dataclasses.asdict(difference)
    places = values.pop("sources")
    effect, why = places.pop("effect"), places.pop("why")
    return {**values, "effect": effect, "why": why, "sources": places}


def audit(
    settings: Sequence[Compared], readings: Sequence[Compared], unset: Sequence[Unset]
) -> CodeAudit:
    """Compare all pairs of settings; differences of each list are sorted by effect.

    Raises:
        UserError: a difference has no source, or a source belongs to no difference.
    """
    return CodeAudit(
        settings=_graded(d for pair in settings for d in differences(pair)),
        readings=_graded(d for pair in readings for d in differences(pair)),
        unset=_graded(unset),
    )


def _graded(found: Iterable[_AnyDifference]) -> tuple[_AnyDifference, ...]:
    """Return differences by effect, what changes numbers first; otherwise in the given order."""
    return tuple(sorted(found, key=lambda d: EFFECTS.index(d.sources.effect)))


def differences(pair: Compared) -> list[Difference]:
    """Return the fields in which two settings differ, in the order of their type's fields.

    Raises:
        UserError: the types differ, a difference has no source, or a source none.
    """
    if type(pair.text) is not type(pair.code):
        names = " and ".join(type_name(type(value)) for value in (pair.text, pair.code))
        raise UserError(f"{pair.name}: settings of two types cannot be compared: {names}.")
    found = dict(_differing(pair.text, pair.code))
    missing = [path for path in found if path not in pair.sources]
    stale = [path for path in pair.sources if path not in found]
    if missing or stale:
        problems = [
            *([f"no source for {listed(missing)}"] if missing else []),
            *([f"a source, but no difference, for {listed(stale)}"] if stale else []),
        ]
        raise UserError(
            f"{pair.name}: {'; '.join(problems)}; give each field in which text and code differ"
            " its sources (msmae/differences.py)."
        )
    return [
        Difference(
            where=pair.name,
            setting=f"{type_name(type(pair.text))}.{path}",
            text=values[0],
            code=values[1],
            sources=pair.sources[path],
            reading=pair.reading,
        )
        for path, values in found.items()
    ]


def _differing(text: Any, code: Any, prefix: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield path and both values of every field that differs, into dataclasses of one type."""
    for field in dataclasses.fields(text):
        a, b = getattr(text, field.name), getattr(code, field.name)
        if dataclasses.is_dataclass(a) and type(a) is type(b):
            yield from _differing(a, b, f"{prefix}{field.name}.")
        elif a != b:
            yield prefix + field.name, (a, b)


def page(found: CodeAudit) -> Page:
    """Return the page of the audit of the code."""
    return Page(
        title="The paper's text against its released code",
        command=COMMAND,
        lead=(
            f"{len(found.settings)} settings differ between what the harness runs as described and"
            f" as released; {len(found.readings)} literal readings of the text are run in neither;"
            f" {len(found.unset)} differences have no setting.",
            f"By what matters: {_counted(found)}. Each list begins with what changes a number of"
            " the tables, of the paper's or of the harness's.",
            "Values are read from the settings that the harness trains with (msmae/paper.py).",
        ),
        sections=(
            _section("Settings that can be run either way", found.settings),
            _section("Literal readings of the text", found.readings),
            Section(
                title="Differences without a setting",
                head=("effect", "what", "text", "released code", "why", *PLACES),
                rows=tuple(
                    (
                        u.sources.effect,
                        u.name,
                        u.text,
                        u.code,
                        u.sources.why,
                        u.sources.text,
                        u.sources.code,
                    )
                    for u in found.unset
                ),
            ),
        ),
    )


PLACES = ("in the text", "in the code")
"""Headings of where a difference stands."""


def _counted(found: CodeAudit) -> str:
    total = sum(found.effects.values())
    return "; ".join(f'"{effect}" {n} of {total}' for effect, n in found.effects.items())


def _section(title: str, found: Sequence[Difference]) -> Section:
    return Section(
        title=title,
        head=("effect", "stage", "setting", "text", "released code", "why", *PLACES),
        rows=tuple(
            (
                d.sources.effect,
                d.where + (f" ({d.reading})" if d.reading else ""),
                d.setting,
                _value(d.text),
                _value(d.code),
                d.sources.why,
                d.sources.text,
                d.sources.code,
            )
            for d in found
        ),
    )


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "on", False: "off"}[value]
    return str(value)
