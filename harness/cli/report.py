"""``harness report``: write a table or a sweep from the records alone."""

from __future__ import annotations

import argparse

from harness.cli.planning import make_plan
from harness.cli.sweep import find_studies, page_options
from harness.cli.tables import write_tables, written_plans
from harness.provenance import choose_device
from harness.sweep import publish


def run(args: argparse.Namespace) -> int:
    """Write the table, or the sweep, from the records alone."""
    if studies := find_studies(args):
        for study in studies:
            publish.write_pages(study, page_options(args))
        return 0
    made = make_plan(args)
    written = written_plans(args, made)
    paths = write_tables(args, made, written, choose_device(), measure=False)
    print(f"Written: {', '.join(str(p) for p in paths)}")
    return 0
