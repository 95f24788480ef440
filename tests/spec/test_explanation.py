"""Explanations of low rows: where they hold, and that they name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.data import registry
from harness.errors import UserError
from harness.plan import catalog
from harness.spec.explanation import Explanation
from harness.spec.table import Table

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("explanation", "held"),
    [
        (Explanation(text="x"), {"smoke-generated", "smoke-real", "paper-generated", "paper-real"}),
        (Explanation(text="x", profile="smoke"), {"smoke-generated", "smoke-real"}),
        (Explanation(text="x", generated=True), {"smoke-generated", "paper-generated"}),
        (Explanation(text="x", profile="smoke", generated=True), {"smoke-generated"}),
    ],
)
def test_it_holds_under_its_profile_and_on_its_images(
    explanation: Explanation, held: set[str]
) -> None:
    assert held == {
        f"{profile}-{images}"
        for profile in ("smoke", "paper")
        for images in ("generated", "real")
        if explanation.covers(profile, "btmd", generated=images == "generated")
    }


def test_it_holds_on_its_data_set_alone() -> None:
    explanation = Explanation(text="x", dataset="btmd")
    assert explanation.covers("paper", "btmd", generated=False)
    assert not explanation.covers("paper", "busi", generated=False)


def test_an_unknown_profile_or_no_text_is_refused() -> None:
    with pytest.raises(UserError, match="profile 'smok'"):
        Explanation(text="x", profile="smok")
    with pytest.raises(UserError, match="say why"):
        Explanation(text="")


def test_shipped_explanations_name_pages_and_experiments_that_exist() -> None:
    texts, known = set(), {"", *registry.datasets()}
    for name in catalog.experiments():
        _, table = catalog.find(name)
        if isinstance(table, Table):
            told = [e for row in table.rows for e in row.explanations]
            texts |= {e.text for e in told}
            assert {e.dataset for e in told} <= known
    assert texts
    for text in texts:
        named = re.findall(r"`harness run (\w+)", text)
        pages = re.findall(r"docs/[\w-]+\.md", text)
        assert set(named) <= set(catalog.experiments())
        assert pages
        assert all((ROOT / page).is_file() for page in pages)
