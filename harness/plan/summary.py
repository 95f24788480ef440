"""What plans amount to: their stages with who uses them, and the sums that ``plan`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.plan.plan import Plan, StageRun, training_images
from harness.store.record import Records


@dataclass(frozen=True, kw_only=True)
class StageWork:
    """How much work a step is, and whether it is "done", "failed" or "missing".

    "unknown": its data are not prepared here, so that its key, and thereby its record, cannot be
    known. It counts as missing.
    """

    step: StageRun
    status: str
    images: int
    epochs: int


def loads(plan: Plan, records: Records) -> tuple[StageWork, ...]:
    """Say of every unique stage what is known of it, and its images x epochs."""
    found = []
    unprepared = {c.used.name for c in plan.columns if not c.prepared}
    for step in plan.stage_runs:
        unknown = step.run.dataset in unprepared
        record = None if unknown else records.read(step.key)
        found.append(
            StageWork(
                step=step,
                status=record.status if record else "unknown" if unknown else "missing",
                images=training_images(plan, step.run),
                epochs=step.stage.recipe.epochs,
            )
        )
    return tuple(found)


def published(plan: Plan) -> int:
    """Count the paper's numbers that a plan's table shows: each of a row once, repetitions too.

    A cost stands beside every data set and is one number a row. In the whole tables:

        ============  ======================================================  =====
        Table 1       10 rows x 3 data sets                                      30
        Table 2       5 rows x (F1, IoU)                                         10
        Table 3       6 rows x (accuracy, FLOPs, inference time)                 18
        Table 7       4 rows x 1 data set                                         4
        Table 8       (3 + 3 + 4 + 4 + 4 + 2) rows x 2 data sets                 40
        in all                                                                  102
        ============  ======================================================  =====

    The paper prints some again: Table 8 its default (2 numbers) six times, which are two of Table
    1's MSMAE, and Table 3 accuracies of Table 1 in I, II and VI. So 102 - 12 - 3 = 87 stand for
    one thing each, or 79 where Table 3's costs count once a fine-tuning (4 of 12).
    """
    shown = {c.column.metric if c.column.cost else c.column.name for c in plan.columns}
    return sum(len(shown & row.printed.keys()) for row in plan.table.rows)


def overview(plans: Sequence[Plan], records: Records) -> dict[str, Any]:
    """Return the facts of one plan, or of several together, as plain JSON values.

    Stages are named once, with the rows that use them ("EXPERIMENT:ROW" among several plans);
    several plans also have "experiments", the sums of each, and "shared_stages", how many stages
    more than one of them uses. For the paper's tables and one seed, "naive" trains every stage of
    every row, "unique" shares within a table, "new" with the tables above, too:

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
    found = [loads(made, records) for made in plans]
    unique = {load.step.key: load for each in found for load in each}
    users = _users(plans)
    stages = [
        {
            "key": key,
            "title": load.step.title,
            "status": load.status,
            "images": load.images,
            "epochs": load.epochs,
            "used_by": [f"{name}:{row}" if several else row for name, row in users[key]],
        }
        for key, load in unique.items()
    ]
    lacking = _lacking(plans)
    own = [_sums([made], each) for made, each in zip(plans, found, strict=True)]
    named = [{"experiment": made.name, **sums} for made, sums in zip(plans, own, strict=True)]
    if not several:
        return {**named[0], "not_prepared": lacking, "stages": stages}
    shared = sum(len({name for name, _ in users[key]}) > 1 for key in unique)
    together = _sums(plans, unique.values())
    return {
        "experiments": named,
        **together,
        "shared_stages": shared,
        "not_prepared": lacking,
        "stages": stages,
    }


def unique_loads(plans: Sequence[Plan], records: Records) -> tuple[StageWork, ...]:
    """Return every stage of the plans once."""
    found = {load.step.key: load for made in plans for load in loads(made, records)}
    return tuple(found.values())


def _lacking(plans: Sequence[Plan]) -> dict[str, dict[str, int]]:
    """Return the official sizes of the data sets that are not prepared."""
    return {
        c.used.name: dict(c.manifest.parts[made.options.split])
        for made in plans
        for c in made.columns
        if not c.prepared
    }


def _users(plans: Sequence[Plan]) -> dict[str, list[tuple[str, str]]]:
    """Return the experiments' and rows' names of every stage, each once, in the plans' order."""
    users: dict[str, dict[tuple[str, str], None]] = {}
    for made in plans:
        for unit in made.cell_runs:
            for num_stages in range(1, len(unit.run.stages) + 1):
                users.setdefault(unit.run.key(num_stages), {})[made.name, unit.row.name] = None
    return {key: list(names) for key, names in users.items()}


def _sums(plans: Sequence[Plan], stages: Iterable[StageWork]) -> dict[str, Any]:
    stages = list(stages)
    missing = [load for load in stages if load.status != "done"]
    # Columns that show one run under several metrics need it once.
    runs = {
        (made.name, unit.row.name, unit.run.key()): len(unit.run.stages)
        for made in plans
        for unit in made.cell_runs
    }
    return {
        "profile": plans[0].options.profile.name,
        "published_numbers": sum(map(published, plans)),
        "runs": len(runs),
        "naive_trainings": sum(runs.values()),
        "unique_stages": len(stages),
        "done": len(stages) - len(missing),
        "missing": len(missing),
        "unknown": sum(load.status == "unknown" for load in missing),
        "images_times_epochs_missing": sum(load.images * load.epochs for load in missing),
    }


def lines(facts: dict[str, Any]) -> list[str]:
    """Lay the facts out for a terminal: a line a stage, then the sums."""
    text = [
        f"{stage['key'][:12]}  {stage['status']:<7}  {stage['images']:>6} x {stage['epochs']:<4}"
        f" {stage['title']}  <- {', '.join(stage['used_by'])}"
        for stage in facts["stages"]
    ]
    if "experiments" in facts:
        text += [f"{sums['experiment']}: {_line(sums)}" for sums in facts["experiments"]]
        shared = f"{facts['shared_stages']} stages are shared between experiments."
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
    return (
        f"{sums['runs']} runs, {sums['naive_trainings']} trainings if nothing were shared,"
        f" {sums['unique_stages']} unique stages, {sums['done']} done, {sums['missing']} missing:"
        f" {sums['images_times_epochs_missing']} images x epochs."
        + (f" {published} published numbers." if published else "")
    )
