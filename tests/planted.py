"""Records of classifiers that nobody trained, with predictions drawn at random."""

from __future__ import annotations

import dataclasses

import numpy as np

from harness.data.parts import part_of
from harness.data.prepared import open_store
from harness.evaluate import metrics
from harness.plan.plan import Plan
from harness.spec.run import Run
from harness.store.record import Records
from harness.store.result import EpochEvaluation, Evaluation, Rule
from tests import records

Arrays = dict[str, np.ndarray]


def arrays(seed: int, labels: np.ndarray, *, classes: int = 4, sure: float = 0.6) -> Arrays:
    """Return predictions of images with these labels; the best epoch is better than the last."""
    random = np.random.default_rng(seed)
    noise = {rule: random.random((len(labels), classes)) for rule in ("last", "best")}
    true = np.eye(classes)[labels]
    scores = {"last": sure * true + noise["last"], "best": 2 * sure * true + noise["best"]}
    return {
        **{rule: (s / s.sum(1, keepdims=True)).astype(np.float32) for rule, s in scores.items()},
        "labels": labels,
        "names": np.array([f"image {i}" for i in range(len(labels))]),
    }


def labels_of(plan: Plan) -> np.ndarray:
    """Return the labels of the images that a plan's first column is evaluated on."""
    column = plan.columns[0]
    store = open_store(plan.options.data, column.used.name)
    return part_of(store, column.split, plan.options.profile, "reported").labels


def plant(plan: Plan, run: Run, made: Arrays) -> str:
    """Write the record and the predictions of a run and return its key."""
    labels = made["labels"]
    rules: tuple[Rule, ...] = ("last", "best")
    points = {
        rule: EpochEvaluation(
            epoch=number,
            metrics=metrics.evaluate(made[rule], labels),
            correct=int((made[rule].argmax(1) == labels).sum()),
            collapsed=metrics.collapsed(made[rule].argmax(1)),
        )
        for number, rule in enumerate(rules)
    }
    counts = np.bincount(labels, minlength=made["last"].shape[1])
    store = Records(plan.options.runs)
    result = records.result(
        evaluation=Evaluation(n=len(labels), classes=tuple(counts.tolist()), **points),
        predictions=store.write_predictions(run.key(), made),
    )
    record = records.record(run.key(), run.definition())
    store.write(dataclasses.replace(record, result=result))
    return run.key()


def plant_all(plan: Plan) -> list[Arrays]:
    """Write a record of every run of a plan and return their predictions, which all differ."""
    labels = labels_of(plan)
    made = [arrays(number, labels) for number in range(len(plan.cell_runs))]
    for cell_run, predictions in zip(plan.cell_runs, made, strict=True):
        plant(plan, cell_run.run, predictions)
    return made
