"""Train a plan's missing stages: margins are frozen first, and MLflow watches where it is told."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from harness.execute.execution import ExecutionOptions
from harness.execute.executor import Outcome
from harness.execute.launch import LaunchOptions
from harness.execute.workers import train_plan
from harness.plan.plan import Plan
from harness.plan.summary import warn_of_small_stores
from harness.report import mirror
from harness.report.tracking_plan import Source
from harness.store import margins as ledger
from harness.store.margins import TableFile
from harness.verdict.frozen import chosen


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the missing stages of a plan are trained.

    Attributes:
        file: of the table, by which its margins are frozen.
        device: that trains.
        execution: how stages are trained; its ``watch`` is replaced.
        launch: how the work is started.
        source: what MLflow shows of it; None for nothing.
        fresh: train everything anew.
    """

    file: TableFile
    device: torch.device
    execution: ExecutionOptions
    launch: LaunchOptions
    source: Source | None = None
    fresh: bool = False


def prepare(plan: Plan, file: TableFile) -> None:
    """Freeze a plan's margins, and tell of images that are stored at less than is wanted.

    Raises:
        UserError: a margin is not the one that was frozen.
    """
    # Before any number is seen: a margin that is chosen afterwards decides nothing.
    ledger.freeze(plan.options.runs, file, chosen(plan.table))
    warn_of_small_stores([plan])


def train(plan: Plan, training: Training) -> Outcome:
    """Train the stages of a plan that have no finished record; return how many.

    Raises:
        UserError: a margin is not the one that was frozen; or as by
            ``harness.execute.workers.train_plan``.
        Stopped: the command was interrupted or terminated.
    """
    prepare(plan, training.file)
    with mirror.watch(training.source) as watch:
        return train_plan(
            plan,
            training.device,
            replace(training.execution, watch=watch),
            training.launch,
            fresh=training.fresh,
        )
