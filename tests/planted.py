"""Records of classifiers that nobody trained, with predictions drawn at random."""

from __future__ import annotations

import dataclasses

import numpy as np

from harness.evaluate import metrics
from harness.plan.plan import Plan
from harness.spec.run import Run
from harness.store.record import Records
from harness.store.result import EpochEvaluation, Evaluation, Rule
from tests import records

N, CLASSES = 40, 4


def arrays(
    seed: int, *, n: int = N, classes: int = CLASSES, sure: float = 0.6
) -> dict[str, np.ndarray]:
    """Return predictions of n images; the best epoch is better than the last."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    noise = {rule: random.random((n, classes)) for rule in ("last", "best")}
    scores = {"last": sure * np.eye(classes)[labels] + noise["last"]}
    scores["best"] = 2 * sure * np.eye(classes)[labels] + noise["best"]
    return {
        **{rule: (s / s.sum(1, keepdims=True)).astype(np.float32) for rule, s in scores.items()},
        "labels": labels,
        "names": np.array([f"image {i}" for i in range(n)]),
    }


def plant(plan: Plan, run: Run, made: dict[str, np.ndarray]) -> str:
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


def plant_all(plan: Plan) -> list[str]:
    """Write a record of every run of a plan; each has predictions of its own."""
    return [plant(plan, c.run, arrays(number)) for number, c in enumerate(plan.cell_runs)]
