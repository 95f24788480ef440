"""Rows are ranked only where tests over seeds and over images tell them apart."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from harness.evaluate.metrics import METRICS
from harness.report import data, latex, markdown, terminal
from harness.report.evidence import ImageEvidence
from harness.report.separation import Ties
from harness.report.values import Entry, Grid, GridColumn
from tests.report_cases import column, entry, grid, row

N = 400
Answers = Mapping[str, Sequence[np.ndarray]]
"""Whether each image is right, (N,), by row and seed."""


def _right(share: float, *, shift: int = 0) -> np.ndarray:
    """Return a model that is right about the first images after ``shift``, as a ring."""
    return np.roll((np.arange(N) < round(share * N)).astype(float), shift)


def _key(name: str, seed: int) -> str:
    return f"{name} {seed}"


def _evidence(answers: Answers, clusters: np.ndarray | None = None, **changes: Any) -> Any:
    numbers = {_key(n, s): v for n, rows in answers.items() for s, v in enumerate(rows)}
    values: dict[str, Any] = {
        "numbers": numbers,
        "drawn": False,
        "n": N,
        "clusters": clusters,
        "stream": ("data",),
        "lacking": {},
    }

    def images(column: GridColumn, entries: Sequence[Entry]) -> ImageEvidence:
        return ImageEvidence(**{**values, **changes})

    return images


def _entries(answers: Answers, collapsed: Sequence[str] = ()) -> list[Entry]:
    return [
        entry(name, float(right.mean()), seed=s, key=_key(name, s), collapsed=name in collapsed)
        for name, rows in answers.items()
        for s, right in enumerate(rows)
    ]


def _grid(
    answers: Answers,
    *,
    images: Any = None,
    collapsed: Sequence[str] = (),
    clusters: np.ndarray | None = None,
    **changes: Any,
) -> Grid:
    seeds = len(next(iter(answers.values())))
    return grid(
        [row(name) for name in answers],
        _entries(answers, collapsed),
        columns=(column(n=N),),
        images=images or _evidence(answers, clusters),
        seeds=tuple(range(seeds)),
        **changes,
    )


def _ranks(laid: Grid) -> dict[str, str | None]:
    return {r.row.name: r.cells["btmd"].rank for r in laid.rows}


def _places(laid: Grid) -> dict[str, tuple[int, int] | None]:
    return {r.row.name: r.cells["btmd"].ranks for r in laid.rows}


def _seeds(share: float, *steps: float) -> list[np.ndarray]:
    """Return one model per seed; the steps are added to the share."""
    return [_right(share + step) for step in steps]


CLEAR = {
    "a": _seeds(0.60, 0.0, 0.01, -0.01, 0.005, -0.005),
    "b": _seeds(0.90, 0.005, -0.01, 0.01, 0.0, -0.005),
    "c": _seeds(0.75, -0.01, 0.005, 0.0, 0.01, -0.005),
}


def test_a_clear_winner_is_best_and_the_next_second() -> None:
    laid = _grid(CLEAR)
    assert _ranks(laid) == {"a": None, "b": "best", "c": "second"}
    assert _places(laid) == {"a": (3, 3), "b": (1, 1), "c": (2, 2)}
    (ties,) = laid.ties
    assert (ties.images, ties.groups, ties.seeds) == (N, None, (0, 1, 2, 3, 4))
    assert all(p.p == max(p.seeds_p or 0.0, p.images_p or 0.0) for p in ties.pairs)
    assert all(p.adjusted >= (p.p or 0.0) for p in ties.pairs)
    lower = {**METRICS, "accuracy": replace(METRICS["accuracy"], better="lower")}
    assert _ranks(_grid(CLEAR, metrics=lower)) == {"a": "best", "b": None, "c": "second"}


def test_a_winner_by_one_image_in_every_seed_is_no_winner() -> None:
    steps = (0.0, 0.01, -0.01, 0.02, -0.02)
    # Both are right about 320 images or so, not the same ones; b about one more.
    answers = {"a": _seeds(0.8, *steps), "b": [_right(0.8 + s + 1 / N, shift=40) for s in steps]}
    laid = _grid(answers)
    for a, b in zip(*answers.values(), strict=True):
        assert b.sum() - a.sum() == 1 and np.abs(a - b).sum() > 70
    assert _ranks(laid) == {"a": None, "b": None}
    assert _places(laid) == {"a": (1, 2), "b": (1, 2)}
    (pair,) = laid.ties[0].pairs
    # The seeds alone would be sure; over new images it is a coin's throw.
    assert pair.seeds_p is not None and pair.seeds_p < 0.05
    assert pair.images_p is not None and pair.images_p > 0.8 and pair.better is None


def test_seeds_that_vary_make_a_tie_however_many_images() -> None:
    answers = {"a": _seeds(0.6, 0.0, 0.3), "b": _seeds(0.7, 0.2, 0.0)}
    (pair,) = _grid(answers).ties[0].pairs
    assert pair.images_p is not None and pair.images_p < 0.001
    assert pair.seeds_p is not None and pair.seeds_p > 0.5 and pair.better is None


def test_two_seeds_that_differ_alike_do_not_make_a_method_better() -> None:
    # Both seeds are better by the same three images: no spread at all, by rounding.
    answers = {"a": _seeds(0.80, 0.0, 0.05), "b": [_right(s + 3 / N) for s in (0.80, 0.85)]}
    (pair,) = _grid(answers).ties[0].pairs
    assert pair.seeds_p is not None and pair.seeds_p > 0.05


def test_lesions_with_many_images_are_less_certain() -> None:
    """The same answers: 12 images alone, or 12 images of two lesions."""
    steps = (0.0, 0.001, -0.001)
    answers = {"a": _seeds(0.80, *steps), "b": _seeds(0.83, *steps)}
    alone = _grid(answers).ties[0]
    # Images 320 to 331, where the rows differ, are of two lesions.
    together = _grid(answers, clusters=np.arange(N) // 6).ties[0]
    assert alone.pairs[0].images_p is not None and alone.pairs[0].images_p < 0.01
    assert together.pairs[0].images_p is not None and together.pairs[0].images_p > 0.2
    assert (alone.best, together.best) == ("b", None)
    assert together.groups == 67
    note = next(n for n in _grid(answers, clusters=np.arange(N) // 6).notes if "Ties" in n.label)
    assert "over 400 images in 67 groups" in note.text


def test_without_a_best_there_is_no_second_but_ranks_that_stay_open() -> None:
    steps = (0.0, 0.01, -0.01, 0.005, -0.005)
    answers = {
        "top": _seeds(0.902, *steps),
        "twin": _seeds(0.90, *reversed(steps)),
        "low": _seeds(0.60, *steps),
    }
    laid = _grid(answers)
    assert _ranks(laid) == {"top": None, "twin": None, "low": None}
    assert _places(laid) == {"top": (1, 2), "twin": (1, 2), "low": (3, 3)}
    remarks = {r.row.name: r.cells["btmd"].remarks for r in laid.rows}
    assert remarks == {"top": ("rank 1–2",), "twin": ("rank 1–2",), "low": ("rank 3",)}
    assert "(rank 1–2)" in markdown.render(laid)
    assert r"\textit{(rank 1--2)}" in latex.render(laid)
    console = Console(width=200, record=True, file=io.StringIO())
    terminal.show(laid, console)
    shown = console.export_text()
    assert "(rank 1–2)" in shown and "Ties, BTMD: 2 of 3 pairs" in shown
    content = json.loads(json.dumps(data.to_json(laid), allow_nan=False))
    assert [r["cells"]["btmd"]["ranks"] for r in content["rows"]] == [[1, 2], [1, 2], [3, 3]]
    (ties,) = content["ties"]
    assert (ties["best"], ties["of"], ties["separable_pairs"]) == (None, "methods", 2)


def test_one_seed_compares_trained_models_and_marks_nothing() -> None:
    answers = {name: rows[:1] for name, rows in CLEAR.items()}
    laid = _grid(answers)
    assert set(_ranks(laid).values()) == {None}
    assert _places(laid) == {"a": (3, 3), "b": (1, 1), "c": (2, 2)}
    (ties,) = laid.ties
    assert (ties.of_methods, ties.best, ties.ratio, ties.within) == (False, None, None, None)
    (note,) = [n for n in laid.notes if n.label == "Ties, BTMD"]
    assert note.text == (
        "3 of 3 pairs of 3 rows are separable (paired over 400 images; Holm, 0.05);"
        " these trained models; one seed says nothing of methods;"
        " spread of methods over spread of seeds: unknown"
    )
    assert data.to_json(laid)["ties"][0]["of"] == "trained models"


def test_a_collapsed_row_is_not_ranked_even_where_its_number_is_highest() -> None:
    answers = {"collapsed": _seeds(0.95, 0.0, 0.0, 0.0, 0.0, 0.0), **CLEAR}
    laid = _grid(answers, collapsed=("collapsed",))
    assert _ranks(laid) == {"collapsed": None, "a": None, "b": "best", "c": "second"}
    assert _places(laid)["collapsed"] is None
    (ties,) = laid.ties
    assert ties.unranked == {"collapsed": "collapsed"} and ties.rows == ("a", "b", "c")
    (note,) = [n for n in laid.notes if n.label == "Ties, BTMD"]
    assert note.text.endswith("; not ranked: COLLAPSED (collapsed)")


def test_one_collapsed_seed_is_enough() -> None:
    entries = [replace(e, collapsed=e.row == "b" and e.seed == 3) for e in _entries(CLEAR)]
    laid = grid(
        [row(n) for n in CLEAR], entries, columns=(column(n=N),), seeds=tuple(range(5)),
        images=_evidence(CLEAR),
    )  # fmt: skip
    assert laid.ties[0].unranked == {"b": "collapsed"}


def test_kappa_zero_is_never_best() -> None:
    """A row whose seeds all answer as well as a constant is not ranked, whoever is below it."""
    kappa = replace(column(n=N), column=replace(column().column, metric="kappa"), majority=0.0)
    rows, values = ("zero", "below"), {"zero": (0.0, 0.0, 0.0), "below": (-0.4, -0.41, -0.39)}
    entries = [
        entry(n, v, seed=s, column=kappa.column.name) for n in rows for s, v in enumerate(values[n])
    ]
    laid = grid([row(n) for n in rows], entries, columns=(kappa,), seeds=(0, 1, 2))
    (ties,) = laid.ties
    assert ties.unranked == {"zero": "equal to a constant answer"}
    assert {r.cells[kappa.column.name].rank for r in laid.rows} == {None}


def test_a_single_row_is_no_winner_and_incomplete_rows_are_not_compared() -> None:
    alone = _grid({"b": CLEAR["b"]})
    assert (_ranks(alone), _places(alone)) == ({"b": None}, {"b": None})
    entries = [e for e in _entries(CLEAR) if (e.row, e.seed) != ("b", 2)]
    laid = grid(
        [row(n) for n in CLEAR], entries, columns=(column(n=N),), seeds=tuple(range(5)),
        images=_evidence(CLEAR),
    )  # fmt: skip
    assert _ranks(laid) == {"a": "second", "b": None, "c": "best"}
    assert _places(laid)["b"] is None


def test_without_predictions_seeds_decide_and_the_note_says_so() -> None:
    laid = grid(
        [row(n) for n in CLEAR], _entries(CLEAR), columns=(column(n=N),), seeds=tuple(range(5))
    )
    assert _ranks(laid)["b"] == "best"
    (note,) = [n for n in laid.notes if n.label == "Ties, BTMD"]
    assert "paired over 5 seeds; Holm" in note.text
    assert "images were not resampled (no predictions are kept)" in note.text
    partly = {n: rows for n, rows in CLEAR.items() if n != "c"}
    lacking = {_key("c", s): "the predictions are missing" for s in range(5)}
    laid = _grid(CLEAR, images=_evidence(partly, lacking=lacking))
    (note,) = [n for n in laid.notes if n.label == "Ties, BTMD"]
    told = "images were not resampled for 2 of 3 pairs (C: the predictions are missing)"
    assert told in note.text
    one = {name: rows[:1] for name, rows in CLEAR.items()}
    laid = grid([row(n) for n in one], _entries(one), columns=(column(n=N),))
    assert laid.ties[0].pairs[0].p is None
    assert set(_places(laid).values()) == {(1, 3)}


def test_the_correction_is_over_all_pairs_of_the_column() -> None:
    """A difference that is significant by itself is none among fifteen pairs."""
    steps = (0.0, 0.001, -0.001)
    answers = {"a": _seeds(0.80, *steps), "b": _seeds(0.82, *steps)}
    (alone,) = _grid(answers).ties[0].pairs
    assert alone.better == "b" and 0.001 < (alone.p or 0.0) < 0.05
    others = {f"x{i}": _seeds(0.80, *steps) for i in range(4)}
    pairs = _grid({**answers, **others}).ties[0].pairs
    (among,) = [p for p in pairs if (p.first, p.second) == ("a", "b")]
    assert len(pairs) == 15 and among.p == alone.p and among.better is None


def test_the_spread_of_methods_is_what_seeds_do_not_explain() -> None:
    (ties,) = _grid(CLEAR).ties
    means = [100 * np.mean([v.mean() for v in rows]) for rows in CLEAR.values()]
    within = np.mean([np.var([100 * v.mean() for v in rows], ddof=1) for rows in CLEAR.values()])
    assert ties.within == pytest.approx(within**0.5)
    assert ties.between == pytest.approx((np.var(means, ddof=1) - within / 5) ** 0.5)
    assert ties.ratio == pytest.approx((ties.between or 0) / (ties.within or 1))
    # Three times the same method: the spread of the means is what five seeds explain.
    steps = (0.05, -0.05, 0.02, -0.02, 0.0)
    same = {n: _seeds(0.7, *np.roll(steps, i)) for i, n in enumerate("abc")}
    (ties,) = _grid(same).ties
    assert (ties.between, ties.ratio) == (0.0, 0.0)


def test_a_resampled_metric_is_compared_by_its_standard_error() -> None:
    random = np.random.default_rng(0)
    shared = random.normal(0, 0.05, 200)
    drawn = {
        "a": [0.5 + shared, 0.51 + shared, 0.49 + shared],
        "b": [0.6 + shared + random.normal(0, 0.01, 200) for _ in range(3)],
    }
    entries = [
        entry(n, 0.5 + 0.1 * (n == "b") + 0.001 * s, seed=s, key=_key(n, s))
        for n in drawn
        for s in range(3)
    ]
    laid = grid(
        [row(n) for n in drawn], entries, columns=(column(n=N),), seeds=(0, 1, 2),
        images=_evidence(drawn, drawn=True),
    )  # fmt: skip
    (pair,) = laid.ties[0].pairs
    # What both rows share within a resample (sd 0.05) does not count, only the rest (0.006).
    assert pair.images_p is not None and pair.images_p < 1e-6 and pair.better == "b"


def test_equal_tables_give_equal_ties() -> None:
    def ties(names: Sequence[str]) -> list[Ties]:
        return list(_grid({n: CLEAR[n] for n in names}).ties)

    assert ties("abc") == ties("abc")
    assert {(p.images_p, p.seeds_p) for p in ties("abc")[0].pairs} == {
        (p.images_p, p.seeds_p) for p in ties("cba")[0].pairs
    }
