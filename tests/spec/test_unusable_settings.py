"""Settings that no key can hold are refused when planned, in one line."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.canonical import canonical, describe, renamed_from
from harness.errors import UserError
from harness.plan import plan
from harness.plan.options import Options
from harness.spec import profiles
from harness.spec.recipe import Recipe, Stage
from harness.spec.table import Column, Row, Table


class Colour(enum.Enum):
    RED = "red"


@dataclass(frozen=True, kw_only=True)
class Holds:
    key_name: ClassVar[str] = "test.holds"
    backbone: ClassVar[None] = None
    value: Any = 1

    def build(self, dataset: object, backbones: object) -> object:
        raise NotImplementedError


def _plan(value: Any) -> None:
    stage = Stage(
        phase="supervised",
        method=Holds(value=value),
        recipe=Recipe(epochs=1, batch_size=8, base_lr=0.1),
    )
    row = Row(name="mine", label="Mine", stages=(stage,))
    table = Table(title="T", source="", rows=(row,), columns=(Column(dataset="btmd"),))
    nowhere = Path("nowhere")
    options = Options(profile=profiles.PAPER, data=nowhere, runs=nowhere, unprepared=True)
    plan.make("t", table, options)


@pytest.mark.parametrize(
    "value",
    [Colour.RED, frozenset({1}), Path("x"), float("nan"), float("inf"), len, {1: "a"}, 10**5000],
    ids=lambda value: type(value).__name__,
)
def test_values_without_a_canonical_form_are_refused(value: Any) -> None:
    with pytest.raises(UserError, match="Row 'mine', supervised: ") as refused:
        _plan(value)
    assert "\n" not in str(refused.value)


def test_plain_values_are_planned() -> None:
    for value in (1, 1.5, "a", True, None, (1, (2, "b")), {"a": [1, {"b": None}]}):
        _plan(value)


@dataclass(frozen=True)
class Typed:
    key_name: ClassVar[str] = "test.typed"
    type: str = "x"


@dataclass(frozen=True)
class Renamed:
    key_name: ClassVar[str] = "test.renamed-to-type"
    kind: str = field(default="x", metadata=renamed_from("type"))


@pytest.mark.parametrize("settings", [Typed(), Renamed()])
def test_no_field_takes_the_place_of_the_type_s_name(settings: Any) -> None:
    with pytest.raises(UserError, match="field 'type'"):
        describe(settings)


def test_names_in_mappings_are_texts() -> None:
    with pytest.raises(TypeError, match="must be text"):
        canonical({1: "a", "1": "b"})
