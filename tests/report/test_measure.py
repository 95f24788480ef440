"""Metrics that a finished record lacks are computed from the predictions that were kept."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness import sealed
from harness.errors import UserError
from harness.evaluate import metrics, overlap, registry
from harness.execute.executor import Executor
from harness.plan import plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.progress import Progress
from harness.report import collect
from harness.report.grid import lay_out
from harness.report.markdown import render
from harness.report.values import Grid
from harness.spec import profiles
from harness.spec.quantity import Metric
from harness.spec.recipe import Recipe, Stage
from harness.spec.table import Column, Row, Table
from harness.store.record import Records
from harness.store.result import EpochEvaluation, Evaluation, Rule
from tests import prepared, records
from tests.one_layer import Segment

MASKS, CLASSES = "phantom-ultrasound", "phantom-mri"
RULES: tuple[Rule, ...] = ("last", "best")


def _table(*columns: Column) -> Table:
    recipe = Recipe(epochs=3, batch_size=16, base_lr=0.3, optimizer="adam", lr_batch=None)
    stage = Stage(phase="supervised", method=Segment(0.0), recipe=recipe)
    row = Row(name="one", label="One layer", stages=(stage,))
    return Table(title="Rows", source="", rows=(row,), columns=columns)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for family in (MASKS, CLASSES):
        prepared.ensure(tmp_path / "data", family, size=32)
    return tmp_path


def _made(folder: Path, *columns: Column, rule: Rule = "last") -> Plan:
    profile = replace(profiles.SMOKE, train_images=32, eval_images=24)
    options = Options(
        profile=profile, rule=rule, data=folder / "data", runs=folder / "runs", seeds=(0,)
    )
    return plan.make("rows", _table(*columns), options)


def _grid(made: Plan) -> Grid:
    context = collect.context(made, command="", device="some CPU")
    return lay_out(made.table, collect.entries(made), collect.column_contexts(made), context)


def _without(folder: Path, key: str, name: str) -> dict[Rule, float]:
    """Take a metric out of a record, as if it had been made before there was one; return it."""
    path = Records(folder / "runs").path(key)
    content = json.loads(path.read_text())
    evaluation = content["result"]["evaluation"]
    taken: dict[Rule, float] = {rule: evaluation[rule]["metrics"].pop(name) for rule in RULES}
    path.write_bytes(sealed.seal(content))
    return taken


def _plant_classifier(folder: Path, made: Plan) -> str:
    """Write the record of a classifier that was not as good at the last as at the best epoch."""
    (step,) = made.stage_runs
    random = np.random.default_rng(0)
    labels = np.arange(24) % 4
    sure = np.eye(4)[labels]
    arrays = {
        "last": (0.4 * sure + random.random((24, 4))).astype(np.float32),
        "best": (0.9 * sure + random.random((24, 4))).astype(np.float32),
        "labels": labels,
        "names": np.array([f"image {i}" for i in range(24)]),
    }
    store = Records(folder / "runs")
    point = {
        rule: EpochEvaluation(
            epoch=number,
            metrics=metrics.evaluate(arrays[rule], labels),  # type: ignore[arg-type]
            correct=12,
            collapsed=False,
        )
        for number, rule in enumerate(RULES)
    }
    record = records.record(step.key, step.run.definition())
    result = records.result(
        evaluation=Evaluation(n=24, classes=(6,) * 4, **point),
        predictions=store.write_predictions(step.key, arrays),
    )
    store.write(dataclasses.replace(record, result=result))
    return step.key


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["iou_pooled", "hd95"])
def test_masks_give_the_number_of_a_fresh_evaluation(folder: Path, name: str, rule: Rule) -> None:
    made = _made(folder, Column(dataset=MASKS, metric=name), rule=rule)
    assert Executor(torch.device("cpu")).execute(made, Progress()).failed == ()
    before = _grid(made)
    taken = _without(folder, made.stage_runs[0].key, name)
    (entry,) = collect.entries(made)
    assert (entry.value, entry.last, entry.best) == (taken[rule], taken["last"], taken["best"])
    after = _grid(made)
    assert after.rows[0].cells == before.rows[0].cells
    assert after.rows[0].cells[f"{MASKS}.{name}"].state == "complete"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", metrics.METRICS)
def test_classes_give_the_number_of_a_fresh_evaluation(folder: Path, name: str, rule: Rule) -> None:
    made = _made(folder, Column(dataset=CLASSES, metric=name), rule=rule)
    taken = _without(folder, _plant_classifier(folder, made), name)
    assert taken["last"] != taken["best"]
    (entry,) = collect.entries(made)
    assert (entry.value, entry.last, entry.best) == (taken[rule], taken["last"], taken["best"])


def _error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return 1.0 - metrics.accuracy(probabilities, labels)


def _share_of_image(masks: np.ndarray, truth: np.ndarray) -> float:
    return float(masks.mean())


def _new(compute: Any) -> Metric:
    return Metric(
        name="new", title="new (%)", better="lower", digits=2, factor=100.0, compute=compute
    )


def test_a_new_metric_of_classes_is_one_entry_in_one_module(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = _plant_classifier(folder, _made(folder, Column(dataset=CLASSES)))
    monkeypatch.setattr(metrics, "METRICS", {**metrics.METRICS, "new": _new(_error)})
    made = _made(folder, Column(dataset=CLASSES, metric="new"))
    record = Records(folder / "runs").read(key)
    assert record is not None and "new" not in record.evaluation().last.metrics
    (entry,) = collect.entries(made)
    assert entry.value == 1.0 - record.evaluation().last.metrics["accuracy"]  # type: ignore[operator]
    text = render(_grid(made))
    assert f"{100 * entry.value:.2f}" in text
    # A fresh evaluation has it, too, and so has the row of the majority class.
    with np.load(Records(folder / "runs").predictions_path(key)) as kept:
        assert metrics.evaluate(kept["last"], kept["labels"])["new"] == entry.value
    (context,) = collect.column_contexts(made)
    assert context.majority is not None and 0.5 < context.majority < 1


def test_a_new_metric_of_masks_is_one_entry_in_one_module(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _made(folder, Column(dataset=MASKS, metric="iou"))
    Executor(torch.device("cpu")).execute(made, Progress())
    monkeypatch.setattr(overlap, "METRICS", {**overlap.METRICS, "new": _new(_share_of_image)})
    asked = _made(folder, Column(dataset=MASKS, metric="new"))
    (old,) = collect.entries(asked)
    outcome = Executor(torch.device("cpu")).execute(asked, Progress())
    assert (outcome.trained, outcome.found) == (0, 1)
    Records(folder / "runs").discard(asked.stage_runs[0].key)
    Executor(torch.device("cpu")).execute(asked, Progress())
    (fresh,) = collect.entries(asked)
    record = Records(folder / "runs").read(asked.stage_runs[0].key)
    assert record is not None and record.evaluation().last.metrics["new"] == fresh.value
    assert (old.value, old.last, old.best) == (fresh.value, fresh.last, fresh.best)
    assert old.value is not None and 0 < old.value < 1
    (context,) = collect.column_contexts(asked)
    assert context.constants == {"background": 0.0, "foreground": 1.0}


def _write_array(path: Path) -> None:
    """Write one array where an archive of several belongs."""
    with path.open("wb") as stream:
        np.save(stream, np.eye(3))


def _flip_in_directory(path: Path) -> None:
    """Change the compression method that the archive's directory states for its first member."""
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 10] ^= 0x40
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.unlink(), "are missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:50]), "cannot be read (truncated?)"),
        (lambda path: np.savez(path, last=np.eye(4)), "are not those that the record names"),
        (lambda path: _write_array(path), "cannot be read (truncated?)"),
        (lambda path: _flip_in_directory(path), "cannot be read (truncated?)"),
    ],
)
def test_predictions_that_are_gone_cost_one_cell_and_are_named(
    folder: Path, spoil: Any, told: str
) -> None:
    shown = [Column(dataset=CLASSES, metric=name) for name in ("accuracy", "kappa")]
    made = _made(folder, *shown)
    key = _plant_classifier(folder, made)
    _without(folder, key, "kappa")
    path = Records(folder / "runs").predictions_path(key)
    spoil(path)
    grid = _grid(made)
    known, lacking = (grid.rows[0].cells[c.name] for c in shown)
    assert (known.state, known.marks) == ("complete", ("†",))
    assert (lacking.state, lacking.value) == ("not measured", None)
    (note,) = [n for n in grid.footnotes if n.label in lacking.marks]
    then = "`harness run` sets the file aside and trains that stage again"
    assert note.text == (
        f"not measured: the record has no kappa and the predictions {path} {told};"
        f" {then if path.exists() else '--fresh for the row makes it anew'}"
    )
    assert "finished, but the metric is not known" in render(grid)


def test_a_metric_that_cannot_be_computed_costs_one_cell(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(probabilities: np.ndarray, labels: np.ndarray) -> float:
        raise ValueError("Too few images.")

    _plant_classifier(folder, _made(folder, Column(dataset=CLASSES)))
    monkeypatch.setattr(metrics, "METRICS", {**metrics.METRICS, "new": _new(refuses)})
    monkeypatch.setattr(registry, "majority", lambda *_: None)
    (cell,) = _grid(_made(folder, Column(dataset=CLASSES, metric="new"))).rows[0].cells.values()
    assert cell.state == "not measured"
    assert "cannot be computed: Too few images." in (cell.entries[0].lacking or "")


def test_a_metric_of_masks_is_refused_for_a_classifier(folder: Path) -> None:
    column = Column(dataset=MASKS, metric="f1")
    made = _made(folder, column)
    _plant_classifier(folder, made)
    with pytest.raises(UserError, match="'f1'.*evaluated by accuracy"):
        collect.entries(made)
