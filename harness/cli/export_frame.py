"""``harness export frame``: all numbers of tables as one tidy frame, for pandas and R."""

from __future__ import annotations

import argparse
from typing import Any

from harness.cli import configuring, options
from harness.console import note, say
from harness.errors import UserError
from harness.wording import counted

FORMATS = ("parquet", "csv", "json")
"""Formats of a frame, as ``harness.report.frame_file`` writes them."""

DESCRIPTION = """Write a row per run and metric of the tables, unrounded, with where each number
comes from; docs/python.md has the columns. Nothing is trained. With several tables, every option
applies to each of them."""


def add_parser(kinds: Any) -> None:
    """Add the kind ``frame`` to the command ``export``."""
    parser = kinds.add_parser("frame", help="numbers of tables, a row per run and metric")
    parser.description = DESCRIPTION
    parser.add_argument(
        "experiments",
        nargs="+",
        metavar="experiment",
        help="names from `harness list`, or paths of files",
    )
    parser.add_argument(
        "--format", choices=FORMATS, help="of the frame (default: that of --to, else csv)"
    )
    parser.add_argument(
        "--to", type=options.path, metavar="FILE", help="file that is written (default: printed)"
    )
    parser.add_argument(
        "--force", action="store_true", help="overwrite a file that git tracks, or that is no frame"
    )
    options.add_narrowing(parser)
    configuring.add_config(parser)
    parser.set_defaults(json=True)  # what is printed besides the frame goes to standard error


def run(args: argparse.Namespace) -> int:
    """Write or print the frame of tables."""
    ending = None if args.to is None else args.to.suffix.removeprefix(".")
    form = args.format or (ending if ending in FORMATS else "csv")
    if args.to is None and form == "parquet":
        raise UserError("Parquet is no text; name its file with --to FILE.")
    from harness import provenance
    from harness.cli.planning import plan_options, tables_of, typed_command, with_finished
    from harness.cli.planning import table_file as file_of
    from harness.plan.plan import make_all
    from harness.report import existing, frame_file
    from harness.report.plan_grid import Making
    from harness.results.part import Part, of_plan
    from harness.results.result import Result

    plans = make_all(tables_of(args, args.experiments), plan_options(args))
    device = provenance.choose_device()
    parts: list[Part] = []
    for plan, experiment in zip(plans, args.experiments, strict=True):
        making = Making(command=typed_command(args), device=device, experiment=experiment)
        parts += of_plan(with_finished(args, plan), making, file_of(plan.name, experiment))
    frame = Result(tuple(parts)).frame
    if args.to is None:
        say(*frame_file.FORMATS[form](frame).decode().splitlines())
        return 0
    if not args.force:
        existing.refuse_tracked((args.to,))
        frame_file.look(args.to)
    frame_file.write(frame, args.to, form)
    note(f"Written: {args.to}, {counted(len(frame), 'row')}")
    return 0
