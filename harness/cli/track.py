"""``harness track``: mirror finished records to MLflow."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.planning import make_plan, table_file, with_finished
from harness.cli.sweep import find_studies
from harness.cli.tables import source_of
from harness.console import say
from harness.plan import naming, outputs
from harness.report import tracking, tracking_plan, tracking_server
from harness.report.tracking import Mirrored
from harness.sweep import publish
from harness.verdict.table import judge_plan
from harness.wording import counted


def run(args: argparse.Namespace) -> int:
    """Compare all finished records with MLflow, and write what it lacks."""
    tracking_server.check_place(args.runs, several_hosts=False)
    if studies := find_studies(args):
        for study in studies:
            count, mirrored = publish.compare(study)
            _say(study.design.study, count, mirrored)
        return 0
    plan = with_finished(args, make_plan(args))
    folder = Path("reports") / plan.options.profile.name
    written = outputs.names(naming.named(plan, args.experiment, folder))
    paths = [path for name in written for path in sorted(folder.glob(f"{name}.*"))]
    verdict = judge_plan(plan, file=table_file(plan.name, args.experiment))
    runs = tracking_plan.mirrors(source_of(args, plan, verdict))
    mirrored = Mirrored()
    if runs:
        profile = plan.options.profile.name
        mirrored = tracking.mirror(plan.name, profile, runs, paths, folder=plan.options.runs)
    _say(plan.name, len(runs), mirrored)
    return 0


def _say(name: str, count: int, mirrored: Mirrored) -> None:
    """Print what was mirrored of a table or study with ``count`` finished runs."""
    tracking.warn(mirrored)
    if mirrored.busy:
        say(f"{name}: another process is mirroring to MLflow; nothing was done.")
    elif not count:
        say(f"{name}: no finished runs, nothing to mirror.")
    elif not mirrored.written and not mirrored.failures:
        say(f"{name}: MLflow has all {count} finished runs, nothing to mirror.")
    else:
        say(f"{name}: {counted(mirrored.written, 'run')} mirrored to MLflow.")
