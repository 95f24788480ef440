"""Golden keys: the key and the random stream of every row of every shipped experiment.

A change of ``golden/keys.json`` makes users train again, so it is a line of the changelog and comes
with a migration (``docs/keys.md``). Written anew by
``HARNESS_WRITE_GOLDEN=1 pytest tests/spec/test_golden_keys.py``.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.canonical import AS_BEFORE, acts_where, as_before, canonical, describe, digest
from harness.errors import UserError
from harness.plan import catalog
from harness.plan.options import Options
from harness.plan.plan import Plan, make
from harness.spec import profiles
from harness.spec.backbones import RESNET, VIT
from harness.spec.profile import Profile
from harness.spec.recipe import Stage
from harness.spec.sweep import Sweep
from harness.spec.table import Column, Table

GOLDEN = Path(__file__).parents[1] / "golden/keys.json"
NOWHERE = Path("nowhere")
SETTINGS = {"": (), "own": ("finetune=own",)}
DIGITS = 16
"""Of each digest; two of the some thousand would share them once in 1e12 tries."""


def _table(name: str) -> Table:
    found = catalog.find(name)[1]
    if not isinstance(found, Sweep):
        return found
    columns = (Column(dataset=found.dataset),)
    return Table(title="", source="", rows=(found.row,), columns=columns)


def _plans(name: str, profile: Profile) -> Iterator[tuple[str, Plan]]:
    table = _table(name)
    for setting, overrides in SETTINGS.items():
        options = Options(
            profile=dataclasses.replace(profile, phantoms=False),
            data=NOWHERE,
            runs=NOWHERE,
            seeds=(0,),
            unprepared=True,
            overrides=overrides,
        )
        if setting == "" or any(setting in row.finetunes for row in table.rows):
            yield setting, make(name, table, options)


def _found(name: str, profile: Profile) -> dict[str, list[str]]:
    """Return key and stream by "EXPERIMENT PROFILE ROW COLUMN STAGE [SETTING]"."""
    found = {}
    for setting, plan in _plans(name, profile):
        for unit in plan.cell_runs:
            for number in range(1, len(unit.run.stages) + 1):
                place = (name, profile.name, unit.row.name, unit.column.name, str(number), setting)
                digests = unit.run.key(number), unit.run.stream(number)
                found[" ".join(place).strip()] = [text[:DIGITS] for text in digests]
    return found


def _everything() -> dict[str, list[str]]:
    return {
        place: digests
        for name in catalog.experiments()
        for profile in profiles.PROFILES.values()
        for place, digests in _found(name, profile).items()
    }


def test_no_key_of_a_shipped_row_has_moved() -> None:
    found = _everything()
    if os.environ.get("HARNESS_WRITE_GOLDEN"):
        lines = (f"{json.dumps(place)}: {json.dumps(d)}" for place, d in sorted(found.items()))
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    golden = json.loads(GOLDEN.read_text())
    assert len(golden) > 1000
    moved = {place for place, digests in golden.items() if found.get(place) != digests}
    assert not moved, f"{len(moved)} keys moved, such as {sorted(moved)[:3]}"
    assert found.keys() == golden.keys(), "new rows: write the golden file anew"


def _wider_resnet(profile: Profile) -> Profile:
    size = dataclasses.replace(profile.backbones.resnet, width=72)
    backbones = dataclasses.replace(profile.backbones, given={"resnet": size})
    return dataclasses.replace(profile, backbones=backbones)


@pytest.mark.parametrize("profile", profiles.PROFILES.values(), ids=lambda p: p.name)
@pytest.mark.parametrize("name", catalog.experiments())
def test_the_width_of_resnet_moves_the_keys_of_rows_on_it_only(name: str, profile: Profile) -> None:
    for _, plan in _plans(name, profile):
        wider = _wider_resnet(profile)
        for unit in plan.cell_runs:
            on_resnet = [stage.method.backbone is RESNET for stage in unit.run.stages]
            run = dataclasses.replace(unit.run, profile=wider)
            for number in range(1, len(on_resnet) + 1):
                moved = run.key(number) != unit.run.key(number)
                assert moved == any(on_resnet[:number])
                assert (run.stream(number) != unit.run.stream(number)) == moved


def test_what_does_not_act_on_a_stage_is_not_in_its_key() -> None:
    plan = make("table1", _table("table1"), Options(**_nowhere(profiles.PAPER)))
    other = dataclasses.replace(
        profiles.PAPER,
        name="renamed",
        seeds=(7,),
        pretrain=profiles.SMOKE.pretrain,
        phantoms=True,
    )
    for unit in plan.cell_runs:
        run = dataclasses.replace(unit.run, profile=other)
        assert run.key() == unit.run.key()
        assert run.stream() == unit.run.stream()


def _nowhere(profile: Profile) -> dict[str, Any]:
    return {"profile": profile, "data": NOWHERE, "runs": NOWHERE, "unprepared": True}


@dataclass(frozen=True, kw_only=True)
class Before:
    """Settings as they were published."""

    key_name: ClassVar[str] = "test.settings"
    rate: float = 0.1


@dataclass(frozen=True, kw_only=True)
class After:
    """The same settings with a field more, whose default is another than before."""

    key_name: ClassVar[str] = "test.later-settings"
    rate: float = 0.1
    rule: str = field(default="new", metadata=as_before("old"))
    share: float = field(default=1.0, metadata=as_before(1))


def test_a_new_field_with_its_value_as_before_moves_no_key() -> None:
    plain = {**describe(Before()), "type": "test.later-settings"}
    assert describe(After(rule="old", share=1.0)) == {**plain, "share": 1.0}  # 1.0 is not 1
    assert describe(After(rule="old", share=1)) == plain
    assert describe(After(share=1)) == {**plain, "rule": "new"}
    whole = describe(After(rule="old", share=1), complete=True)
    assert whole == {**plain, "rule": "old", "share": 1}
    # A stream's name has neither field, whatever their values.
    assert describe(After(), published=True) == plain
    assert describe((After(), {"a": After(share=0.3)}), published=True) == [plain, {"a": plain}]


@dataclass(frozen=True, kw_only=True)
class Conditional:
    """Settings of which one acts beside a certain value of another."""

    key_name: ClassVar[str] = "test.conditional"
    kind: str = "plain"
    count: int = 1
    strength: float = field(default=0.5, metadata=acts_where("kind", "strong"))
    added: float = field(default=0.5, metadata={**acts_where("count", 1), **as_before(0.1)})


def test_a_field_that_does_not_act_is_in_no_key() -> None:
    plain = {"type": "test.conditional", "kind": "plain", "count": 1}
    assert describe(Conditional(strength=0.2)) == {**plain, "added": 0.5}
    assert describe(Conditional(count=2)) == {**plain, "count": 2}
    assert describe(Conditional(count=True, added=9.0)) == {**plain, "count": True}  # not 1
    assert describe(Conditional(kind="strong", added=0.1)) == {
        **plain,
        "kind": "strong",
        "strength": 0.5,
    }
    whole = describe(Conditional(count=2), complete=True)
    assert whole == {**plain, "count": 2, "strength": 0.5, "added": 0.5}


def _as_published(stage: Stage) -> Stage:
    """Return a stage with every field that was added since at its value as before."""
    parts = {
        part: dataclasses.replace(
            settings,
            **{
                f.name: f.metadata[AS_BEFORE]
                for f in dataclasses.fields(settings)
                if AS_BEFORE in f.metadata
            },
        )
        for part, settings in (("method", stage.method), ("recipe", stage.recipe))
    }
    return dataclasses.replace(stage, **parts)


@pytest.mark.parametrize("name", catalog.experiments())
def test_fields_that_were_added_move_keys_and_no_streams(name: str) -> None:
    """Rows that differ in such fields alone have the same draws."""
    moved = 0
    for _, plan in _plans(name, profiles.SMOKE):
        for unit in plan.cell_runs:
            before = dataclasses.replace(
                unit.run, stages=tuple(_as_published(stage) for stage in unit.run.stages)
            )
            for number in range(1, len(unit.run.stages) + 1):
                assert before.stream(number) == unit.run.stream(number)
                # As version 0.1 had it, the definition has no trace of the fields, nor its stream.
                assert before.definition(number) == before.definition(number, published=True)
                moved += before.key(number) != unit.run.key(number)
    assert moved or name != "table1"


def test_no_module_of_the_house_is_named_in_a_definition() -> None:
    for name in catalog.experiments():
        for _, plan in _plans(name, profiles.SMOKE):
            for unit in plan.cell_runs:
                text = canonical(unit.run.definition())
                for package in ("harness.", "msmae.", "baselines.", "experiments"):
                    assert package not in text


def test_a_subclass_does_not_inherit_the_name_of_its_parent() -> None:
    class Child(Before):
        pass

    assert describe(Child())["type"] != "test.settings"


def test_a_method_that_names_no_backbone_is_refused() -> None:
    from harness.spec.recipe import backbone_of

    class Mine:
        def build(self, dataset: object, backbones: object) -> object:
            raise NotImplementedError

    with pytest.raises(UserError, match="Mine does not say which backbone"):
        backbone_of(Mine())  # type: ignore[arg-type]


def test_a_method_sees_no_other_backbone_than_it_declares() -> None:
    backbones = profiles.PAPER.backbones.restricted(VIT)
    assert backbones.vit.width == 768 and backbones.grid == 14
    with pytest.raises(ValueError, match="declares the backbone 'vit' and is built on 'resnet'"):
        _ = backbones.resnet
    with pytest.raises(ValueError, match="is built on 'vit'"):
        _ = profiles.PAPER.backbones.restricted(None).vit


def test_streams_of_runs_that_version_0_1_could_not_have_are_their_keys() -> None:
    plan = make("table1", _table("table1"), Options(**_nowhere(profiles.PAPER)))
    other = dataclasses.replace(profiles.PAPER, train_images=999)
    run = dataclasses.replace(plan.cell_runs[0].run, profile=other)
    assert run.stream() == run.key() == digest(run.definition())
