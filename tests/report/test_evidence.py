"""Kept predictions are matched by the images' names, never by their order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.parts import part_of
from harness.data.prepared import ImageStore, open_store
from harness.evaluate import by_image, metrics
from harness.plan import plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.report import collect, evidence
from harness.report.evidence import KeptPredictions
from harness.report.grid import lay_out
from harness.report.values import Grid
from harness.spec import profiles
from harness.spec.recipe import Recipe, Stage
from harness.spec.table import Column, Row, Table
from harness.stats import resample
from harness.store.record import Records
from harness.store.result import EpochEvaluation, Evaluation
from tests import prepared, records
from tests.one_layer import Segment

FAMILY = "phantom-mri"
N = 48
Spoil = Callable[[dict[str, np.ndarray]], None]


def _plan(folder: Path, *names: str, seeds: int, metric: str = "accuracy") -> Plan:
    rows = tuple(
        Row(
            name=name,
            label=name.upper(),
            stages=(
                Stage(
                    phase="supervised",
                    method=Segment(0.0),
                    recipe=Recipe(epochs=1, batch_size=8, base_lr=0.1 * (1 + i), lr_batch=None),
                ),
            ),
        )
        for i, name in enumerate(names)
    )
    columns = (Column(dataset=FAMILY, metric=metric),)
    table = Table(title="Rows", source="", rows=rows, columns=columns)
    options = Options(
        profile=replace(profiles.SMOKE, train_images=32, eval_images=N),
        rule="last",
        data=folder / "data",
        runs=folder / "runs",
        seeds=tuple(range(seeds)),
    )
    return plan.make("rows", table, options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepared.ensure(tmp_path / "data", FAMILY, size=32)
    return tmp_path


def _part(made: Plan) -> ImageStore:
    (column,) = made.columns
    store = open_store(made.options.data, column.used.name)
    return part_of(store, column.split, made.options.profile, "reported")


def _plant(
    made: Plan, row: str, seed: int, wrong: Sequence[int], spoil: Spoil = lambda _: None
) -> None:
    """Write the record and the predictions of a model that is wrong about some images."""
    (run,) = [c.run for c in made.cell_runs if (c.row.name, c.seed) == (row, seed)]
    part = _part(made)
    answers = part.labels.copy()
    answers[list(wrong)] = (answers[list(wrong)] + 1) % 4
    probabilities = np.full((N, 4), 0.1, np.float32)
    probabilities[np.arange(N), answers] = 0.7
    kept = {
        "last": probabilities,
        "best": probabilities,
        "labels": part.labels.copy(),
        "names": np.asarray(part.names),
    }
    point = EpochEvaluation(
        epoch=0,
        metrics=metrics.evaluate(probabilities, part.labels),
        correct=N - len(wrong),
        collapsed=False,
    )
    spoil(kept)
    store = Records(made.options.runs)
    record = records.record(run.key(), run.definition())
    evaluation = Evaluation(n=N, classes=(12,) * 4, last=point, best=point)
    result = records.result(
        evaluation=evaluation, predictions=store.write_predictions(run.key(), kept)
    )
    store.write(dataclasses.replace(record, result=result))


def _grid(made: Plan) -> Grid:
    context = collect.context(made, command="", device="some CPU")
    return lay_out(
        made.table,
        collect.entries(made),
        collect.column_contexts(made),
        context,
        images=KeptPredictions(made),
    )


def _shuffle(kept: dict[str, np.ndarray]) -> None:
    order = np.random.default_rng(5).permutation(N)
    for name in kept:
        kept[name] = kept[name][order]


def test_images_are_matched_by_name(folder: Path) -> None:
    """Both models are wrong about the same images; only the order of their files differs."""
    made = _plan(folder, "a", "b", seeds=1)
    _plant(made, "a", 0, range(10))
    _plant(made, "b", 0, range(10), _shuffle)
    (pair,) = _grid(made).ties[0].pairs
    assert pair.images_p == 1.0
    column, entries = _grid(made).columns[0], collect.entries(made)
    found = KeptPredictions(made)(column, entries)
    assert found is not None and not found.lacking
    a, b = (found.numbers[e.key] for e in entries)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(np.flatnonzero(a == 0), np.arange(10))


def test_a_clear_winner_is_best_and_one_by_an_image_is_not(folder: Path) -> None:
    made = _plan(folder, "good", "near", "bad", seeds=3)
    for seed in range(3):
        _plant(made, "good", seed, range(seed, 6 + seed))
        # Wrong about others, and about one more.
        _plant(made, "near", seed, range(20 + seed, 27 + seed))
        _plant(made, "bad", seed, range(seed, 36 + seed))
    laid = _grid(made)
    (ties,) = laid.ties
    assert (ties.images, ties.groups, ties.untested) == (N, None, 0)
    assert (ties.best, ties.second) == (None, None)
    assert [ties.place(name) for name in ("good", "near", "bad")] == [(1, 2), (1, 2), (3, 3)]
    _plant(made, "near", 0, range(12, 48))
    _plant(made, "near", 1, range(12, 47))
    _plant(made, "near", 2, range(11, 48))
    assert _grid(made).ties[0].best == "good"


def _foreign(kept: dict[str, np.ndarray]) -> None:
    kept["names"] = np.asarray([f"other {i}" for i in range(N)])


def _twice(kept: dict[str, np.ndarray]) -> None:
    kept["names"][1] = kept["names"][0]


def _relabelled(kept: dict[str, np.ndarray]) -> None:
    kept["labels"] = np.roll(kept["labels"], 1)


def _another(kept: dict[str, np.ndarray]) -> None:
    kept["last"] = np.roll(kept["last"], 1, axis=0)


def _short(kept: dict[str, np.ndarray]) -> None:
    for name in kept:
        kept[name] = kept[name][:-1]


def _empty(kept: dict[str, np.ndarray]) -> None:
    kept.pop("last")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_foreign, "the predictions are of other images than the prepared data have"),
        (_twice, "the predictions are of other images than the prepared data have"),
        (_short, "the predictions are of other images than the prepared data have"),
        (_relabelled, "the predictions have other labels than the prepared data"),
        (_another, "the predictions give another value than the record"),
        (_empty, "the predictions cannot be used: 'last'"),
    ],
)
def test_predictions_that_do_not_fit_are_named_and_not_used(
    folder: Path, spoil: Spoil, told: str
) -> None:
    made = _plan(folder, "a", "b", seeds=2)
    for seed in range(2):
        _plant(made, "a", seed, range(3))
        _plant(made, "b", seed, range(20), spoil if seed else lambda _: None)
    laid = _grid(made)
    (ties,) = laid.ties
    assert ties.lacking == {told: ("b",)} and ties.images is None
    assert ties.pairs[0].images_p is None and ties.pairs[0].seeds_p is not None
    (note,) = [n for n in laid.notes if n.label.startswith("Ties")]
    assert f"images were not resampled (B: {told})" in note.text


def test_missing_predictions_are_one_sentence_without_paths(folder: Path) -> None:
    made = _plan(folder, "a", "b", seeds=2)
    for seed in range(2):
        _plant(made, "a", seed, range(3))
        _plant(made, "b", seed, range(20))
    for path in (folder / "runs").rglob("*.npz"):
        path.unlink()
    (ties,) = _grid(made).ties
    assert ties.lacking == {"the predictions are missing": ("a", "b")}


@pytest.mark.parametrize("metric", ["kappa", "balanced_accuracy"])
def test_other_metrics_are_resampled_alike_for_all_rows(
    folder: Path, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "ROUNDS", 100)
    made = _plan(folder, "a", "b", "c", seeds=1, metric=metric)
    _plant(made, "a", 0, range(4))
    _plant(made, "b", 0, range(4), _shuffle)
    _plant(made, "c", 0, range(40))
    laid = _grid(made)
    ps = {(p.first, p.second): p.images_p for p in laid.ties[0].pairs}
    assert ps["a", "b"] == 1.0
    assert ps["a", "c"] is not None and ps["a", "c"] < 0.001
    assert ps["a", "c"] == ps["b", "c"]
    assert laid.ties == _grid(made).ties


def test_groups_of_the_store_stay_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _plan(folder, "a", "b", seeds=1)
    _plant(made, "a", 0, range(4))
    _plant(made, "b", 0, range(12))
    (alone,) = _grid(made).ties
    part = _part(made)
    patients: Any = tuple(f"patient {i // 8}" for i in range(N))
    monkeypatch.setattr(evidence, "part_of", lambda *_: replace(part, groups=patients))
    (together,) = _grid(made).ties
    assert (alone.groups, together.groups) == (None, 6)
    # Eight images differ: 2 / 2^8 alone; of two patients, one assignment in two.
    assert alone.pairs[0].images_p == pytest.approx(2 / 2**8, abs=0.004)
    assert together.pairs[0].images_p == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("n", "classes"), [(12, 2), (12, 5), (200, 3)])
def test_macro_auc_of_all_resamples_at_once_is_that_of_each(n: int, classes: int) -> None:
    # Few images, so that classes are missing from resamples; two decimals, so that scores tie.
    rng = np.random.default_rng(n + classes)
    probabilities = rng.dirichlet(np.ones(classes), n).round(1)
    probabilities[:, 0] += 1 - probabilities.sum(axis=1)
    labels = np.sort(rng.integers(0, classes, n))
    rows = [*resample.rows(n, rng, 100), np.full(n, 3)]
    clusters = np.arange(n) // 3
    rows += resample.rows(n, rng, 100, clusters=clusters)
    found = evidence.macro_aucs(probabilities, labels, rows)
    single = by_image.Outcomes(labels=labels, probabilities=probabilities)
    statistic = single.statistic(metrics.METRICS["macro_auc"])
    assert statistic is not None
    expected = [statistic(chosen) for chosen in rows]
    assert np.isnan(found[100])  # one image alone has one class
    np.testing.assert_allclose(found, expected, rtol=1e-12)
