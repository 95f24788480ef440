"""``harness run``: train what is missing, then write and print the table."""

from __future__ import annotations

import argparse
from dataclasses import replace

from harness.cli import configuring, empty, stale
from harness.cli.planning import launch_options, make_plan, resuming_command, table_file
from harness.cli.tables import named_plan, source_of, write_tables, written_plans
from harness.console import note, say
from harness.execute.execution import ExecutionOptions
from harness.execute.workers import work_on_plan
from harness.interrupt import Stop
from harness.plan import finished
from harness.plan.stale import stale_keys
from harness.provenance import choose_device
from harness.report import mirror, tracking_server
from harness.results.train import Training, prepare, train
from harness.store.record import Records
from harness.verdict.table import TableVerdict, judge_plan, remarks, summary
from harness.wording import counted


def run(args: argparse.Namespace) -> int:
    """Train what is missing, write the table, print it and mirror it to MLflow."""
    stale.check(args)
    launch = launch_options(args)
    plan, device = make_plan(args), choose_device()
    empty.check(plan)
    execution = ExecutionOptions(
        micro_batch=args.micro_batch,
        evaluate_every=args.evaluate_every,
        steps=args.steps,
        keep=args.keep,
        command=resuming_command(args),
    )
    tracked = tracking_server.wanted(args.track, tell=not args.worker)
    source = source_of(args, plan) if tracked else None
    if source is not None:
        tracking_server.check_place(args.runs, several_hosts=launch.several_hosts)
    if args.worker:
        # Former runs are shown until their stages are done.
        watched_by = None if args.stale else source
        work = stale.of(args, plan).plan if args.stale else plan
        with mirror.watch(watched_by) as watch:
            return work_on_plan(work, device, replace(execution, watch=watch))
    # Before anything is trained: what is in the way of its files.
    written_plans(args, named_plan(args, plan, tell=False))
    if args.save_config is not None:
        configuring.save(args, plan.options.profile.name)
    file = table_file(plan.name, args.experiment)
    with Stop() as stop:
        watched = replace(execution, stop=stop)
        if args.stale:
            prepare(plan, file)
            outcome = stale.train(args, plan, device, watched, launch)
        else:
            training = Training(
                file=file,
                device=device,
                execution=watched,
                launch=launch,
                source=source,
                fresh=args.fresh,
            )
            outcome = train(plan, training)
        # Seeds that have been finished meanwhile, by this command or by others, are shown as well.
        shown = named_plan(args, plan)
        paths = write_tables(args, shown, written_plans(args, shown), device, measure=True)
        empty.tell(shown, args.experiment)
        say(
            f"{counted(outcome.trained, 'stage')} trained, {outcome.found} found done,"
            f" {len(outcome.failed)} failed. Written: {', '.join(str(p) for p in paths)}"
        )
        if others := len(stale_keys(shown, Records(shown.options.runs))):
            note(
                f"{others} of the stages that are shown were made by other sources than the present"
                " ones (†): --stale trains them again. A method that is copied, or becomes another"
                " one, needs another key_name."
            )
        verdict = judge_plan(finished.shown(plan), file=file)
        _say_verdict(verdict, args.experiment)
        if tracked:
            trained = bool(outcome.trained or outcome.failed)
            mirror.mirror_runs(source_of(args, plan, verdict), paths, trained=trained)
    for record in outcome.failed:
        note(f"failed: {record.key[:12]}: {record.error}")
    for line in outcome.refused:
        note(line)
    return 1 if outcome.failed or outcome.refused else 0


def _say_verdict(verdict: TableVerdict, experiment: str) -> None:
    """Print how many published numbers, gains and claims the runs reproduce."""
    lines = summary(verdict)
    if lines:
        answers = (verdict.answer,) if verdict.answer else ()
        say("Verdict:", *(f"  {line}" for line in (*lines, *answers, *remarks(verdict))))
        say(f"`harness verdict {experiment}` with the same options says why.")
