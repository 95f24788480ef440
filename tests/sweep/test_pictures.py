"""Pictures of a study: formats, data, captions and labels in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from harness.report import style
from harness.sweep import naming, report
from harness.sweep.figures import HOW, heatmap_figure, pictures
from harness.sweep.values import Line, Sheet
from tests.report_cases import CONTEXT


def _sheet(*macs: float) -> Sheet:
    trials = tuple(
        Line(
            number=n,
            state="complete",
            values={"mask_ratio": 0.1 * n, "recipe.epochs": n},
            accuracy=0.5 - 0.01 * n,
            macs=each,
            epochs=1,
            key="k" * 64,
            front=n == 0,
        )
        for n, each in enumerate(macs)
    )
    return Sheet(
        context=replace(CONTEXT, name="sweep"), title="A sweep", study="s", dataset="btmd",
        data="d" * 64, n=100, kept="", sampler="tpe", pruner="none",
        dimensions=("mask_ratio", "recipe.epochs"),
        levels={"mask_ratio": None, "recipe.epochs": None},
        heatmap=("mask_ratio", "recipe.epochs"), trials=trials, importances={},
        importance_error="", settings=(), notes=(),
    )  # fmt: skip


def test_every_picture_has_formats_data_and_caption(tmp_path: Path) -> None:
    written = report.write(_sheet(1e12, 2e12), tmp_path, ("json",))
    endings = ("svg", "pdf", "png", "json", "txt")
    expected = {f"sweep-{name}.{e}" for name in naming.PICTURES for e in endings}
    assert {p.name for p in written} == {"sweep.json", *expected}
    data = json.loads((tmp_path / "sweep-heat.json").read_text())
    assert [t["accuracy"] for t in data["trials"]] == [0.5, 0.49]
    assert data["caption"] in (tmp_path / "sweep-heat.txt").read_text()
    assert set(naming._paths(tmp_path, "sweep", ("json",))) == set(written)


def test_axes_are_named_in_words() -> None:
    with style.applied(HOW):
        axes = heatmap_figure(_sheet(1e12, 2e12)).axes[0]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("mask ratio", "recipe, epochs")


def test_trials_that_cannot_be_drawn_are_told() -> None:
    for picture in pictures(_sheet(1e12, 1e308)):
        assert "1 value that cannot be drawn (beyond ±1e+100) is left out." in picture.caption
        assert picture.files("sweep")
    assert [p.name for p in pictures(_sheet(1e308))] == []
