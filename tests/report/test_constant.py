"""Footnotes of rows that score no better than a constant answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.evaluate import registry
from harness.report import data, latex, markdown
from harness.report.constant import UNEXPLAINED
from harness.report.terminal import show
from harness.report.values import Grid
from harness.spec.explanation import Explanation
from harness.spec.table import Column
from tests.report_cases import STAGES, column, entry, grid, row

WHY = Explanation(
    text="too few epochs (docs/demo.md)", profile="smoke", dataset="btmd", generated=True
)
LOW = "no better than a constant answer (Majority class): "


def _marked(made: Grid, name: str = "btmd") -> dict[str, tuple[str, ...]]:
    return {r.row.name: r.cells[name].marks for r in made.rows}


def _texts(made: Grid) -> dict[str, str]:
    return {note.label: note.text for note in made.footnotes}


def test_rows_at_or_below_the_majority_class_are_marked_and_others_are_not() -> None:
    # The majority class has 309 of 1000 images.
    values = {"below": 0.308, "equal": 0.309, "above": 0.345, "collapsed": 0.309}
    runs = [entry(name, value, collapsed=name == "collapsed") for name, value in values.items()]
    made = grid([row(name) for name in (*values, "missing")], [*runs])
    marked = {"below": ("a",), "equal": ("a",), "above": (), "collapsed": ("a",), "missing": ()}
    assert _marked(made) == marked
    assert _texts(made) == {"a": LOW + UNEXPLAINED}


def test_an_accuracy_is_clearly_better_where_its_interval_over_images_is() -> None:
    # Wilson's 95 % interval of k of 1000 begins at 0.3074 for k = 336 and at 0.3103 for k = 339;
    # the majority class has 0.309. More seeds on the same images say nothing of other images.
    runs = [entry("near", 0.336, seed=s) for s in range(3)]
    runs += [entry("clear", 0.339, seed=s) for s in range(3)]
    made = grid([row("near"), row("clear")], runs, seeds=(0, 1, 2))
    assert _marked(made) == {"near": ("a",), "clear": ()}
    assert _texts(made)["a"].startswith("not clearly better (Wilson's 95 % over images) than")
    kappa = column(column=Column(dataset="btmd", metric="kappa"), majority=0.0)
    runs = [entry("near", 0.001, column="btmd.kappa")]
    assert _texts(grid([row("near")], runs, columns=[kappa])) == {}


def test_the_mean_over_seeds_decides_even_if_it_is_rounded() -> None:
    # 3 x 0.309 / 3 is not 0.309 in floating point for all orders of summation.
    seeds = range(3)
    runs = [entry("equal", 0.309, seed=s) for s in seeds]
    runs += [entry("above", 0.344 + 0.001 * s, seed=s) for s in seeds]
    made = grid([row("equal"), row("above")], runs, seeds=(0, 1, 2))
    assert _marked(made) == {"equal": ("a",), "above": ()}


def test_a_reason_is_named_only_where_it_was_measured() -> None:
    runs = [entry("a", 0.2), entry("b", 0.2)]
    rows = [row("a", explanations=(WHY,)), row("b")]
    phantom = [column(phantom=True)]
    made = grid(rows, runs, columns=phantom, profile="smoke")
    assert _texts(made) == {"a": LOW + WHY.text, "b": LOW + UNEXPLAINED}
    assert _marked(made) == {"a": ("a",), "b": ("b",)}
    for elsewhere in (
        grid(rows, runs, columns=phantom, profile="laptop"),
        grid(rows, runs, profile="smoke"),
        grid(rows, runs, columns=phantom, profile="smoke", overrides=("recipe.epochs=3",)),
    ):
        assert _texts(elsewhere) == {"a": LOW + UNEXPLAINED}


def test_a_probe_is_not_explained_by_what_concerns_fine_tuning() -> None:
    probe = column(column=Column(dataset="btmd", probe="linear"), phantom=True)
    runs = [entry("a", 0.2, column=probe.column.name)]
    probed = row("a", stages=(replace(STAGES[0], phase="pretrain"),), explanations=(WHY,))
    made = grid([probed], runs, columns=[probe], profile="smoke")
    assert _texts(made) == {"a": LOW + UNEXPLAINED}


def test_the_best_constant_answer_counts_in_the_direction_of_the_metric() -> None:
    constants: dict[str, dict[str, float | None]] = {
        "f1": {"background": 0.17, "foreground": 0.123},
        "hd95": {"background": None, "foreground": 88.0},
    }
    columns = [
        column(
            column=Column(dataset="busi", metric=name),
            majority=None,
            constants=constants[name],
        )
        for name in constants
    ]
    runs = [
        entry("a", 0.15, column="busi.f1"),  # above one constant answer, below the better one
        entry("b", 0.2, column="busi.f1"),
        entry("a", 90.0, column="busi.hd95"),  # a distance: higher is worse
        entry("b", 87.0, column="busi.hd95"),
    ]
    made = grid([row("a"), row("b")], runs, columns=columns, metrics=registry.known())
    assert _marked(made, "busi.f1") == {"a": ("a",), "b": ()}
    assert _marked(made, "busi.hd95") == {"a": ("b",), "b": ()}
    background, foreground = _texts(made).values()
    assert "(All background)" in background
    assert "(All foreground)" in foreground


def test_every_format_shows_the_mark_and_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [entry("a", 0.2)]
    made = grid(
        [row("a", explanations=(WHY,))], runs, columns=[column(phantom=True)], profile="smoke"
    )
    assert WHY.text in markdown.render(made)
    assert "too few epochs" in latex.render(made)
    show(made)
    assert "too few epochs" in capsys.readouterr().out
    (note,) = data.to_json(made)["footnotes"]
    assert note == {"label": "a", "text": LOW + WHY.text}
