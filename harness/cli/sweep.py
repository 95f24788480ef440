"""``harness sweep``: search the settings of one row."""

from __future__ import annotations

import argparse

from harness.cli.options import style
from harness.cli.planning import (
    launch_options,
    plan_options,
    resuming_command,
    typed_command,
)
from harness.errors import UserError
from harness.plan import catalog
from harness.plan.summary import warn_of_small_stores
from harness.report import tracking_server
from harness.spec.sweep import Sweep
from harness.sweep import publish, search, storage
from harness.sweep.design import Design, SearchOptions
from harness.sweep.publish import PageOptions
from harness.sweep.search import SweepRequest
from harness.sweep.study import Study


def run(args: argparse.Namespace) -> int:
    """Search the settings of a row, write the pages of its studies and mirror them to MLflow."""
    launch = launch_options(args)
    designs = _designs(args, *catalog.load_sweep(args.experiment))
    pages = page_options(args)
    url = storage.url_of(args.storage, args.runs)
    storage.check_place(url, several_hosts=launch.several_hosts)
    if args.track == "on":
        tracking_server.check_place(args.runs, several_hosts=launch.several_hosts)
    if not args.worker:
        publish.look(designs, pages)
        warn_of_small_stores([design.base for design in designs])
    request = SweepRequest(
        url=url,
        drawing=SearchOptions(sampler=args.sampler, pruner=args.pruner),
        trials=args.trials,
        timeout=args.timeout,
        micro_batch=args.micro_batch,
        evaluate_every=args.evaluate_every,
        steps=args.steps,
        track=tracking_server.wanted(args.track, tell=not args.worker),
        launch=launch,
        pages=pages,
        command=resuming_command(args),
    )
    return (search.work_on_sweep if args.worker else search.search)(designs, request)


def find_studies(args: argparse.Namespace) -> list[Study]:
    """Return the studies of a sweep, one per data set; none for a table.

    Raises:
        UserError: there is no such study, or an option is given that only tables have.
    """
    name, experiment = catalog.find(args.experiment)
    if not isinstance(experiment, Sweep):
        return []
    if args.rows or args.metrics or args.probes or args.rule != "last":
        raise UserError(f"{name} is a sweep; leave --rows, --metrics, --probes and --rule out.")
    url = storage.url_of(args.storage, args.runs)
    designs = _designs(args, name, experiment)
    return [Study(design, url, SearchOptions(), make=False) for design in designs]


def page_options(args: argparse.Namespace) -> PageOptions:
    """Return the options of how a study's pages are written."""
    return PageOptions(
        experiment=args.experiment,
        folder=args.out,
        formats=args.format,
        command=typed_command(args),
        style=style(args),
        name=args.name,
        force=args.force,
    )


def _designs(args: argparse.Namespace, name: str, sweep: Sweep) -> list[Design]:
    return search.designs(
        name, sweep, plan_options(args), study=args.study, objectives=args.objectives
    )
