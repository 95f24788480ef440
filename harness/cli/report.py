"""``harness report``: write the table or the pages of a sweep from existing records."""

from __future__ import annotations

import argparse

from harness.cli.planning import make_plan
from harness.cli.sweep import find_studies, page_options
from harness.cli.tables import write_tables, written_plans
from harness.console import say
from harness.provenance import choose_device
from harness.sweep import publish


def run(args: argparse.Namespace) -> int:
    """Write the table, or the pages of the sweep's studies, without any training."""
    if studies := find_studies(args):
        for study in studies:
            publish.write_pages(study, page_options(args))
        return 0
    plan = make_plan(args)
    sheets = written_plans(args, plan)
    paths = write_tables(args, plan, sheets, choose_device(), measure=False)
    say(f"Written: {', '.join(str(p) for p in paths)}")
    return 0
