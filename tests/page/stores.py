"""Run stores of records that nobody trained, with predictions, for pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.parts import part_of
from harness.data.prepared import open_store
from harness.evaluate import metrics
from harness.page.find import Wanted
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.plan.plan import Plan, StageRun
from harness.spec import profiles
from harness.spec.run import sources
from harness.store.record import Record, Records
from harness.store.result import EpochEvaluation, Evaluation
from tests import prepared, records

PROBED = ("linear", "knn")
OLD = "0" * 64
"""Digest of sources that are not the present ones."""


def options(**changes: Any) -> Options:
    """Return the options of every page here: generated brains for BTMD, smoke size."""
    values: dict[str, Any] = {
        "profile": profiles.SMOKE,
        "datasets": ("btmd",),
        "data": Path("data"),
        "runs": Path("runs"),
    }
    return Options(**(values | changes))


def wanted(*names: str, **changes: Any) -> Wanted:
    """Return a request for tables under the smoke profile."""
    return Wanted(names=names, profiles=(profiles.SMOKE,), options=options(**changes))


def planned(
    name: str = "table1", rows: Sequence[str] | None = ("mae", "msmae"), **changes: Any
) -> Plan:
    """Return a plan on generated brains, which it puts into the folder ``data``."""
    if not Path("data/phantom-mri").exists():
        prepared.ensure(Path("data"))
    given = {"rows": None if rows is None else tuple(rows), **changes}
    return plan.make(*catalog.load(name), options(**given))


def fill(plan_: Plan, *, stale: Sequence[str] = (), failed: Sequence[str] = ()) -> Plan:
    """Write a record of every stage, with predictions of those that classify; return the plan.

    Args:
        plan_: whose stages are written.
        stale: keys of stages that other sources made.
        failed: keys of stages that failed.
    """
    store = Records(plan_.options.runs)
    part = part_of(
        open_store(plan_.options.data, "phantom-mri"),
        plan_.columns[0].split,
        plan_.options.profile,
        "reported",
    )
    for number, stage_run in enumerate(plan_.stage_runs):
        made = records.provenance(
            sources=OLD if stage_run.key in stale else sources(stage_run.run, stage_run.num_stages)
        )
        if stage_run.key in failed:
            lost = records.record(stage_run.key, _definition(stage_run), failed="ValueError: <no>")
            store.write(replace(lost, provenance=made))
            continue
        rng = np.random.default_rng(number)
        store.write(_record(store, stage_run, part, rng, made))
    return plan_


def _definition(stage_run: StageRun) -> dict[str, Any]:
    return stage_run.run.definition(stage_run.num_stages)


def _record(
    store: Records, stage_run: StageRun, part: Any, rng: np.random.Generator, made: Any
) -> Record:
    history = tuple(
        {"epoch": float(i), "loss/total": 1 / (i + 1), "eval/accuracy": i / 20} for i in range(12)
    )
    result = records.result(history=history)
    if stage_run.stage.phase == "pretrain":
        evaluation = _evaluation(*_answers(part, rng))
        result = replace(result, probes=dict.fromkeys(PROBED, evaluation))
    else:
        probabilities, labels = _answers(part, rng)
        arrays = {
            "last": probabilities,
            "best": probabilities,
            "labels": labels,
            "names": np.asarray(part.names),
        }
        result = replace(
            result,
            evaluation=_evaluation(probabilities, labels, epoch=11),
            predictions=store.write_predictions(stage_run.key, arrays),
        )
    return Record(
        key=stage_run.key,
        status="done",
        definition=_definition(stage_run),
        result=result,
        provenance=made,
    )


def _answers(part: Any, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = np.asarray(part.labels)
    classes = int(labels.max()) + 1
    probabilities = rng.dirichlet(np.ones(classes), len(labels)).astype(np.float32)
    probabilities[np.arange(len(labels)), labels] += 0.4
    return probabilities / probabilities.sum(axis=1, keepdims=True), labels


def _evaluation(
    probabilities: np.ndarray, labels: np.ndarray, epoch: int | None = None
) -> Evaluation:
    counts = metrics.confusion(probabilities, labels)
    right = int(np.trace(counts))
    point = EpochEvaluation(
        epoch=epoch,
        metrics={"accuracy": right / len(labels)},
        correct=right,
        collapsed=False,
    )
    return Evaluation(
        n=len(labels), classes=tuple(map(int, counts.sum(axis=1))), last=point, best=point
    )
