"""``harness verdict``: is a published number reproduced, different, or can nobody tell?"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import files
from harness.cli import configuring, options
from harness.console import say, say_json
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.plan.plan import Plan
    from harness.report.values import Context
    from harness.verdict.table import TableVerdict
    from harness.verdict.values import Verdict

DESCRIPTION = """Say of every published number of tables, and of every claim, whether the finished
runs reproduce it; or, with --values and --published, of numbers that are typed in. Nothing is
trained. The words and their order stand in docs/verdict.md."""

OF_TABLES = (
    *("--profile", "--datasets", "--rows", "--metrics", "--seeds", "--split", "--rule"),
    *("--probes", "--set", "--data", "--runs", "--out", "--name", "--force"),
    *("--format", "--style", "--init"),
)
"""Options that say nothing about values that are typed in."""


def add_parser(commands: Any) -> None:
    """Add the ``verdict`` command to the command line."""
    parser = commands.add_parser(
        "verdict", help="judge published numbers against runs, or against typed values"
    )
    parser.description = DESCRIPTION
    parser.add_argument(
        "experiments", nargs="*", metavar="experiment", help="names from `harness list`, or paths"
    )
    parser.add_argument(
        "--values", metavar="V,V", help="own results, one per seed; judged against --published"
    )
    parser.add_argument("--published", metavar="P", help="the published number, as printed")
    parser.add_argument(
        "--margin",
        type=options.number(1e-12, 1e12),
        metavar="M",
        help="largest difference that counts as the same; for tables: in place of the frozen"
        " margins, for a separate verdict that says so",
    )
    parser.add_argument(
        "--basis",
        choices=("mean", "draw"),
        help="the published number is a mean that is taken as exact (default for --values), or one"
        " run's draw (default and only choice for tables)",
    )
    parser.add_argument(
        "--images",
        type=options.whole(1, 10_000_000),
        metavar="N",
        help="with --values and --basis draw or --published-runs: the published number is a share"
        " (%%) of N images, checked by GRIM; the mean of unknown runs can be any number",
    )
    parser.add_argument(
        "--published-runs",
        type=options.whole(1, 10_000_000),
        metavar="K",
        help="with --values: the published number is the mean of K runs, and varies as such",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=options.path, help="folder of the pages (reports/PROFILE)")
    parser.add_argument(
        "--format",
        choices=("md,json", "md,tex,json"),
        default="md,json",
        help="files that are written; LaTeX only where it is named",
    )
    options.add_style(parser)
    options.add_naming(parser)
    options.add_narrowing(parser)
    configuring.add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Judge tables or typed values; always 0, since no verdict is an error."""
    typed = args.values is not None or args.published is not None
    if typed == bool(args.experiments):
        raise UserError(
            "Give names of tables, or --values and --published: "
            + ("both were given." if typed else "neither was given.")
        )
    if typed:
        of_tables = options.typed_of(args.words, OF_TABLES)
        if args.margins:  # of which --margin is no shortened form
            of_tables = (*of_tables, "--margins")
        if of_tables:
            raise UserError(
                f"{', '.join(of_tables)} select runs of tables and change nothing about typed"
                " --values; leave them out, or name a table instead of --values."
            )
        return _typed(args)
    for name in ("basis", "images", "published-runs"):
        if getattr(args, name.replace("-", "_")) is not None:
            raise UserError(f"--{name} belongs to --values; tables know theirs. Leave it out.")
    return _tables(args)


def _typed(args: argparse.Namespace) -> int:
    from harness.verdict import terminal, write

    verdict = judge_values(args)
    if args.json:
        say_json(write.to_json(verdict))
    else:
        say(*terminal.lines(verdict))
    return 0


def judge_values(args: argparse.Namespace) -> Verdict:
    """Judge the values of a command line.

    Raises:
        UserError: values, the published number or the margin are missing or no numbers.
    """
    from harness.spec.claim import Margin
    from harness.spec.printed import Printed
    from harness.verdict.judge import judge
    from harness.verdict.units import mixed
    from harness.verdict.values import Basis, Evidence

    for name in ("values", "published", "margin"):
        if getattr(args, name) is None:
            raise UserError(
                f"--{name} is missing: give --values V,V --published P --margin M, the margin in"
                " the values' unit."
            )
    basis: Basis = args.basis or ("mean" if args.published_runs is None else "draw")
    if args.published_runs is not None and basis == "mean":
        raise UserError(
            "--published-runs says how the published number varies, --basis mean that it is exact;"
            " leave one of them out."
        )
    if args.images is not None and basis != "draw":
        raise UserError(
            "--images needs --basis draw or --published-runs: the mean of unknown runs can be any"
            " number."
        )
    parse = options.number(-1e12, 1e12)
    try:
        values = tuple(parse(word.strip()) for word in args.values.split(","))
    except argparse.ArgumentTypeError as error:
        raise UserError(f"--values: {error}; separate them by commas.") from error
    printed = Printed(args.published.strip(), runs=args.published_runs or 1)
    return judge(
        Evidence(
            printed=printed,
            remarks=tuple(filter(None, (mixed(printed, values),))),
            values=values,
            margin=Margin(value=args.margin, source="given with --margin"),
            basis=basis,
            printed_n=args.images,
            is_share=args.images is not None,
        )
    )


def _tables(args: argparse.Namespace) -> int:
    from harness.report import json_files
    from harness.verdict import existing, latex, terminal, write
    from harness.verdict.table import counted, summary

    if args.name is not None and len(args.experiments) > 1:
        raise UserError("--name names the page of one table; name one, or leave --name out.")
    verdicts = list(_judged(args))
    named = [
        existing.named(verdict, experiment, _folder(args, verdict.plan), args.name)
        for verdict, experiment in zip(verdicts, args.experiments, strict=True)
    ]
    paths, pages = [], []
    if not args.force:
        for page in named:
            existing.look(page, args.format.split(","))
    for verdict, page in zip(verdicts, named, strict=True):
        context = _context(args, page.plan)
        values = write.table_to_json(verdict, context)
        pages.append(values)
        texts = {f"{page.path.stem}.md": write.markdown(verdict, context)}
        if "tex" in args.format:
            shown = write.view(verdict, context)
            texts.update(latex.render(shown, context, page.path.stem, options.style(args)))
        for file, text in texts.items():
            files.write_text(page.path.with_name(file), text)
        json_files.write(page.path, values)
        paths += [*(page.path.with_name(file) for file in texts), page.path]
    words = [judged.word for verdict in verdicts for _, judged in verdict.numbers]
    if args.json:
        say_json({"summary": counted(words), "tables": pages})
        return 0
    for verdict in verdicts:
        say(*terminal.table_lines(verdict), "")
    if len(verdicts) > 1:
        say("Summary:", *(f"  {line}" for verdict in verdicts for line in summary(verdict)))
        say(f"  all published numbers: {counted(words)}")
    say(f"Written: {', '.join(map(str, paths))}")
    return 0


def _folder(args: argparse.Namespace, plan: Plan) -> Path:
    """Return the folder of the pages."""
    return args.out or Path("reports") / plan.options.profile.name


def _judged(args: argparse.Namespace) -> Iterator[TableVerdict]:
    """Yield the verdicts on each table, with its frozen margins or with ``--margin``.

    Raises:
        UserError: a table has no published number, or a margin is not the frozen one.
    """
    from harness.cli.planning import plan_options, table_file, tables_of, with_finished
    from harness.plan.plan import make_all
    from harness.spec.claim import Margin
    from harness.store import margins as ledger
    from harness.verdict.frozen import chosen
    from harness.verdict.table import judge_plan

    tables = tables_of(args, args.experiments)
    given = None
    if args.margin is not None:
        given = Margin(value=args.margin, source="given with --margin")
    plans = make_all(tables, replace(plan_options(args), unprepared=True))
    for asked, experiment in zip(plans, args.experiments, strict=True):
        plan = with_finished(args, asked)
        own, file = chosen(plan.table), table_file(plan.name, experiment)
        if not own and not plan.table.claims:
            raise UserError(
                f"{plan.name} prints no published number to judge; give Row.printed in its file."
                " Its rows are compared with each other by its table (Ties) and by compare of"
                " harness.api."
            )
        if given is None:
            ledger.check(plan.options.runs, file, own)
        yield judge_plan(plan, margin=given, file=file)


def _context(args: argparse.Namespace, plan: Plan) -> Context:
    from harness.cli.planning import typed_command
    from harness.report import collect

    return collect.context(plan, command=typed_command(args), device=platform.machine())
