"""What counts as done: what `harness run` would not train again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import files
from harness.execute.executor import pending
from harness.plan import needed, summary
from harness.plan.needed import Named
from harness.plan.plan import Plan
from harness.report import collect
from harness.spec.run import sources
from harness.store import weights
from harness.store.checkpoint import Checkpoints
from harness.store.record import Records
from tests import plans, records


def _finished(*, old: tuple[int, ...] = ()) -> tuple[Plan, Records]:
    """Return a plan of a chain of two stages, both finished, with weights and predictions.

    Those whose number is in ``old`` were made by other sources.
    """
    plan, store = plans.of_table1("mae"), Records(Path("runs"))
    for step in plan.stage_runs:
        made = Checkpoints(store.folder, step.key).finish({"w": torch.ones(3)})
        predictions = None
        if step.num_stages == 2:
            predictions = store.write_predictions(step.key, {"probability": np.eye(3)})
        record = records.record(step.key, step.run.definition(step.num_stages))
        result = records.result(weights=made, predictions=predictions)
        digest = "0" * 64 if step.num_stages in old else sources(step.run, step.num_stages)
        made_by = records.provenance(sources=digest)
        store.write(replace(record, result=result, provenance=made_by))
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
    assert [collect.is_stale(run, store) for run in plan.cell_runs] == [False]


@pytest.mark.parametrize(
    ("old", "statuses"),
    [
        ((2,), ["done", "stale"]),
        ((1,), ["stale", "stale"]),  # what starts from a stale stage is stale, too
        ((1, 2), ["stale", "stale"]),
    ],
)
def test_what_other_sources_made_is_stale_and_not_missing(
    old: tuple[int, ...], statuses: list[str]
) -> None:
    plan, store = _finished(old=old)
    assert _statuses(plan, store) == statuses
    facts = summary.overview([plan], store)
    assert (facts["stale"], facts["missing"]) == (statuses.count("stale"), 0)
    assert facts["images_times_epochs_missing"] == 0
    count = statuses.count("stale")
    assert f"{2 - count} done, {count} stale, 0 missing" in summary.lines(facts)[-1]
    # A table marks every number of such a chain, whichever of its stages is old.
    assert [collect.is_stale(run, store) for run in plan.cell_runs] == [True]


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
