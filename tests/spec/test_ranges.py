"""Every numeric setting has a range in its type, and is refused outside of it in one line."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, replace
from typing import Annotated, Any

import pytest
from msgspec import Meta

from harness import ranges
from harness.canonical import describe
from harness.errors import UserError
from harness.evaluate.metrics import METRICS
from harness.plan.options import Options
from harness.spec import profiles
from harness.spec.backbones import BACKBONES
from harness.spec.claim import Claim, Ordering, one_image
from harness.spec.costs import COSTS
from harness.spec.printed import Printed
from harness.spec.profile import Scale
from harness.spec.recipe import Recipe
from harness.spec.space import Choice, Real, SumAtMost, Whole
from harness.spec.sweep import Sweep
from harness.spec.table import Curve, Panels, Row, Table
from tests import settings_values as values

RECIPE = Recipe(epochs=10, batch_size=32, base_lr=0.1)
ROW = Row(name="row", label="Row", stages=None, printed={"btmd": 1.0}, usual_batch={"finetune": 8})
SAMPLES: dict[str, Any] = {
    "Recipe": replace(RECIPE, schedule="steps", milestones=(2, 4)),
    "Scale": Scale(),
    "Profile": profiles.LAPTOP,
    "BackboneSizes": profiles.LAPTOP.backbones,
    "VitSize": BACKBONES["vit"].sizes["smoke"],
    "SwinSize": BACKBONES["swin"].sizes["smoke"],
    "ResNetSize": BACKBONES["resnet"].sizes["smoke"],
    "Real": Real(name="x", fields=(), low=0.0, high=1.0, step=0.5, digits=3),
    "Whole": Whole(name="x", fields=(), low=1, high=5),
    "SumAtMost": SumAtMost(name="sum", dimensions=(), total=1.0),
    "Row": ROW,
    "Table": Table(title="", source="", rows=(ROW,), columns=(), seeds=(0,)),
    "Panels": Panels(name="", title="", source=""),
    "Curve": Curve(name="", title="", level=0.5),
    "Options": Options(profile=profiles.SMOKE, seeds=(0,)),
    "Quantity": None,
    "Margin": one_image(100),
    "Printed": Printed("83.6", runs=3, images=233),
    "Claim": Claim(
        name="x", text="", source="", decided_by=(Ordering(row="a", than="b", column="c"),), holds=1
    ),
    "Choice": Choice(name="x", fields=(), choices=(0, 2.5, "a", True)),
    "Metric": METRICS["accuracy"],
    "CostQuantity": COSTS["training_macs"],
}
"""An object of each type whose fields have no defaults; None for a type that has none itself."""

UNBOUNDED = {("Row", "printed"), ("Choice", "choices")}
"""What the paper prints, whatever it is, and values of settings that have ranges of their own."""

TYPES = values.settings_types()
every_type = pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__qualname__)


def _sample(kind: type) -> Any:
    if kind is Sweep:
        from harness.plan import catalog

        return catalog.load_sweep("sweep_masking")[1]
    if kind.__name__ in SAMPLES:
        return SAMPLES[kind.__name__]
    return kind(classes=4) if kind.__name__ == "Mixing" else kind()


def test_all_types_of_settings_are_found() -> None:
    names = {kind.__name__ for kind in TYPES}
    assert {"Recipe", "Scale", "Profile", "VitSize", "SwinSize", "ResNetSize", "BackboneSizes"} < (
        names
    )
    assert {"MSMAE", "AMT", "MAE", "SimMIM", "MoCoV3", "SimCLR", "ContrastiveCrop"} < names
    assert {"Finetune", "Segment", "Swin", "ResNet50", "Colour", "Erasing"} < names
    assert {"Augmentation", "RandAugment", "Real", "Whole", "Sweep", "Row", "Table"} < names


@every_type
def test_every_number_has_a_lower_and_an_upper_bound(kind: type) -> None:
    for name, declared in values.numeric(kind):
        if (kind.__name__, name) in UNBOUNDED:
            continue
        for number, metas in values.leaves(declared):
            low, high, _, _ = values.bounds(number, metas)
            assert math.isfinite(low) and math.isfinite(high), f"{kind.__name__}.{name}"
            assert low < high


@every_type
def test_numbers_out_of_range_are_refused_when_an_object_is_made(kind: type) -> None:
    sample = _sample(kind)
    if sample is None:
        return
    for name, declared in values.numeric(kind):
        old = getattr(sample, name)
        for number, metas in values.leaves(declared):
            if (kind.__name__, name) in UNBOUNDED:
                continue
            for value in values.beyond(number, metas):
                given = values.put(declared, value, old)
                with pytest.raises(UserError) as refused:
                    replace(sample, **{name: given})
                text = str(refused.value)
                assert f".{name} is " in text and "; allowed: " in text, text
                assert "\n" not in text and len(text) < 400


@every_type
def test_ranges_and_published_values_agree(kind: type) -> None:
    sample = _sample(kind)
    if sample is not None:
        ranges.check(sample)
        assert replace(sample) == sample


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip_norm": -1.0}, "recipe.clip_norm is -1.0; allowed: a number from 1e-06 to 1000000"),
        ({"layer_decay": -0.75}, "layer_decay is -0.75; allowed: a number above 0 and at most 1"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0; allowed: a number from 0 to 10"),
        ({"min_lr": 0.2}, "recipe.min_lr is 0.2; allowed: 0 to 0.0125, the peak learning rate"),
        ({"warmup_lr": 1.0, "warmup_epochs": 2}, "recipe.warmup_lr is 1.0; allowed: 0 to 0.0125"),
        ({"lr_batch": 0}, "recipe.lr_batch is 0; allowed: a whole number from 1"),
        ({"betas": (1.5, 2)}, "recipe.betas is [1.5, 2]; allowed: a list of 2: a number from 0 to"),
        ({"betas": (0.9,)}, "recipe.betas is [0.9]; allowed: a list of 2"),
        ({"momentum": 1.5}, "recipe.momentum is 1.5; allowed: a number from 0 to below 1"),
        ({"warmup_epochs": 11}, "recipe.warmup_epochs is 11; allowed: 0 to 10"),
        ({"batch_size": 0}, "recipe.batch_size is 0"),
        ({"epochs": -1}, "recipe.epochs is -1"),
        ({"epochs": 10**400}, "recipe.epochs is a whole number of about 401 digits"),
        ({"epochs": True}, "recipe.epochs is true"),
        ({"epochs": 2.0}, "recipe.epochs is 2.0"),
        ({"base_lr": math.nan}, "recipe.base_lr is nan"),
        ({"base_lr": "0.1"}, "recipe.base_lr is '0.1'"),
        ({"optimizer": "adamx"}, "recipe.optimizer is 'adamx'; allowed: 'adamw' or 'adam'"),
        ({"milestones": (4, 2)}, "recipe.milestones is [4, 2]; allowed: epochs above 0 in rising"),
        ({"base_lr": 300.0, "weight_decay": 0.5}, "allowed: below 0.0266667, one over the peak"),
    ],
)
def test_settings_that_undo_a_training_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        replace(RECIPE, **changes)
    assert message in str(refused.value)


def test_a_rate_that_a_schedule_does_not_use_is_not_compared() -> None:
    replace(RECIPE, schedule="steps", milestones=(5,), min_lr=1.0)
    replace(RECIPE, warmup_lr=1.0, warmup_epochs=0)
    replace(RECIPE, optimizer="adam", base_lr=300.0, weight_decay=0.5)


@dataclass(frozen=True, kw_only=True)
class Inner:
    share: ranges.Share = 0.5


@dataclass(frozen=True, kw_only=True)
class Outer:
    """A plug-in's settings, which do not check themselves; some types cannot be found."""

    inner: Inner = Inner()
    rate: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    unknown: NoSuchType = 1.0  # type: ignore[name-defined]  # noqa: F821
    anything: Any = None


@pytest.mark.parametrize(
    "wrong",
    [
        Outer(rate=1.0),
        Outer(inner=Inner(share=2.0)),
        Outer(unknown=math.nan),
        Outer(unknown=10**400),
        Outer(anything=[1.0, math.inf]),
    ],
)
def test_settings_of_a_plug_in_are_checked_at_any_depth(wrong: Outer) -> None:
    ranges.check_all({"rows": [Outer()]})
    with pytest.raises(UserError, match=r"(Outer|Inner)\.\w+ is .*; allowed: "):
        ranges.check_all({"rows": [wrong]})


def test_a_range_is_no_part_of_a_key() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Outer:
        inner: Any = Inner()
        rate: float = 0.5
        unknown: float = 1.0
        anything: Any = None

    here = globals()["Outer"]()
    assert describe(Outer())["rate"] == describe(here)["rate"]
    assert {k: v for k, v in describe(here).items() if k != "type"} == {
        k: v for k, v in describe(Outer()).items() if k != "type"
    }
    assert [f.name for f in dataclasses.fields(here)] == ["inner", "rate", "unknown", "anything"]
