"""Summarise plans: their unique stages with the rows that use them, and totals."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness import console
from harness.console import note
from harness.errors import Damaged
from harness.plan.columns import small_stores
from harness.plan.plan import Plan, StageRun, training_images
from harness.plan.stale import stale_keys
from harness.store import weights
from harness.store.record import Records
from harness.wording import counted

FINISHED = ("done", "stale")
"""States of stages that `harness run` does not train; with --stale it trains the second."""


@dataclass(frozen=True, kw_only=True)
class StageWork:
    """A unique stage with its amount of work and its status.

    Attributes:
        step: the stage.
        status: "done", "stale" where other sources than the present ones have made it, "failed",
            "missing", "damaged" where `harness run` trains a finished stage
            again because of its files, or "unknown" where its data are not prepared: its key then
            cannot be computed. All but "done" and "stale" count as missing.
        images: trained on in an epoch.
        epochs: of the stage.
    """

    step: StageRun
    status: str
    images: int
    epochs: int


def loads(plan: Plan, records: Records) -> tuple[StageWork, ...]:
    """Return status, images and epochs of every unique stage of a plan."""
    steps = plan.stage_runs
    unprepared = {c.used.name for c in plan.columns if not c.prepared}
    statuses = {
        step.key: "unknown" if step.run.dataset in unprepared else _status(step.key, records)
        for step in steps
    }
    for step in steps:
        if step.num_stages > 1 and statuses[step.key] not in ("done", "unknown"):
            before = step.run.key(step.num_stages - 1)
            if statuses[before] == "done" and not _has_weights(before, records):
                statuses[before] = "damaged"
    for key in stale_keys(plan, records):
        if statuses[key] == "done":
            statuses[key] = "stale"
    return tuple(
        StageWork(
            step=step,
            status=statuses[step.key],
            images=training_images(plan, step.run),
            epochs=step.stage.recipe.epochs,
        )
        for step in steps
    )


def _status(key: str, records: Records) -> str:
    record = records.read(key)
    if record is None:
        return "damaged" if os.path.lexists(records.path(key)) else "missing"
    if record.status == "done" and records.finished(key) is None:
        return "damaged"
    return record.status


def _has_weights(key: str, records: Records) -> bool:
    """Whether the stage after a finished one can start from its weights."""
    record = records.read(key)
    try:
        if record is not None:
            weights.check(records.folder, key, record.finished.weights)
    except Damaged as damaged:
        console.warn_once(str(damaged))
        return False
    return True


def published(plan: Plan) -> int:
    """Count the published numbers that a plan's table is compared with, repetitions included.

    A row's cost is one number, although it is shown beside every data set. In the whole tables:

        ============  ======================================================  =====
        Table 1       10 rows x 3 data sets                                      30
        Table 2       5 rows x (F1, IoU)                                         10
        Table 3       6 rows x (accuracy, FLOPs, inference time)                 18
        Table 7       4 rows x 1 data set                                         4
        Table 8       (3 + 3 + 4 + 4 + 4 + 2) rows x 2 data sets                 40
        in all                                                                  102
        ============  ======================================================  =====

    The paper prints some several times: Table 8 its default (2 numbers) six times, which are two
    of Table 1's MSMAE, and Table 3 accuracies of Table 1 in I, II and VI. So 102 - 12 - 3 = 87
    are distinct, or 79 where Table 3's costs count once per fine-tuning (4 of 12).
    """
    shown = {c.column.metric if c.column.cost else c.column.name for c in plan.columns}
    return sum(len(shown & row.printed.keys()) for row in plan.table.rows)


def overview(plans: Sequence[Plan], records: Records) -> dict[str, Any]:
    """Return the summary of one plan, or of several together, as plain JSON values.

    Stages are listed once, with the rows that use them ("EXPERIMENT:ROW" among several plans);
    several plans also have "experiments", the sums of each, and "shared_stages", how many stages
    more than one of them uses. For the paper's tables and one seed, "naive" trains every stage of
    every row, "unique" shares stages within a table, "new" also with the tables above it:

        =======  ==============================================================  =====  ======  ===
                                                                                 naive  unique  new
        Table 1  (7 pre-trained rows x 2 stages + 3 supervised) x 3 data sets       51      51   51
        Table 2  5 encoders x 2 stages + the baseline's one; metrics cost none      11      11   11
        Table 3  (6 settings + 2 of the released code) x 2; the settings have       16      13    7
                 3 pre-trainings; I, II and VI are Table 1's chains
        Table 7  3 pre-trained rows x 2 + ViT-B; the pre-trainings and ViT-B         7       7    3
                 are Table 2's
        Table 8  20 rows x 2 stages x 2 data sets; (9 + 15) x 2 differ, see         80      48   44
                 its docstring; the default's 2 x 2 are Table 1's
        in all                                                                     165          116
        =======  ==============================================================  =====  ======  ===
    """
    several = len(plans) > 1
    work = [loads(plan, records) for plan in plans]
    unique = {stage.step.key: stage for plan_stages in work for stage in plan_stages}
    users = _users(plans)
    stages = [
        {
            "key": key,
            "title": stage.step.title,
            "status": stage.status,
            "images": stage.images,
            "epochs": stage.epochs,
            "used_by": [f"{name}:{row}" if several else row for name, row in users[key]],
        }
        for key, stage in unique.items()
    ]
    unprepared = _unprepared(plans)
    experiments = [
        {"experiment": plan.name, **_totals([plan], plan_stages)}
        for plan, plan_stages in zip(plans, work, strict=True)
    ]
    if not several:
        return {**experiments[0], "not_prepared": unprepared, "stages": stages}
    shared = sum(len({name for name, _ in users[key]}) > 1 for key in unique)
    totals = _totals(plans, unique.values())
    return {
        "experiments": experiments,
        **totals,
        "shared_stages": shared,
        "not_prepared": unprepared,
        "stages": stages,
    }


def unique_loads(plans: Sequence[Plan], records: Records) -> tuple[StageWork, ...]:
    """Return every unique stage of several plans once."""
    work = {stage.step.key: stage for plan in plans for stage in loads(plan, records)}
    return tuple(work.values())


def _unprepared(plans: Sequence[Plan]) -> dict[str, dict[str, int]]:
    """Return the official sizes of the data sets that are not prepared."""
    return {
        c.used.name: dict(c.manifest.parts[c.split])
        for plan in plans
        for c in plan.columns
        if not c.prepared
    }


def _users(plans: Sequence[Plan]) -> dict[str, list[tuple[str, str]]]:
    """Return by stage key the (experiment, row) pairs that use it, each once, in order."""
    users: dict[str, dict[tuple[str, str], None]] = {}
    for plan in plans:
        for cell_run in plan.cell_runs:
            for num_stages in range(1, len(cell_run.run.stages) + 1):
                users.setdefault(cell_run.run.key(num_stages), {})[plan.name, cell_run.row.name] = (
                    None
                )
    return {key: list(names) for key, names in users.items()}


def _totals(plans: Sequence[Plan], stages: Iterable[StageWork]) -> dict[str, Any]:
    """Return the totals over plans, whose unique stages are given."""
    stages = list(stages)
    missing = [stage for stage in stages if stage.status not in FINISHED]
    stale = sum(stage.status == "stale" for stage in stages)
    # Columns that show one run under several metrics need it once.
    runs = {
        (plan.name, cell_run.row.name, cell_run.run.key()): len(cell_run.run.stages)
        for plan in plans
        for cell_run in plan.cell_runs
    }
    return {
        "profile": plans[0].options.profile.name,
        "published_numbers": sum(map(published, plans)),
        "runs": len(runs),
        "naive_trainings": sum(runs.values()),
        "unique_stages": len(stages),
        "done": len(stages) - len(missing) - stale,
        "stale": stale,
        "missing": len(missing),
        "unknown": sum(stage.status == "unknown" for stage in missing),
        "images_times_epochs_missing": sum(stage.images * stage.epochs for stage in missing),
    }


def lines(facts: dict[str, Any]) -> list[str]:
    """Return the lines of a summary for a terminal: one per stage, then the totals."""
    text = [
        f"{stage['key'][:12]}  {stage['status']:<7}  {stage['images']:>6} x {stage['epochs']:<4}"
        f" {stage['title']}  <- {', '.join(stage['used_by'])}"
        for stage in facts["stages"]
    ]
    if "experiments" in facts:
        text += [f"{sums['experiment']}: {_line(sums)}" for sums in facts["experiments"]]
        shared = (
            f"{counted(facts['shared_stages'], 'stage')}"
            f" {'is' if facts['shared_stages'] == 1 else 'are'} shared between experiments."
        )
        text += [f"Together: {_line(facts)}", shared]
    else:
        text.append(_line(facts))
    for name, sizes in facts["not_prepared"].items():
        images = ", ".join(f"{count} {part}" for part, count in sizes.items())
        text.append(
            f"{name} is not prepared: counted at its official sizes ({images}); whether its stages"
            " are done is unknown, they count as missing."
        )
    return text


def _line(sums: dict[str, Any]) -> str:
    published = sums["published_numbers"]
    stale = f" {sums['stale']} stale," if sums["stale"] else ""
    return (
        f"{counted(sums['runs'], 'run')}, {counted(sums['naive_trainings'], 'training')} if nothing"
        f" were shared, {counted(sums['unique_stages'], 'unique stage')}, {sums['done']} done,"
        f"{stale} {sums['missing']} missing:"
        f" {sums['images_times_epochs_missing']} images x epochs."
        + (f" {counted(published, 'published number')}." if published else "")
    )


def warn_of_small_stores(plans: Sequence[Plan]) -> None:
    """Print a line for each data set that is stored at less than the profile wants."""
    lines = [line for p in plans for line in small_stores(p.columns, p.options.profile)]
    for line in dict.fromkeys(lines):
        note(line)
