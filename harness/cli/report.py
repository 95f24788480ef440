"""``harness report``: write the table or the pages of a sweep from existing records, or check."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli import audit, collecting, empty, pages
from harness.cli.options import PAGE, typed_of
from harness.cli.planning import make_plan
from harness.cli.sweep import find_studies, page_options
from harness.cli.tables import named_plan, write_tables, written_plans
from harness.console import note, say
from harness.errors import UserError, listed
from harness.page import build
from harness.page.find import ALL
from harness.provenance import choose_device
from harness.report import check
from harness.spec import profiles
from harness.sweep import publish
from harness.verdict import committed
from harness.wording import counted


@collecting.rarely()
def run(args: argparse.Namespace) -> int:
    """Write the table, or the pages of the sweep's studies, without any training.

    With ``--check``, compare tables that were written with the records beside them instead.
    """
    if args.check:
        return _check(args)
    if args.experiment is None:
        raise UserError("Name an experiment from `harness list`, or give --check.")
    names = (args.experiment, *args.others)
    if PAGE in args.format or len(names) > 1 or args.experiment == ALL:
        path, of_page = pages.named(args, names)
        build.write(pages.request(args, names, of_page), path)
        say(f"Written: {path}")
        remaining = tuple(name for name in args.format if name != PAGE)
        if not remaining:
            return 0
        args = argparse.Namespace(**{**vars(args), "format": remaining})
    if studies := find_studies(args):
        if args.classes:
            raise UserError(f"{args.experiment} is a sweep; leave --classes out.")
        options = page_options(args)
        publish.look([study.design for study in studies], options)
        for study in studies:
            publish.write_pages(study, options)
        return 0
    made = make_plan(args)
    empty.check(made)
    plan = named_plan(args, made)
    sheets = written_plans(args, plan)
    paths = write_tables(args, plan, sheets, choose_device(), measure=False)
    empty.tell(plan, args.experiment)
    say(f"Written: {', '.join(str(p) for p in paths)}")
    return 0


OF_WRITING = (
    *("--datasets", "--rows", "--metrics", "--seeds", "--split", "--rule", "--probes", "--set"),
    *("--data", "--runs", "--format", "--classes", "--figures", "--no-images"),
    *("--storage", "--study", "--objectives", "--style", "--intervals", "--columns", "--siunitx"),
    *("--force", "--margins", "--no-probes", "--init", "--config"),
)
"""Options that say what is written, and from which runs; a comparison takes files as they are."""


def _checked(args: argparse.Namespace) -> str | None:
    """Return the name of the files to compare; of an own table that of its file."""
    name: str | None = args.name or args.experiment
    return Path(name).stem if name is not None and name.endswith(".py") else name


def _check(args: argparse.Namespace) -> int:
    """Print what of the tables contradicts the records beside them; return 1 if anything does."""
    if given := typed_of(args.words, OF_WRITING):
        raise UserError(
            f"{', '.join(given)} would change nothing about --check, which compares the files of a"
            " folder with the records beside them; leave them out."
        )
    if args.others:
        raise UserError(
            f"--check compares all tables or those of one name, but {len(args.others) + 1} were"
            " given; name one, or none."
        )
    root: Path = args.out or Path("reports")
    if args.profile is not None and args.out is None:
        root /= profiles.find(args.profile).name
    checked = check.check(root, _checked(args), (audit.committed, committed.differences))
    note(*(f"warning: {text}" for text in checked.warnings))
    note(*checked.differences)
    for why, paths in checked.listed.items():
        say(f"Named in {why}", *(f"  {path}: compared with its SHA-256 alone" for path in paths))
    if checked.pictures:
        say(f"Pictures that no records name, not compared: {listed(checked.pictures)}.")
    say(
        f"{counted(len(checked.tables), 'table or page', 'tables and pages')} compared with what"
        f" {'it is' if len(checked.tables) == 1 else 'they are'} made from,"
        f" {counted(len(checked.differences), 'difference')},"
        f" {counted(len(checked.warnings), 'warning')}."
    )
    return 1 if checked.differences else 0
