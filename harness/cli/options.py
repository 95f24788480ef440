"""Command-line options that several commands share, and the parsers of their values."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.starting import add_init
from harness.plan.settings import MOST_SEEDS, folder_of
from harness.ranges import said
from harness.spec.dataset import PARTS

if TYPE_CHECKING:
    from harness.report.table_style import TableStyle


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers between two bounds, both included."""

    def parse(text: str) -> int:
        # ``int`` would also take underscores and the digits of other scripts.
        if re.fullmatch(r"-?[0-9]{1,16}", text) is None or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"{said(text)} is not allowed; give a whole number from {low} to {high}"
            )
        return int(text)

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """Return a parser of numbers between two bounds, both included."""

    def parse(text: str) -> float:
        is_number = re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", text)
        if is_number is None or not low <= float(text) <= high:
            raise argparse.ArgumentTypeError(
                f"{said(text)} is not allowed; give a number from {low:g} to {high:g}"
            )
        return float(text)

    return parse


_NEGATIVE = re.compile(r"-[0-9.][-+0-9.,eE ]*", re.ASCII)


def with_negatives(words: Sequence[str]) -> list[str]:
    """Join an option and a value that begins with a minus sign: --values=-1,-2.

    argparse would take such a value for an option, unless it is a single number.
    """
    joined: list[str] = []
    for word in words:
        before = joined[-1] if joined else ""
        if _NEGATIVE.fullmatch(word) and re.fullmatch(r"--[a-z-]+", before):
            joined[-1] = f"{before}={word}"
        else:
            joined.append(word)
    return joined


def path(text: str) -> Path:
    """Parse the path of a file or folder.

    A shell replaces ~ by the home folder, but not within --option=~/folder: the program would
    otherwise make a folder named ~.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("give a path, not an empty text")
    if text.startswith("~"):
        raise argparse.ArgumentTypeError(
            f"{said(text)} begins with ~, which stands for no folder here; write the whole path"
        )
    return Path(text)


PAGE = "html"
"""Format of a page, which shows more than a table: verdicts, and the runs behind every number."""


def names(text: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    parsed = tuple(name.strip() for name in text.split(",") if name.strip())
    if not parsed:
        raise argparse.ArgumentTypeError("give at least one name")
    return parsed


def formats(text: str, *more: str) -> tuple[str, ...]:
    """Parse table formats, and ``more`` ones, separated by commas."""
    from harness.report.write import TABLE_FORMATS  # slow to import, used for --format only

    return names_of(text, (*TABLE_FORMATS, *more))


def names_of(text: str, known: Sequence[str], what: str = "format") -> tuple[str, ...]:
    """Parse names of a list separated by commas, each once; an empty one is refused."""
    parsed = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    allowed = f"known: {', '.join(known)}"
    if "" in parsed:
        raise argparse.ArgumentTypeError(f"give at least one name, and no empty one; {allowed}")
    for name in parsed:
        if name not in known:
            raise argparse.ArgumentTypeError(f"no {what} {said(name)}; {allowed}")
    return parsed


def typed_of(words: Sequence[str], options: Sequence[str]) -> tuple[str, ...]:
    """Return the options of a list that a command line has, also shortened, in their order."""
    heads = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--"}
    # argparse has refused a shortened option that several begin with.
    found = {
        next((o for o in options if o == head), None)
        or next((o for o in options if o.startswith(head)), None)
        for head in heads
    }
    return tuple(option for option in options if option in found)


def page_formats(text: str) -> tuple[str, ...]:
    """Parse formats of tables and pages separated by commas."""
    return formats(text, PAGE)


def seeds(text: str) -> tuple[int, ...]:
    """Parse seeds and ranges of seeds, such as 0-4, separated by commas."""
    parsed: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not all(re.fullmatch("[0-9]{1,16}", end) for end in ((low, high) if dash else (low,))):
            raise argparse.ArgumentTypeError(f"{said(part)} is not a seed or a range like 0-4")
        first, last = int(low), int(high if dash else low)
        if last >= 2**32:
            raise argparse.ArgumentTypeError(f"the seed {last} is not below 2**32")
        if last < first:
            raise argparse.ArgumentTypeError(f"the range {part!r} is empty")
        if len(parsed) + last - first + 1 > MOST_SEEDS:
            raise argparse.ArgumentTypeError(
                f"{said(text)} names more than {MOST_SEEDS} seeds, the most that a command takes"
            )
        parsed.extend(range(first, last + 1))
    if len(set(parsed)) != len(parsed):
        raise argparse.ArgumentTypeError(f"{said(text)} names a seed twice")
    return tuple(parsed)


rate = number(1e-6, 1e6)
"""Parses a number of TFLOPS."""


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the experiment and the options that select a part of it."""
    parser.add_argument("experiment", help="a name from `harness list`, or the path of a file")
    add_narrowing(parser)


def add_study(parser: argparse.ArgumentParser) -> None:
    """Add the options that select the study of a sweep: database, name, objectives."""
    parser.add_argument(
        "--storage", metavar="URL", help="database of sweeps (default: a file in the run store)"
    )
    parser.add_argument("--study", metavar="NAME", help="name of another study of the same sweep")
    parser.add_argument(
        "--objectives",
        type=names,
        metavar="A[,B]",
        help="of a sweep: accuracy, or accuracy,training_macs",
    )


def add_naming(parser: argparse.ArgumentParser) -> None:
    """Add the name of the files, and whether others are overwritten."""
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="name of the files (default: that of the experiment, NAME-part-XXXXXXXX for a part)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="overwrite files of another table or part, of more seeds, or that git tracks",
    )


def add_output(
    parser: argparse.ArgumentParser, *, figures: bool = True, page: bool = False
) -> None:
    """Add the options of output: folder, formats (also of a page) and figures."""
    parser.add_argument("--out", type=path, help="folder of the tables (default reports/PROFILE)")
    parser.add_argument(
        "--format",
        type=page_formats if page else formats,
        default=("md", "tex", "json"),
        metavar="F,F",
        help=f"md, tex, json, csv{', or html: one page with the runs behind it' if page else ''}",
    )
    add_style(parser, columns=figures)
    if figures:
        parser.add_argument(
            "--classes",
            action="store_true",
            help="also write NAME-classes: confusion matrices, recall and AUROC per class, and"
            " calibration of every finished run",
        )
        parser.add_argument(
            "--figures",
            action="store_true",
            help="also write the experiment's figures and their data",
        )
        parser.add_argument(
            "--no-images",
            action="store_true",
            help="figures show only masks, for data sets whose images may not be redistributed",
        )


def add_style(parser: argparse.ArgumentParser, *, columns: bool = False) -> None:
    """Add the options of how tables are shown; with ``columns`` also those of a table's numbers."""
    parser.add_argument(
        "--style",
        choices=("full", "paper"),
        default="full",
        help="of LaTeX: floats with all notes (full), or the bare tabular for a paper, with"
        " caption and label in NAME-caption.tex (paper)",
    )
    if not columns:
        return
    parser.add_argument(
        "--intervals",
        choices=("none", "sd", "ci"),
        help="behind a mean over seeds: nothing, the standard deviation, or this and the 95 %%"
        " interval (default: ci, with --style paper sd)",
    )
    parser.add_argument(
        "--columns",
        type=names,
        default=(),
        metavar="A,B",
        help="only these columns in texts, by the name of the JSON file, and only these of paper,"
        " ours, difference; JSON and CSV have all",
    )
    parser.add_argument(
        "--siunitx", action="store_true", help="with --style paper: columns of siunitx"
    )


def style(args: argparse.Namespace) -> TableStyle:
    """Return how tables are shown.

    Raises:
        UserError: siunitx is asked for without the style that has it.
    """
    from harness.errors import UserError
    from harness.report.table_style import TableStyle

    siunitx = bool(getattr(args, "siunitx", False))
    if siunitx and args.style != "paper":
        raise UserError("--siunitx needs --style paper: the full tables have no such columns.")
    return TableStyle(
        name=args.style,
        intervals=getattr(args, "intervals", None),
        columns=tuple(getattr(args, "columns", ())),
        siunitx=siunitx,
    )


def add_narrowing(parser: argparse.ArgumentParser) -> None:
    """Add the options that select a part of an experiment and change its settings."""
    parser.add_argument("--profile", help="smoke, laptop or paper")
    parser.add_argument("--datasets", type=names, metavar="A,B", help="only these data sets")
    parser.add_argument("--rows", type=names, metavar="X,Y", help="only these rows")
    parser.add_argument(
        "--metrics",
        type=names,
        metavar="A,B",
        help="columns of every data set instead of the table's: accuracy, balanced_accuracy,"
        " macro_f1, ...; computed from kept predictions, nothing is trained for them",
    )
    parser.add_argument("--seeds", type=seeds, metavar="0,1|0-4", help="seeds to run")
    parser.add_argument(
        "--split",
        choices=tuple(PARTS),
        help="paper (the paper's sizes), clean (no group and no twin in two parts) or given (the"
        " user's own); default: that of each data set, see `harness data list`",
    )
    parser.add_argument(
        "--rule",
        choices=("last", "best"),
        default="last",
        help="epoch that is reported: the last, or the best on the selection part",
    )
    parser.add_argument(
        "--probes",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="also show a linear and a k-NN probe of each pre-trained encoder",
    )
    add_init(parser)
    add_overrides(parser)
    add_folders(parser)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add ``--set``, which changes settings."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="[PHASE.]recipe.FIELD=VALUE, [PHASE.]method.FIELD=VALUE, or finetune=own: each"
        " method's own published fine-tuning; a value with a PHASE precedes one without",
    )


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the folders of prepared data and of records."""
    parser.add_argument(
        "--data",
        type=path,
        default=folder_of("HARNESS_DATA", "data"),
        help="folder of prepared data (HARNESS_DATA)",
    )
    add_runs(parser)


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add the folder of records."""
    parser.add_argument(
        "--runs",
        type=path,
        default=folder_of("HARNESS_RUNS", "runs"),
        help="folder of records and checkpoints (HARNESS_RUNS)",
    )
