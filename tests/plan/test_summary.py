"""What counts as done: what `harness run` would not train again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from harness import files
from harness.execute.executor import pending
from harness.plan import needed, summary
from harness.plan.needed import Named
from harness.plan.plan import Plan
from harness.store import weights
from harness.store.checkpoint import Checkpoints
from harness.store.record import Records
from tests import plans, records


def _finished() -> tuple[Plan, Records]:
    """Return a plan of a chain of two stages, both finished, with weights and predictions."""
    plan, store = plans.of_table1("mae"), Records(Path("runs"))
    for step in plan.stage_runs:
        made = Checkpoints(store.folder, step.key).finish({"w": torch.ones(3)})
        predictions = None
        if step.num_stages == 2:
            predictions = store.write_predictions(step.key, {"probability": np.eye(3)})
        record = records.record(step.key, step.run.definition(step.num_stages))
        result = records.result(weights=made, predictions=predictions)
        store.write(replace(record, result=result))
    return plan, store


def _statuses(plan: Plan, store: Records) -> list[str]:
    found = [work.status for work in summary.loads(plan, store)]
    assert found.count("done") == summary.overview([plan], store)["done"]
    # The plan of what is missing is what is trained, beside weights that a later stage lacks.
    trained = {step.key for step in pending(plan.stage_runs, store)}
    named = {w.step.key for w in summary.loads(plan, store) if w.status != "done"}
    assert trained <= named
    return found


def test_all_is_done_while_all_is_sound() -> None:
    plan, store = _finished()
    assert _statuses(plan, store) == ["done", "done"]


def test_damaged_predictions_are_not_done() -> None:
    plan, store = _finished()
    last = plan.stage_runs[1].key
    path = store.predictions_path(last)
    path.write_bytes(path.read_bytes()[:-1])
    assert _statuses(plan, store) == ["done", "damaged"]
    needs = needed.find(Path("data"), store, Named())
    assert last in needs.pending and plan.stage_runs[0].key in needs.weights
    files.set_aside(path)
    assert _statuses(plan, store) == ["done", "damaged"]


def test_weights_that_are_set_aside_are_not_done() -> None:
    plan, store = _finished()
    files.set_aside(weights.find(store.folder, plan.stage_runs[0].key))
    assert _statuses(plan, store) == ["damaged", "done"]


def test_weights_that_a_missing_stage_starts_from_have_to_be_sound() -> None:
    plan, store = _finished()
    first, last = plan.stage_runs
    path = weights.find(store.folder, first.key)
    path.write_bytes(path.read_bytes()[:-1])
    assert _statuses(plan, store) == ["done", "done"]  # nothing needs them
    store.discard(last.key)
    assert _statuses(plan, store) == ["damaged", "missing"]


def test_a_damaged_record_is_not_missing() -> None:
    plan, store = _finished()
    store.path(plan.stage_runs[1].key).write_text("{")
    assert _statuses(plan, store) == ["done", "damaged"]


def test_a_stage_is_named_by_its_rows() -> None:
    plan = plans.of_table1("mae", "simmim")
    assert [step.title for step in plan.stage_runs] == [
        "pretrain mae / phantom-mri / seed 0",
        "finetune mae / phantom-mri / seed 0",
        "pretrain simmim / phantom-mri / seed 0",
        "finetune simmim / phantom-mri / seed 0",
    ]
