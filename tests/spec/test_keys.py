"""Keys of runs: every setting that acts changes them, no order of writing does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.canonical import canonical, digest
from harness.plan import catalog
from harness.plan.options import Options
from harness.plan.plan import Plan, make, make_all
from harness.seed import derive
from harness.spec import profiles
from harness.spec.table import Column, Table
from tests import prepared

NAME, TABLE = catalog.load("table1")
NOWHERE = Path("nowhere")
PAPER = Options(profile=profiles.PAPER, data=NOWHERE, runs=NOWHERE, seeds=(0,), unprepared=True)
"""The paper's size needs no data to be planned."""

RATIOS = st.integers(10, 49).map(lambda n: n / 100)
FIELDS = {
    "method.mask_ratio": RATIOS,
    "method.throw_ratio": RATIOS,
    "pretrain.method.classification_weight": st.floats(0, 10),
    "method.update_interval": st.integers(1, 200),
    "recipe.batch_size": st.sampled_from([16, 32, 64, 128, 256]),
    "pretrain.method.random_epochs": st.integers(0, 300),
    "finetune.recipe.base_lr": st.floats(1e-4, 1),
}
FLAGS = st.fixed_dictionaries({}, optional=FIELDS)

many = settings(max_examples=50, deadline=None)


def _flags(values: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(f"{path}={json.dumps(value)}" for path, value in values.items())


def _keys(options: Options, table: Table = TABLE) -> dict[tuple[str, str, int, int], str]:
    """Keys of every stage by row, data set, seed and place in the chain."""
    made: Plan = make(NAME, table, options)
    return {
        (unit.row.name, unit.run.dataset, unit.seed, num_stages): unit.run.key(num_stages)
        for unit in made.cell_runs
        for num_stages in range(1, len(unit.run.stages) + 1)
    }


def _msmae(*flags: str, **options: Any) -> dict[int, str]:
    asked = replace(PAPER, rows=("msmae",), datasets=("btmd",), overrides=flags, **options)
    return {place[-1]: key for place, key in _keys(asked).items()}


@many
@given(values=FLAGS, path=st.sampled_from(sorted(FIELDS)), data=st.data())
def test_every_setting_changes_the_keys_of_its_stage_and_of_those_after(
    values: dict[str, float], path: str, data: st.DataObject
) -> None:
    one, two = data.draw(FIELDS[path]), data.draw(FIELDS[path])
    assume(one != two)
    first, second = (_msmae(*_flags({**values, path: value})) for value in (one, two))
    # A pre-training does not depend on the fine-tuning that follows.
    assert (first[1] == second[1]) == path.startswith("finetune.")
    assert first[2] != second[2]


@many
@given(st.sets(st.integers(0, 2**31), min_size=2, max_size=4))
def test_seeds_have_keys_of_their_own(seeds: set[int]) -> None:
    keys = [key for seed in sorted(seeds) for key in _msmae(seeds=(seed,)).values()]
    assert len(set(keys)) == 2 * len(seeds)


def test_no_two_trainings_share_random_numbers() -> None:
    tables = [catalog.load(c.name) for c in catalog.experiments().values() if not c.sweep]
    plans = make_all(tables, replace(PAPER, seeds=(0, 1, 2, 3, 4)))
    keys = {step.key for plan in plans for step in plan.stage_runs}
    purposes = [("build",), *((what, epoch) for what in ("epoch", "step") for epoch in range(10))]
    streams = {derive(key, *purpose) for key in keys for purpose in purposes}
    assert len(keys) > 500
    assert len(streams) == len(keys) * len(purposes)


@many
@given(st.text(min_size=1), st.text(min_size=1))
def test_the_data_s_fingerprint_is_part_of_every_key(one: str, two: str) -> None:
    asked = replace(PAPER, rows=("msmae",), datasets=("btmd",))
    run = make(NAME, TABLE, asked).cell_runs[0].run
    for num_stages in (1, 2):
        same = replace(run, data=one).key(num_stages) == replace(run, data=two).key(num_stages)
        assert same == (one == two)


def test_another_store_under_the_same_name_has_other_keys(tmp_path: Path) -> None:
    prepared.ensure(tmp_path / "a")
    prepared.ensure(tmp_path / "b", size=48)
    options = Options(
        profile=profiles.SMOKE, datasets=("phantom-mri",), runs=NOWHERE, data=tmp_path / "a"
    )
    first, second = _keys(options), _keys(replace(options, data=tmp_path / "b"))
    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values())


def test_profiles_and_splits_have_keys_of_their_own() -> None:
    found = [
        set(_keys(replace(PAPER, profile=replace(profile, phantoms=False), split=split)).values())
        for profile in profiles.PROFILES.values()
        for split in ("paper", "clean")
    ]
    assert len(set.union(*found)) == sum(len(keys) for keys in found)


def test_a_profile_s_subset_and_encoder_change_keys() -> None:
    for other in (
        replace(profiles.PAPER, train_images=1000),
        replace(profiles.PAPER, eval_images=100),
        replace(profiles.PAPER, backbones=replace(profiles.PAPER.backbones, image_size=192)),
    ):
        keys, others = _keys(PAPER), _keys(replace(PAPER, profile=other))
        assert not set(keys.values()) & set(others.values())


@many
@given(data=st.data(), values=FLAGS)
@pytest.mark.slow
def test_no_order_of_writing_changes_a_key(data: st.DataObject, values: dict[str, float]) -> None:
    def shuffled(items: Any) -> tuple[Any, ...]:
        return tuple(data.draw(st.permutations(list(items))))

    flags = _flags(values)
    options = replace(PAPER, seeds=(0, 1), overrides=flags)
    rows = tuple(
        replace(row, printed=dict(shuffled(row.printed.items()))) for row in shuffled(TABLE.rows)
    )
    table = replace(TABLE, rows=rows, columns=shuffled(TABLE.columns))
    other = replace(
        options,
        seeds=shuffled((0, 1)),
        overrides=shuffled(flags),
        datasets=shuffled(c.dataset for c in TABLE.columns),
        rows=shuffled(row.name for row in TABLE.rows if row.stages is not None),
    )
    assert _keys(other, table) == _keys(options)


@many
@given(values=FLAGS, data=st.data())
def test_rows_and_columns_beside_a_run_do_not_change_its_key(
    values: dict[str, float], data: st.DataObject
) -> None:
    row = data.draw(st.sampled_from([row for row in TABLE.rows if row.stages is not None]))
    # Flags must fit a row that is there.
    options = replace(PAPER, overrides=_flags(values) if row.name == "msmae" else ())
    alone = _keys(options, replace(TABLE, rows=(row,), columns=(Column(dataset="btmd"),)))
    assert alone.items() <= _keys(options).items()
    assert len(alone) == len(row.chain())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def _reordered(value: Any, order: Iterator[bool]) -> Any:
    if isinstance(value, dict):
        items = [(k, _reordered(v, order)) for k, v in value.items()]
        return dict(reversed(items) if next(order) else sorted(items))
    return [_reordered(v, order) for v in value] if isinstance(value, list) else value


@many
@given(JSON, st.lists(st.booleans(), min_size=40, max_size=40))
def test_dictionaries_have_no_order(value: Any, order: list[bool]) -> None:
    assert digest(_reordered(value, iter(order))) == digest(value)


@many
@given(JSON, JSON)
def test_texts_are_equal_where_values_are(one: Any, two: Any) -> None:
    # 1, 1.0 and True are equal to Python; JSON's texts tell them apart.
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert (canonical(one) == canonical(two)) == same
