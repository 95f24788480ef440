"""Runs that cannot be trained here because their method needs a package that is not installed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch

from harness import packages, seed
from harness.canonical import digest
from harness.data import registry
from harness.errors import UserError, listed
from harness.execute import parts
from harness.execute.failure import FAILURES, let_through, one_line
from harness.plan.options import Options
from harness.plan.plan import Plan, StageRun
from harness.sources import leaving, user_frames
from harness.spec.recipe import Method, NeedsMasks, Prepared
from harness.store.record import Records
from harness.train.task import build_task

META = torch.device("meta")


def runnable(plan: Plan, records: Records, *, fresh: bool = False) -> tuple[Plan, tuple[str, ...]]:
    """Return a plan without the runs that lack a package, and a line per package that says so.

    Args:
        plan: what is trained.
        records: of the run store.
        fresh: all stages are trained anew, finished ones too.

    Raises:
        UserError: every run lacks a package.
    """
    reasons = run_refusals(plan, records, fresh=fresh)
    kept = tuple(c for c, reason in zip(plan.cell_runs, reasons, strict=True) if reason is None)
    lines = told(plan, reasons)
    if lines and not kept:
        raise UserError(" ".join(lines))
    return replace(plan, cell_runs=kept), lines


def refuse(plan: Plan) -> None:
    """Check that every run of a plan can be trained here, whatever is finished.

    Raises:
        UserError: a run lacks a package.
    """
    if not packages.rows_may_lack():
        return
    if lines := told(plan, _of_runs(plan, plan.stage_runs)):
        raise UserError(" ".join(lines))


def told(plan: Plan, reasons: Sequence[str | None]) -> tuple[str, ...]:
    """Return a line per reason that names the rows of a plan that cannot be trained for it."""
    rows: dict[str, dict[str, None]] = {}
    for cell_run, reason in zip(plan.cell_runs, reasons, strict=True):
        if reason is not None:
            rows.setdefault(reason, {})[cell_run.row.name] = None
    return tuple(
        f"Row{'s' if len(names) > 1 else ''} {listed(list(names))} cannot be trained here. {reason}"
        for reason, names in rows.items()
    )


def run_refusals(plan: Plan, records: Records, *, fresh: bool = False) -> list[str | None]:
    """Return of each run of a plan which package it lacks; None for one that can be trained.

    Finished stages need nothing. Where no package is missing, only what a user's methods say
    themselves is asked for.
    """
    steps = list(plan.stage_runs)
    if not packages.rows_may_lack():
        steps = [s for s in steps if parts.is_own(s.stage) and isinstance(s.stage.method, Prepared)]
    steps = [s for s in steps if fresh or records.finished(s.key) is None]
    if not steps:
        return [None] * len(plan.cell_runs)
    return _of_runs(plan, steps)


def _of_runs(plan: Plan, steps: Sequence[StageRun]) -> list[str | None]:
    """Return of each run of a plan why some of these stages cannot be trained."""
    refused = refusals(steps, plan.options)
    chains = [[c.run.key(n + 1) for n in range(len(c.run.stages))] for c in plan.cell_runs]
    return [next((refused[key] for key in keys if key in refused), None) for keys in chains]


def refusals(steps: Sequence[StageRun], options: Options) -> dict[str, str]:
    """Return why stages cannot be trained here, by key; those that can are not in it."""
    known: dict[str, str | None] = {}
    reasons: dict[str, str] = {}
    for step in steps:
        identity = digest([step.stage.method, step.run.dataset])
        if identity not in known:
            known[identity] = _reason(step, options)
        reason = known[identity]
        if reason is not None:
            reasons[step.key] = reason
    return reasons


def check(method: Method) -> None:
    """Check that this machine has what a method says that it needs.

    Raises:
        UserError: something is missing, or mmsegmentation is installed twice.
    """
    if not isinstance(method, Prepared):
        return
    with packages.explained():  # what it looks for may import another package
        method.ready()
    if isinstance(method, NeedsMasks) and (twice := packages.clash()) is not None:
        raise UserError(twice)


def _reason(step: StageRun, options: Options) -> str | None:
    """Return which package a stage's method lacks; found by building its task on shapes."""
    method = step.stage.method
    own = parts.is_own(step.stage)
    try:
        with leaving.refused() if own else nullcontext():
            check(method)
    except UserError as error:
        return str(error)
    except FAILURES as failure:
        if not own:
            raise
        let_through(failure)
        at = user_frames.last_line(failure)
        where = "" if at is None else f"{at[0]}, line {at[1]}: "
        return f"ready() fails: {where}{one_line(failure)}"
    if own:
        return None  # what a user's code lacks is met by the run itself, in a process of its own
    dataset = registry.find(step.run.dataset, options.data)
    try:
        with seed.third_party("packages", "build"), META:
            build_task(method, dataset, options.profile.backbones)
    except FAILURES as failure:
        told = packages.explain(failure)
        return None if told is None else str(told)  # other errors are met by the run itself
    return None
