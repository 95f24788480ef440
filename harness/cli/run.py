"""``harness run``: train what is missing, then write and print the table."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from harness.cli.planning import (
    launch_options,
    make_plan,
    resuming_command,
    table_file,
    warn_of_small_stores,
)
from harness.cli.tables import mirror_runs, named_plan, source_of, write_tables, written_plans
from harness.console import note, say
from harness.execute.stage import ExecutionOptions
from harness.execute.watch import NoWatch, StageWatch
from harness.execute.workers import train_plan, work_on_plan
from harness.interrupt import Stop
from harness.plan import finished
from harness.plan.plan import Plan
from harness.provenance import choose_device
from harness.report.tracking_live import Live
from harness.store import margins as ledger
from harness.verdict.frozen import chosen
from harness.verdict.table import TableVerdict, judge_plan, remarks, summary


def run(args: argparse.Namespace) -> int:
    """Train what is missing, write the table, print it and mirror it to MLflow."""
    launch = launch_options(args)
    plan, device = make_plan(args), choose_device()
    execution = ExecutionOptions(
        micro_batch=args.micro_batch, keep=args.keep, command=resuming_command(args)
    )
    if args.worker:
        with _watch(args, plan) as watch:
            return work_on_plan(plan, device, replace(execution, watch=watch))
    # Before anything is trained: what is in the way of its files.
    written_plans(args, named_plan(args, plan, tell=False))
    # Before any number is seen: a margin that is chosen afterwards decides nothing.
    file = table_file(plan.name, args.experiment)
    ledger.freeze(plan.options.runs, file, chosen(plan.table))
    warn_of_small_stores([plan])
    with Stop() as stop:
        with _watch(args, plan) as watch:
            watched = replace(execution, stop=stop, watch=watch)
            outcome = train_plan(plan, device, watched, launch, fresh=args.fresh)
        # Seeds that have been finished meanwhile, by this command or by others, are shown as well.
        shown = named_plan(args, plan)
        paths = write_tables(args, shown, written_plans(args, shown), device, measure=True)
        say(
            f"{outcome.trained} stages trained, {outcome.found} found done,"
            f" {len(outcome.failed)} failed. Written: {', '.join(str(p) for p in paths)}"
        )
        verdict = judge_plan(finished.shown(plan), file=file)
        _say_verdict(verdict, args.experiment)
        if args.track == "on":
            trained = bool(outcome.trained or outcome.failed)
            mirror_runs(source_of(args, plan, verdict), paths, trained=trained)
    for record in outcome.failed:
        note(f"failed: {record.key[:12]}: {record.error}")
    for line in outcome.refused:
        note(line)
    return 1 if outcome.failed or outcome.refused else 0


def _watch(args: argparse.Namespace, plan: Plan) -> AbstractContextManager[StageWatch]:
    """Return what shows stages in MLflow while they train; under ``--track off``, nothing."""
    return Live(source_of(args, plan)) if args.track == "on" else nullcontext(NoWatch())


def _say_verdict(verdict: TableVerdict, experiment: str) -> None:
    """Print how many published numbers, gains and claims the runs reproduce."""
    lines = summary(verdict)
    if lines:
        answers = (verdict.answer,) if verdict.answer else ()
        say("Verdict:", *(f"  {line}" for line in (*lines, *answers, *remarks(verdict))))
        say(f"`harness verdict {experiment}` with the same options says why.")
