"""``harness run``: train what is missing, then write and print the table."""

from __future__ import annotations

import argparse
import sys

from harness.cli.planning import make_plan
from harness.cli.tables import write_tables, written_plans
from harness.cli.track import mirror
from harness.execute import workers
from harness.interrupt import Stop
from harness.plan.plan import Plan
from harness.provenance import choose_device


def run(args: argparse.Namespace) -> int:
    """Train what is missing, write the table, print it and mirror it to MLflow."""
    made = make_plan(args)
    if args.worker:
        return workers.work(args, made, choose_device())
    with Stop() as stop:
        return _run(args, made, stop)


def _run(args: argparse.Namespace, made: Plan, stop: Stop) -> int:
    written = written_plans(args, made)
    device = choose_device()
    outcome = workers.execute(args, made, device, stop)
    paths = write_tables(args, made, written, device, measure=True)
    print(
        f"{outcome.trained} stages trained, {outcome.found} found done,"
        f" {len(outcome.failed)} failed. Written: {', '.join(str(p) for p in paths)}"
    )
    if args.track == "on":
        mirror(made, paths)
    for record in outcome.failed:
        print(f"failed: {record.key[:12]}: {record.error}", file=sys.stderr)
    return 1 if outcome.failed else 0
