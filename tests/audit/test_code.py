"""The audit of the released code: generated from settings, each difference with its sources."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.audit import code, page
from harness.errors import UserError
from harness.methods.msmae import differences, paper
from harness.plan import catalog
from harness.spec.compared import EFFECTS, Compared, Sources, Unset

ROOT = Path(__file__).parent.parent.parent
SOURCES = Sources(text="Section 1", code="a file", effect="changes numbers", why="it is used")


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
    """``harness audit code --format md,tex,json`` writes it anew."""
    found = code.audit(differences.SETTINGS, differences.READINGS, differences.UNSET)
    reports = ROOT / "reports"
    written = code.page(found)
    texts = {"audit_code.md": page.to_markdown(written), **page.to_latex(written, "audit_code")}
    for name, text in texts.items():
        assert (reports / name).read_text("utf-8") == text
    values = json.loads((reports / "audit_code.json").read_text("utf-8"))
    assert values == json.loads(json.dumps(found.to_json()))


def test_every_difference_says_what_it_does_to_the_tables_what_matters_first() -> None:
    values = code.audit(differences.SETTINGS, differences.READINGS, differences.UNSET).to_json()
    lists = [values[name] for name in ("settings", "readings", "without_setting")]
    for entries in lists:
        assert all(entry["why"].strip() and "\n" not in entry["why"] for entry in entries)
        ranks = [EFFECTS.index(entry["effect"]) for entry in entries]
        assert ranks == sorted(ranks)
    found = [entry["effect"] for entries in lists for entry in entries]
    assert values["effects"] == {effect: found.count(effect) for effect in EFFECTS}
    assert all(values["effects"].values())
    by_setting = {(d["where"], d["setting"]): d["effect"] for d in lists[0]}
    assert by_setting["pre-training", "msmae.weights"] == "changes numbers"
    assert by_setting["segmentation", "segment.conv_bias"] == "changes cost only"


def test_what_cost_only_comes_after_is_sorted_not_listed_so() -> None:
    def unset(name: str, effect: str) -> Unset:
        sources = replace(SOURCES, effect=effect)  # type: ignore[arg-type]
        return Unset(name=name, text="", code="", sources=sources)

    given = [unset("c", EFFECTS[2]), unset("b", EFFECTS[1]), unset("a", EFFECTS[0]),
             unset("d", EFFECTS[0])]  # fmt: skip
    assert [u.name for u in code.audit((), (), given).unset] == ["a", "d", "b", "c"]


def test_settings_of_maps_that_no_table_reads_stand_beside_weights_of_one() -> None:
    """``random_epochs`` and ``update_rule`` change nothing where masks are drawn uniformly."""
    released = [
        stage.method
        for name in ("table1", "table2", "table3", "table7", "table8")
        for row in catalog.load(name)[1].rows
        if row.stages is not None
        for stage in row.chain()
        if getattr(stage.method, "random_epochs", None) == paper.RELEASED.random_epochs
        or getattr(stage.method, "update_rule", None) == paper.RELEASED.update_rule
    ]
    assert released
    assert all(method.weights == "ones" for method in released)  # type: ignore[attr-defined]


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
