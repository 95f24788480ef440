"""``harness run --stale``: train again what other sources have made, and nothing else."""

from __future__ import annotations

import argparse
import shlex

import torch

from harness.cli.planning import with_finished
from harness.console import note, say
from harness.errors import UserError
from harness.execute import renewal
from harness.execute.execution import ExecutionOptions
from harness.execute.executor import Outcome
from harness.execute.launch import LaunchOptions
from harness.execute.renewal import Renewal
from harness.execute.workers import train_plan
from harness.plan.plan import Plan
from harness.wording import counted


def check(args: argparse.Namespace) -> None:
    """Refuse options that contradict each other.

    Raises:
        UserError: everything is to be trained, and only what is stale.
    """
    if args.stale and args.fresh:
        raise UserError(
            "--fresh trains everything anew and --stale only what other sources have made; give"
            " one of them."
        )


def of(args: argparse.Namespace, plan: Plan) -> Renewal:
    """Return what is trained again of the runs that the command's table shows."""
    return renewal.of(with_finished(args, plan, tell=False))


def train(
    args: argparse.Namespace,
    plan: Plan,
    device: torch.device,
    execution: ExecutionOptions,
    launch: LaunchOptions,
) -> Outcome:
    """Train what is stale again, put it into the place of the former records, and count it."""
    again = of(args, plan)
    taken = renewal.adopt(again, note)  # what a command had finished when it was interrupted
    if taken:
        say(
            f"{counted(taken, 'stage')} had been trained again already;"
            f" {'its record is' if taken == 1 else 'their records are'} in place."
        )
        again = of(args, plan)
    for title in again.left:
        note(f"stays stale: {title}: a stage before it is not finished; `harness run` trains it")
    if not again.stale:
        say("Nothing that can be trained again is stale.")
        return Outcome(trained=0, found=0, failed=())
    say(
        f"{counted(len(again.stale), 'stage')} {'is' if len(again.stale) == 1 else 'are'} stale and"
        " trained again."
    )
    renewal.prepare(again)
    outcome = train_plan(again.plan, device, execution, launch)
    renewal.adopt(again, note)
    renewal.clear(again)
    if outcome.failed:
        inner = again.plan.options.runs
        note(
            "The former records of what failed stay; `harness status --errors --runs"
            f" {shlex.quote(str(inner))}` shows why."
        )
    return outcome
