"""The audit of the released code: generated from settings, each difference with its sources."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.audit import code, page
from harness.errors import UserError
from harness.methods.msmae import differences, paper
from harness.spec.compared import Compared, Sources

ROOT = Path(__file__).parent.parent.parent
SOURCES = Sources(text="Section 1", code="a file")


def test_all_differences_of_the_settings_have_sources() -> None:
    found = code.audit(differences.SETTINGS, differences.READINGS, differences.UNSET)
    values = {(d.where, d.setting): (d.text, d.code) for d in found.settings}
    assert values["pre-training", "msmae.weights"] == ("attention", "ones")
    assert values["pre-training", "msmae.softmax"] == ("once", "twice")
    assert values["recipe of the pre-training", "recipe.order"] == ("reshuffled", "fixed")
    assert values["segmentation", "segment.input_scale"] == ("once", "twice")
    assert {d.setting for d in found.readings} == {
        "msmae.head",
        "msmae.reconstruction",
        "finetune.pool",
        "recipe.lr_batch",
    }
    assert all(d.sources.text and d.sources.code for d in (*found.settings, *found.readings))
    assert all(u.sources.text and u.sources.code for u in found.unset)
    written = page.to_markdown(code.page(found))
    assert all(d.setting.rpartition(".")[2] in written.replace("\\", "") for d in found.settings)


def test_the_committed_page_is_that_of_the_settings() -> None:
    """``harness audit code --format md,json`` writes it anew."""
    found = code.audit(differences.SETTINGS, differences.READINGS, differences.UNSET)
    reports = ROOT / "reports"
    assert (reports / "audit_code.md").read_text("utf-8") == page.to_markdown(code.page(found))
    values = json.loads((reports / "audit_code.json").read_text("utf-8"))
    assert values == json.loads(json.dumps(found.to_json()))


def test_every_released_setting_of_the_paper_is_compared() -> None:
    compared = [pair.code for pair in differences.SETTINGS]
    released = [v for name, v in vars(paper).items() if name.isupper() and "RELEASED" in name]
    assert len(released) == 4
    assert all(any(value is other for other in compared) for value in released)
    assert {pair.text for pair in differences.SETTINGS} >= {
        paper.DESCRIBED,
        paper.FINETUNE_SAM,
        paper.SEGMENT,
        paper.SEGMENTATION,
    }
    assert [stage.recipe in compared for stage in paper.released()] == [True, True]


@pytest.mark.parametrize("pair", differences.SETTINGS, ids=lambda pair: pair.name)
def test_a_new_difference_without_a_source_is_refused(pair: Compared) -> None:
    first, *others = pair.sources
    lacking = replace(pair, sources={name: pair.sources[name] for name in others})
    with pytest.raises(UserError, match=f"{pair.name}: no source for {first}"):
        code.differences(lacking)


def test_a_source_without_a_difference_is_refused() -> None:
    stale = replace(differences.SETTINGS[0], sources={**differences.SETTINGS[0].sources,
                                                     "mask_ratio": SOURCES})  # fmt: skip
    with pytest.raises(UserError, match="a source, but no difference, for mask_ratio"):
        code.differences(stale)


@dataclass(frozen=True)
class Inner:
    scale: float = 1.0


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    other: int = 1


def test_nested_settings_are_compared_field_by_field() -> None:
    pair = Compared(
        name="x", text=Outer(), code=Outer(inner=Inner(2.0)), sources={"inner.scale": SOURCES}
    )
    (found,) = code.differences(pair)
    assert (found.setting, found.text, found.code) == ("Outer.inner.scale", 1.0, 2.0)
    with pytest.raises(UserError, match="two types cannot be compared: Outer and Inner"):
        code.differences(Compared(name="x", text=Outer(), code=Inner()))
