"""What plans amount to: their stages with who uses them, and the sums that ``plan`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.plan import Plan, Step, training_images
from harness.record import Records


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much work a step is, and whether it is done."""

    step: Step
    status: str
    images: int
    epochs: int


def loads(plan: Plan, records: Records) -> tuple[Load, ...]:
    """Say of every unique stage whether it is done, failed or missing, and its images x epochs."""
    found = []
    for step in plan.steps:
        record = records.read(step.key)
        found.append(
            Load(
                step=step,
                status=record.status if record else "missing",
                images=training_images(plan, step.run),
                epochs=step.stage.recipe.epochs,
            )
        )
    return tuple(found)


def overview(plans: Sequence[Plan], records: Records) -> dict[str, Any]:
    """Return the facts of one plan, or of several together, as plain JSON values.

    Stages are named once, with the rows that use them ("EXPERIMENT:ROW" among several plans);
    several plans also have "experiments", the sums of each, and "shared_stages", how many stages
    more than one of them uses.
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
    own = [_sums([made], each) for made, each in zip(plans, found, strict=True)]
    named = [{"experiment": made.name, **sums} for made, sums in zip(plans, own, strict=True)]
    if not several:
        return {**named[0], "stages": stages}
    shared = sum(len({name for name, _ in users[key]}) > 1 for key in unique)
    together = _sums(plans, unique.values())
    return {"experiments": named, **together, "shared_stages": shared, "stages": stages}


def _users(plans: Sequence[Plan]) -> dict[str, list[tuple[str, str]]]:
    """Return the experiments' and rows' names of every stage, each once, in the plans' order."""
    users: dict[str, dict[tuple[str, str], None]] = {}
    for made in plans:
        for unit in made.units:
            for upto in range(1, len(unit.run.stages) + 1):
                users.setdefault(unit.run.key(upto), {})[made.name, unit.row.name] = None
    return {key: list(names) for key, names in users.items()}


def _sums(plans: Sequence[Plan], stages: Iterable[Load]) -> dict[str, Any]:
    stages = list(stages)
    missing = [load for load in stages if load.status != "done"]
    # Columns that show one run under several metrics need it once.
    runs = {
        (made.name, unit.row.name, unit.run.key()): len(unit.run.stages)
        for made in plans
        for unit in made.units
    }
    return {
        "profile": plans[0].options.profile.name,
        "runs": len(runs),
        "naive_trainings": sum(runs.values()),
        "unique_stages": len(stages),
        "done": len(stages) - len(missing),
        "missing": len(missing),
        "images_times_epochs_missing": sum(load.images * load.epochs for load in missing),
    }


def lines(facts: dict[str, Any]) -> list[str]:
    """Lay the facts out for a terminal: a line a stage, then the sums."""
    text = [
        f"{stage['key'][:12]}  {stage['status']:<7}  {stage['images']:>6} x {stage['epochs']:<4}"
        f" {stage['title']}  <- {', '.join(stage['used_by'])}"
        for stage in facts["stages"]
    ]
    if "experiments" not in facts:
        return [*text, _line(facts)]
    text += [f"{sums['experiment']}: {_line(sums)}" for sums in facts["experiments"]]
    shared = f"{facts['shared_stages']} stages are shared between experiments."
    return [*text, f"Together: {_line(facts)}", shared]


def _line(sums: dict[str, Any]) -> str:
    return (
        f"{sums['runs']} runs, {sums['naive_trainings']} trainings if nothing were shared,"
        f" {sums['unique_stages']} unique stages, {sums['done']} done, {sums['missing']} missing:"
        f" {sums['images_times_epochs_missing']} images x epochs."
    )
