"""``harness sweep``: search the settings of one row."""

from __future__ import annotations

import argparse

from harness.cli.planning import launch_options, plan_options, typed_command
from harness.errors import UserError
from harness.plan import catalog
from harness.spec.sweep import Sweep
from harness.sweep import search, storage
from harness.sweep.design import Design, SearchOptions
from harness.sweep.publish import PageOptions
from harness.sweep.search import SweepRequest
from harness.sweep.study import Study


def run(args: argparse.Namespace) -> int:
    """Search the settings of a row, write what was found and mirror it to MLflow."""
    launch = launch_options(args)
    designs = _designs(args, *catalog.load_sweep(args.experiment))
    request = SweepRequest(
        url=storage.url_of(args.storage, args.runs),
        drawing=SearchOptions(sampler=args.sampler, pruner=args.pruner),
        trials=args.trials,
        timeout=args.timeout,
        micro_batch=args.micro_batch,
        track=args.track == "on",
        launch=launch,
        pages=page_options(args),
    )
    return (search.work_on_sweep if args.worker else search.search)(designs, request)


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
    url = storage.url_of(args.storage, args.runs)
    return [Study(each, url, SearchOptions(), make=False) for each in _designs(args, name, found)]


def page_options(args: argparse.Namespace) -> PageOptions:
    """Return where and how the pages of a study are written."""
    return PageOptions(folder=args.out, formats=args.format, command=typed_command(args))


def _designs(args: argparse.Namespace, name: str, sweep: Sweep) -> list[Design]:
    return search.designs(
        name, sweep, plan_options(args), study=args.study, objectives=args.objectives
    )
