"""``harness run``: train what is missing, then write and print the table."""

from __future__ import annotations

import argparse
from dataclasses import replace

from harness.cli.planning import (
    launch_options,
    make_plan,
    resuming_command,
    table_file,
    warn_of_small_stores,
)
from harness.cli.tables import mirror_runs, write_tables, written_plans
from harness.console import note, say
from harness.execute.stage import ExecutionOptions
from harness.execute.workers import train_plan, work_on_plan
from harness.interrupt import Stop
from harness.plan.plan import Plan
from harness.provenance import choose_device
from harness.store import margins as ledger
from harness.store.margins import TableFile
from harness.verdict.frozen import chosen
from harness.verdict.table import judge_plan, remarks, summary


def run(args: argparse.Namespace) -> int:
    """Train what is missing, write the table, print it and mirror it to MLflow."""
    launch = launch_options(args)
    plan, device = make_plan(args), choose_device()
    execution = ExecutionOptions(
        micro_batch=args.micro_batch, keep=args.keep, command=resuming_command(args)
    )
    if args.worker:
        return work_on_plan(plan, device, execution)
    # Before any number is seen: a margin that is chosen afterwards decides nothing.
    file = table_file(plan.name, args.experiment)
    ledger.freeze(plan.options.runs, file, chosen(plan.table))
    warn_of_small_stores([plan])
    with Stop() as stop:
        sheets = written_plans(args, plan)
        stopping = replace(execution, stop=stop)
        outcome = train_plan(plan, device, stopping, launch, fresh=args.fresh)
        paths = write_tables(args, plan, sheets, device, measure=True)
        say(
            f"{outcome.trained} stages trained, {outcome.found} found done,"
            f" {len(outcome.failed)} failed. Written: {', '.join(str(p) for p in paths)}"
        )
        _say_verdict(plan, file, args.experiment)
        if args.track == "on":
            mirror_runs(plan, paths)
    for record in outcome.failed:
        note(f"failed: {record.key[:12]}: {record.error}")
    return 1 if outcome.failed else 0


def _say_verdict(plan: Plan, file: TableFile, experiment: str) -> None:
    """Print how many published numbers, gains and claims the runs reproduce."""
    verdict = judge_plan(plan, file=file)
    lines = summary(verdict)
    if lines:
        say("Verdict:", *(f"  {line}" for line in (*lines, *remarks(verdict))))
        say(f"`harness verdict {experiment}` with the same options says why.")
