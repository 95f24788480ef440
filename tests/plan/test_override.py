"""``--set``: what it changes, and what it refuses with which words."""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pytest

from harness.errors import UserError, shown
from harness.methods.baselines import mae, simclr
from harness.methods.msmae import paper
from harness.plan import catalog, override
from harness.spec.recipe import Recipe, Stage
from harness.spec.table import Row, Table

if TYPE_CHECKING:
    from harness.spec.backbones import BackboneSizes
    from harness.spec.dataset import Dataset
    from harness.train.task import Task


@dataclass(frozen=True, kw_only=True)
class Masked:
    backbone: ClassVar[None] = None

    mask_ratio: float = 0.45
    pool: Literal["mean", "class"] = "mean"
    ramp: tuple[float, float] = (0.0, 1.0)
    clip: float | None = None
    plain: bool = False

    def __post_init__(self) -> None:
        if self.mask_ratio >= 1:
            raise UserError(f"mask_ratio is {self.mask_ratio}; it must be below 1.")

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        raise NotImplementedError


RECIPE = Recipe(epochs=10, batch_size=4, base_lr=0.1)
OWN = Stage(
    phase="finetune",
    method=Masked(pool="class"),
    recipe=Recipe(epochs=50, batch_size=8, base_lr=0.2),
)
CHAIN = (
    Stage(phase="pretrain", method=Masked(), recipe=RECIPE),
    Stage(phase="finetune", method=Masked(mask_ratio=0.0), recipe=RECIPE),
)


def _set(*texts: str) -> tuple[Stage, ...]:
    (chain,) = override.apply([CHAIN], texts)
    return chain


def test_a_phase_limits_the_change() -> None:
    first, second = _set("finetune.recipe.epochs=3")
    assert (first.recipe.epochs, second.recipe.epochs) == (10, 3)
    first, second = _set("recipe.epochs=3")
    assert (first.recipe.epochs, second.recipe.epochs) == (3, 3)


def test_values_take_the_type_of_their_field() -> None:
    chain = _set(
        "method.mask_ratio=0",
        "method.pool=class",
        "method.ramp=[0.5, 2.0]",
        "method.clip=5",
        "method.plain=true",
    )
    method = chain[0].method
    assert method == Masked(mask_ratio=0.0, pool="class", ramp=(0.5, 2.0), clip=5.0, plain=True)
    assert isinstance(method.mask_ratio, float)  # type: ignore[attr-defined]
    assert _set("method.clip=none")[0].method == Masked()


def test_the_order_of_flags_does_not_matter() -> None:
    flags = ["recipe.epochs=3", "method.mask_ratio=0.2", "finetune.recipe.batch_size=2"]
    assert _set(*flags) == _set(*reversed(flags))
    first, second = _set("finetune.recipe.epochs=3", "recipe.epochs=5")
    assert (first.recipe.epochs, second.recipe.epochs) == (5, 3)
    assert _set("recipe.epochs=5", "finetune.recipe.epochs=3") == (first, second)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs=3", r"not of the form \[PHASE\.\]recipe\.FIELD=VALUE"),
        ("recipe.epochs", r"not of the form"),
        ("recipe.epoch=3", r"No recipe field 'epoch'\. Did you mean 'epochs'\?"),
        ("method.mask_ration=0.3", r"Did you mean 'mask_ratio'\?"),
        ("pretrian.recipe.epochs=3", r"No phase 'pretrian'\. Did you mean 'pretrain'\?"),
        ("recipes.epochs=3", r"No part of a stage 'recipes'\. Did you mean 'recipe'\?"),
        ("recipe.epochs=three", r"'three' is not a whole number"),
        ("recipe.epochs=2.5", r"'2\.5' is not a whole number"),
        ("recipe.epochs=true", r"'true' is not a whole number"),
        ("recipe.base_lr=NaN", r"'NaN' is not a number"),
        ("method.pool=max", r"'max' is not 'mean' or 'class'"),
        ("method.plain=1", r"'1' is not true or false"),
        ("method.clip=much", r"'much' is not a number or none"),
        ("recipe.epochs=0", r"recipe\.epochs is 0; allowed: a whole number from 1 to"),
        ("method.mask_ratio=1.5", r"mask_ratio is 1\.5; it must be below 1"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        _set(text)


@pytest.mark.parametrize(
    "value",
    ['["x"]', '["x",1]', "[0.9]", "[0.9,true]", "[0.9,0.9,0.9]", "[NaN,1]", "[1e999,1]", "[[1],1]",
     "[null,1]", "0.9", "{}", "", "[0.9,", "none"],
)  # fmt: skip
def test_ill_typed_lists_are_refused_in_one_line_with_an_example(value: str) -> None:
    with pytest.raises(UserError) as refused:
        _set(f"method.ramp={value}")
    text = str(refused.value)
    assert f"--set method.ramp={value}: {value!r} is not a list of 2: a number, a number" in text
    assert text.endswith("such as method.ramp=[0.5,0.5].")
    assert "\n" not in text


def test_lists_become_the_numbers_of_their_type() -> None:
    (first, _) = _set("method.ramp=[0, 0.5]")
    assert first.method.ramp == (0.0, 0.5)  # type: ignore[attr-defined]
    assert all(type(value) is float for value in first.method.ramp)  # type: ignore[attr-defined]


def test_an_unknown_field_of_a_method_is_told_with_the_methods_that_have_which() -> None:
    with pytest.raises(UserError) as refused:
        override.apply([paper.described(), mae.stages()], ["method.mask_ration=0.3"])
    text = str(refused.value)
    assert text.startswith("No method field 'mask_ration'. Did you mean 'mask_ratio'? Known: ")
    assert "mask_ratio (finetune, mae, msmae)" in text
    assert "classification_weight (msmae)" in text
    assert text.count("(") == 20 and text.endswith(" more.")


def test_a_field_of_another_phase_s_methods_is_told_with_that_phase() -> None:
    with pytest.raises(UserError) as refused:
        override.apply([mae.stages()], ["pretrain.method.pool=class"])
    assert str(refused.value) == (
        "--set pretrain.method.pool=class: no method of the phase 'pretrain' in the selected rows"
        " has the field 'pool'; set finetune.method.pool."
    )


@pytest.mark.parametrize(
    ("text", "expected"), [("3", 3), ("2", 2), ("none", None), ("4", ...), ("3.0", ...), ("x", ...)]
)
def test_choices_of_numbers(text: str, expected: object) -> None:
    chain = simclr.stages()
    if expected is ...:
        with pytest.raises(UserError, match=f"'{text}' is not 2 or 3 or none"):
            override.apply([chain], [f"method.head_layers={text}"])
        return
    (changed,) = override.apply([chain], [f"method.head_layers={text}"])
    assert changed[0].method == simclr.SimCLR(head_layers=expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["recipe.epochs=1e400", f"recipe.epochs={2**53 + 1}"])
def test_numbers_beyond_arithmetic_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="is not a whole number from 1 to 100000"):
        _set(text)


def _shipped() -> list[tuple[Stage, str, str, Any]]:
    """Return every field of every shipped method and recipe once, with a stage that has it."""
    found: dict[tuple[type, str], tuple[Stage, str, str, Any]] = {}
    for name in catalog.experiments():
        experiment = catalog.find(name)[1]
        rows = experiment.rows if isinstance(experiment, Table) else (experiment.row,)
        for row in rows:
            for stage in (*row.chain(), *row.finetunes.values()):
                for part in ("method", "recipe"):
                    owner = type(getattr(stage, part))
                    for field, kind in typing.get_type_hints(owner).items():
                        if field in {f.name for f in dataclasses.fields(owner)}:
                            found[owner, field] = (stage, part, field, kind)
    return list(found.values())


WRONG = ("[]", '["x"]', "[true]", "[null]", "{}", '{"a":1}', "[[0.5,0.5]]", "[1e999]", "\x00", "[")


@pytest.mark.parametrize(
    "case", _shipped(), ids=lambda case: f"{type(getattr(case[0], case[1])).__name__}.{case[2]}"
)
def test_no_field_of_any_method_takes_a_value_of_another_type(
    case: tuple[Stage, str, str, Any],
) -> None:
    stage, part, field, kind = case
    for wrong in WRONG:
        if kind == tuple[int, ...] and wrong == "[]":
            continue  # an empty list is of that type
        with pytest.raises(UserError) as refused:
            override.apply([(stage,)], [f"{part}.{field}={wrong}"])
        assert f"--set {part}.{field}={shown(wrong)}" in str(refused.value)
    # The value that it has, written as the command line writes it, changes nothing.
    value = getattr(getattr(stage, part), field)
    if not dataclasses.is_dataclass(value):
        written = "none" if value is None else value if isinstance(value, str) else None
        text = json.dumps(value) if written is None else written
        assert override.apply([(stage,)], [f"{part}.{field}={text}"]) == [(stage,)]


def test_a_field_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="more than once"):
        _set("recipe.epochs=3", "recipe.epochs=4")


def _rows() -> tuple[Row, ...]:
    scratch = Stage(phase="supervised", method=Masked(), recipe=RECIPE)
    return (
        Row(name="a", label="A", stages=CHAIN, finetunes={"own": OWN}),
        Row(name="b", label="B", stages=CHAIN),
        Row(name="c", label="C", stages=(scratch,), finetunes={"own": OWN}),
    )


def test_another_fine_tuning_replaces_the_last_stage_of_pretrained_rows_that_have_it() -> None:
    rows = _rows()
    plain = [row.stages for row in rows]
    assert override.finetunings(rows, ()) == plain
    assert override.finetunings(rows, ["recipe.epochs=3"]) == plain
    first, second, third = override.finetunings(rows, ["finetune=own", "recipe.epochs=3"])
    assert first == (CHAIN[0], OWN)
    assert (second, third) == (plain[1], plain[2])


def test_fields_are_set_on_top_of_another_fine_tuning() -> None:
    flags = ["finetune=own", "finetune.recipe.epochs=5"]
    (chain,) = override.apply(override.finetunings(_rows()[:1], flags), flags)
    assert (chain[0].recipe.epochs, chain[1].recipe.epochs) == (10, 5)
    assert (chain[1].recipe.base_lr, chain[1].method) == (0.2, Masked(pool="class"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["finetune=ownn"], r"No fine-tuning 'ownn'\. Did you mean 'own'\? Known: own\."),
        (["finetune=own", "finetune=own"], r"--set finetune=own is given more than once"),
        (["finetune=own", "finetune=other"], r"given more than once"),
    ],
)
def test_refused_fine_tunings(flags: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        override.finetunings(_rows(), flags)


def test_a_table_without_alternatives_knows_none() -> None:
    with pytest.raises(UserError, match=r"No fine-tuning 'own'\. Known: none\."):
        override.finetunings(_rows()[1:], ["finetune=own"])
    with pytest.raises(UserError, match="not of the form"):
        override.parse("pretrain=own")
