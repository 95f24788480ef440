"""``harness sweep``: search the settings of one row."""

from __future__ import annotations

import argparse

from harness.cli.planning import plan_options, typed_command
from harness.errors import UserError
from harness.plan import catalog
from harness.spec.sweep import Sweep
from harness.sweep import search
from harness.sweep.study import Study


def run(args: argparse.Namespace) -> int:
    """Search the settings of a row, write what was found and mirror it to MLflow."""
    name, found = catalog.load_sweep(args.experiment)
    made = search.designs(name, found, args, plan_options(args))
    return search.search(args, made, typed_command(args))


def find_studies(args: argparse.Namespace) -> list[Study]:
    """Open the studies of a sweep; a table has none.

    Raises:
        UserError: there is no such study, or options are given that are for tables.
    """
    name, found = catalog.find(args.experiment)
    if not isinstance(found, Sweep):
        return []
    if args.rows or args.probes or args.rule != "last":
        raise UserError(f"{name} is a sweep; leave --rows, --probes and --rule out.")
    made = search.designs(name, found, args, plan_options(args))
    return search.open_studies(args, made)
