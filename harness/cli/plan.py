"""``harness plan``: show the unique stages of experiments and what is missing."""

from __future__ import annotations

import argparse
from dataclasses import replace

from harness.cli import collecting, empty, starting
from harness.cli.planning import plan_options, tables_of
from harness.console import note, say, say_json
from harness.cost import estimate
from harness.execute import lacking
from harness.plan import plan, summary
from harness.spec.profiles import PAPER
from harness.store.record import Records
from harness.wording import counted


@collecting.rarely()
def run(args: argparse.Namespace) -> int:
    """Print which unique stages of the experiments are done, missing and shared."""
    options = replace(plan_options(args), unprepared=True)
    plans = plan.make_all(tables_of(args, args.experiments), options)
    summary.warn_of_small_stores(plans)
    for line in starting.lines(plans):
        note(line)
    records = Records(options.runs)
    for one in plans:
        note(*lacking.told(one, lacking.run_refusals(one, records)))
    facts = summary.overview(plans, records)
    if args.cost or args.rate or (args.cost is None and options.profile.name == PAPER.name):
        stages = summary.unique_loads(plans, records)
        note(f"Counting {counted(len(stages), 'stage')} on shapes ...")
        facts["work"] = estimate.estimate(plans, stages, args.rate)
    if args.json:
        say_json(facts)
    else:
        note(*(text for p in plans if (text := empty.of(p)) is not None))
        work = estimate.lines(facts["work"]) if "work" in facts else []
        say(*summary.lines(facts), *work)
    return 0
