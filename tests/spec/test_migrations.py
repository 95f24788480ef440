"""Migrations of definitions: undone without loss, and no random stream moves with a key."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import migrations
from harness.canonical import canonical, describe, digest, renamed_from
from harness.errors import UserError
from harness.migrations import Migration
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.spec.profiles import SMOKE
from harness.spec.recipe import EPOCHS
from harness.streams import stream_name

NAMES = st.sampled_from("abc")
KINDS = st.sampled_from(["t", "u", "v"])
PLAIN = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.sampled_from("xy")
SETTINGS = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(NAMES, inner, max_size=3)
        | st.builds(lambda kind, rest: {**rest, "type": kind}, KINDS, st.dictionaries(NAMES, inner))
    ),
    max_leaves=6,
)
MIGRATIONS = st.builds(
    lambda types, fields, added: Migration(types=types, fields=fields, added=added),
    st.sampled_from([{}, {"t": "u"}, {"t": "v", "v": "t"}]),
    st.dictionaries(KINDS, st.sampled_from([{"a": "b"}, {"a": "b", "b": "a"}, {"c": "d"}])),
    st.dictionaries(KINDS, st.dictionaries(NAMES, PLAIN, max_size=2)),
)


def _run(setting: Any) -> dict[str, Any]:
    stage = {"phase": "pretrain", "method": setting, "recipe": None, "backbone": None}
    profile = {"image_size": 32, "train_images": 1, "eval_images": 1}
    return {"dataset": "d", "profile": profile, "stages": [stage], "seed": 0}


@settings(deadline=None)
@given(SETTINGS, st.lists(MIGRATIONS, max_size=3))
def test_no_migration_moves_a_stream(setting: Any, steps: list[Migration]) -> None:
    """What an older form could write has, as each later form writes it, the stream of then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", ())
        definition = _run(setting)
        stream = stream_name(definition)
        for number, step in enumerate(steps, 1):
            after = step.apply(definition)
            if canonical(step.undo(after)) != canonical(definition):
                return  # no store is brought over with it, see ``harness.store.migrate``
            definition = after
            patch.setattr(migrations, "MIGRATIONS", tuple(steps[:number]))
            assert stream_name(definition) == stream


@settings(deadline=None)
@given(SETTINGS, st.lists(MIGRATIONS, min_size=1, max_size=2))
def test_two_definitions_never_share_a_stream(setting: Any, steps: list[Migration]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", tuple(steps))
        moved = [function(setting) for step in steps for function in (step.apply, step.undo)]
        found = {canonical(d): stream_name(_run(d)) for d in (setting, *moved)}
        assert len(set(found.values())) == len(found)


def test_an_old_name_that_is_given_away_again_has_a_stream_of_its_own() -> None:
    step = Migration(types={"t": "u"})
    before = stream_name(_run({"type": "t"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", (step,))
        assert stream_name(_run({"type": "u"})) == before
        again = stream_name(_run({"type": "t"}))
        assert again != before
        # It keeps that, too, whatever comes later.
        patch.setattr(migrations, "MIGRATIONS", (step, Migration(types={"t": "w"})))
        assert stream_name(_run({"type": "w"})) == again


def test_a_migration_by_hand() -> None:
    step = Migration(types={"t": "u"}, fields={"u": {"a": "b", "b": "a"}}, added={"u": {"c": 1.0}})
    old = {"type": "t", "a": 1, "b": [{"type": "t"}], "x": {"a": 2}}
    new = {"type": "u", "b": 1, "a": [{"type": "u", "c": 1.0}], "x": {"a": 2}, "c": 1.0}
    assert step.apply(old) == new
    assert step.undo(new) == old
    assert step.undo({"type": "u", "c": 1}) == {"type": "t", "c": 1}  # 1.0 is not 1
    assert not step.can_undo({"type": "u"})


def test_a_renamed_type_that_ships_keeps_its_golden_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nowhere = Path("nowhere")
    profile = replace(SMOKE, phantoms=False)
    options = Options(profile=profile, data=nowhere, runs=nowhere, unprepared=True)
    before = {
        unit.row.name: (unit.run.definition(published=True), unit.run.stream())
        for unit in plan.make(*catalog.load("table1"), options).cell_runs
    }
    step = Migration(types={"mae": "masked-autoencoder"}, fields={"recipe": {"base_lr": "rate"}})
    monkeypatch.setattr(migrations, "MIGRATIONS", (step,))
    assert len(before) > 4
    for definition, stream in before.values():
        moved = step.apply(definition)
        assert digest(moved) != digest(definition)
        assert stream_name(moved) == stream


@dataclass(frozen=True, kw_only=True)
class Published:
    """Settings as they were published."""

    key_name: ClassVar[str] = "test.published"
    share: float = 0.5
    warmup: int = field(default=3, metadata=EPOCHS)


@dataclass(frozen=True, kw_only=True)
class Renamed:
    """The same under better names."""

    key_name: ClassVar[str] = "test.published"
    mask_share: float = field(default=0.5, metadata=renamed_from("share"))
    warmup_epochs: int = field(default=3, metadata={**EPOCHS, **renamed_from("warmup")})


def test_a_renamed_field_moves_no_key() -> None:
    assert describe(Renamed(mask_share=0.3)) == describe(Published(share=0.3))
    assert digest([Renamed()]) == digest([Published()])
    shown = describe(Renamed(), complete=True)  # readers see the present names
    assert shown == {"type": "test.published", "mask_share": 0.5, "warmup_epochs": 3}


def test_a_name_cannot_be_that_of_two_fields() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Twice:
        key_name: ClassVar[str] = "test.twice"
        share: float = 0.1
        mask_share: float = field(default=0.5, metadata=renamed_from("share"))

    with pytest.raises(UserError, match=r"call two fields of test\.twice 'share'"):
        describe(Twice())


def test_the_form_is_the_number_of_migrations() -> None:
    assert migrations.form() == migrations.FIRST + len(migrations.MIGRATIONS) >= 2
