"""Command line: parse the arguments, run one command and return its exit code.

Exit codes: 0 done, 1 some runs failed, 2 an error that the user can correct (one line), 130
interrupted, 143 terminated. Large packages such as torch are imported only by the commands that
need them.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import NoReturn

from harness import __version__, ranges
from harness.cli import configuring, faults, keeping, options, plugged
from harness.cli.launching import add_execution
from harness.cli.options import (
    add_folders,
    add_narrowing,
    add_output,
    add_overrides,
    add_selection,
    add_study,
)
from harness.console import note, take_any_text
from harness.errors import UserError, is_text
from harness.interrupt import Stop, Stopped, last_line, leaving_on_signals
from harness.store import form

DESCRIPTION = """Run MSMAE against its rivals and lay the results beside the paper's numbers.
Start with `harness list`, then `harness run table1`."""

ANY_STORE_FORM = ("doctor", "migrate")
"""Commands that accept a run store of any form; others need the form of this version."""

TRACKING = ("run", "sweep", "track", "report", "status", "verdict")
"""Commands that look after what killed ones have left in MLflow."""

LEAVING = ("list", "plan", "status", "doctor", "new", "check", "run", "sweep")
"""Commands that have nothing to clean up when a signal ends them; the last two, until they train
and handle signals themselves."""

OF_THEIR_OWN = (
    *("verdict", "figures", "serve", "data", "cost", "audit", "migrate", "export", "new", "check"),
)
"""Commands whose modules add their options themselves, in the order of ``harness --help``."""

AGAIN = 1.0
"""Seconds until a command that a signal has not ended is interrupted once more."""

LONGEST_MESSAGE = 1000
"""Characters of a message about a word of the command line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    take_any_text()
    with Stop(again=AGAIN) as stop:
        try:
            return _run(sys.argv[1:] if argv is None else argv, is_process=argv is None, stop=stop)
        except KeyboardInterrupt as stopped:
            code = stopped.code if isinstance(stopped, Stopped) else 130
        except Exception:
            if stop.number is None:
                raise
            # A signal that comes while a package is imported can end in an error of the package's.
            code = 128 + stop.number
        note("", last_line(code - 128))
        return code


def _run(words: Sequence[str], *, is_process: bool, stop: Stop) -> int:
    """Run a command, and turn errors that are no bugs into one line and exit code 2."""
    try:
        _check_words(words)
        parser = _parser()
        args = configuring.parse(parser, words)
        code = _dispatch(args, parser, is_process=is_process)
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk is met here, not when the interpreter exits
        return code
    except BaseException as error:
        told = faults.code_of(error, words, stopped=stop.asked)
        if told is None:
            raise
        return told


def _check_words(words: Sequence[str]) -> None:
    """Check that the words of a command line are text.

    Raises:
        UserError: one holds a byte that is none.
    """
    for number, word in enumerate(words, 1):
        if "\0" in word or not is_text(word):
            raise UserError(
                f"Word {number} of the command line, {ranges.said(word)}, is no text (UTF-8 without"
                " NUL); rename what it names."
            )


def _dispatch(
    args: argparse.Namespace, parser: argparse.ArgumentParser, *, is_process: bool
) -> int:
    if args.command is None:
        parser.print_help()
        return 0
    if hasattr(args, "runs") and args.command not in ANY_STORE_FORM:
        form.check(args.runs)
    with plugged.folders_of(args):
        # Only this command's module is imported: some of them import torch, which is slow.
        with leaving_on_signals() if is_process else nullcontext():
            module = importlib.import_module(f"harness.cli.{args.command}")
        # An exception would not do where packages are imported late, see ``interrupt.leave``.
        with leaving_on_signals() if is_process and args.command in LEAVING else nullcontext():
            code: int = module.run(args)
        _end_abandoned(args)
    return code


def _end_abandoned(args: argparse.Namespace) -> None:
    """End the runs in MLflow that killed processes have left RUNNING, where the command may."""
    off = getattr(args, "track", "on") == "off" or getattr(args, "worker", False)
    if args.command not in TRACKING or off or not (args.runs / "claims").is_dir():
        return
    from harness.report import tracking

    tracking.end_abandoned(args.runs)


class _Parser(argparse.ArgumentParser):
    """A parser that reports a wrong word in one line, without the usage of the whole command."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and how to see what is allowed; exit with 2."""
        shortened = (
            message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}..."
        )
        note(f"harness: {shortened}; see `{self.prog} --help`.")
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="harness", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"harness {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    run = commands.add_parser("run", help="train what is missing and write the table")
    add_selection(run)
    run.add_argument("--fresh", action="store_true", help="train everything anew")
    run.add_argument(
        "--stale",
        action="store_true",
        help="train again the finished stages that other sources have made (†), and nothing else;"
        " a former record stays until the new one is complete",
    )
    add_execution(run)
    keeping.add_keep(run)
    keeping.add_models(run)
    add_output(run)
    options.add_naming(run)
    configuring.add_config(run, save=True)

    _plan(commands.add_parser("plan", help="show the unique stages and what is missing"))
    _sweep(commands.add_parser("sweep", help="search the settings of one row with Optuna"))

    report = commands.add_parser("report", help="write the table or the sweep from the records")
    report.add_argument(
        "experiment",
        nargs="?",
        help="a name from `harness list`, or the path of a file; for --format html also several, or"
        " all: every table that ships and has a run",
    )
    report.add_argument("others", nargs="*", metavar="experiment", help=argparse.SUPPRESS)
    report.add_argument(
        "--check",
        action="store_true",
        help="write nothing; compare the tables in reports/ (or --out), or those of one name, with"
        " the records kept beside them; exit code 1 where a number differs",
    )
    add_narrowing(report)
    add_output(report, page=True)
    options.add_naming(report)
    configuring.add_config(report)
    add_study(report)

    track = commands.add_parser("track", help="mirror finished records to MLflow")
    add_selection(track)
    add_study(track)
    keeping.add_models(track)

    commands.add_parser("list", help="list what there is, and where each comes from")
    doctor = commands.add_parser("doctor", help="show versions, device and prepared data")
    add_folders(doctor)

    _status(commands.add_parser("status", help="show what is trained, interrupted and failed"))
    _verify(commands.add_parser("verify", help="check every file against its checksum"))
    _clean(commands.add_parser("clean", help="remove checkpoints that nobody can want any more"))

    for name in OF_THEIR_OWN:
        importlib.import_module(f"harness.cli.{name}").add_parser(commands)
    importlib.import_module("harness.cli.completion").add_parser(commands, parser)
    plugged.add_to_all(parser)
    faults.add_option(parser)
    return parser


def _plan(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show the unique stages of one experiment, or of several together: which they share and"
        " what is missing. With several, every option applies to each of them; a row of --rows and"
        " a field of --set need to exist in one of them only."
    )
    parser.add_argument(
        "experiments",
        nargs="+",
        metavar="experiment",
        help="names from `harness list`, or paths of files",
    )
    add_narrowing(parser)
    configuring.add_config(parser)
    parser.add_argument(
        "--cost",
        action=argparse.BooleanOptionalAction,
        help="also count FLOPs and disk (default: with the paper profile)",
    )
    parser.add_argument(
        "--rate",
        type=options.rate,
        metavar="TFLOPS",
        help="sustained in training: also show GPU-hours",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable")


def _sweep(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Search the settings of one row: trials are chosen by the accuracy on the validation part"
        " of the clean split. Interrupted or killed, the same command continues."
    )
    parser.add_argument("experiment", help="a sweep from `harness list`, or the path of a file")
    parser.add_argument(
        "--trials",
        type=options.whole(1, 1_000_000),
        metavar="N",
        help="total number of finished trials wanted",
    )
    parser.add_argument(
        "--timeout",
        type=options.number(1e-9, 1e9),
        metavar="S",
        help="start no trial after S seconds",
    )
    parser.add_argument("--sampler", choices=("tpe", "grid", "random", "cmaes"))
    parser.add_argument("--pruner", choices=("hyperband", "median", "none"))
    add_study(parser)
    parser.add_argument("--profile", help="smoke, laptop or paper")
    parser.add_argument(
        "--datasets", type=options.names, metavar="A,B", help="one study per data set"
    )
    parser.add_argument("--seeds", type=options.seeds, metavar="N", help="one seed")
    add_overrides(parser)
    add_folders(parser)
    add_execution(parser)
    add_output(parser, figures=False)
    options.add_naming(parser)
    parser.set_defaults(split="clean", rule="last", rows=None, metrics=None, probes=False)


def _status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--errors", action="store_true", help="also show the traceback of each failed stage"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable")
    add_folders(parser)


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Check every record, checkpoint, prediction, model, database and prepared image array"
        " against its checksum; name what is damaged, and what it takes to make it anew. Exit code"
        " 1 where something is damaged."
    )
    parser.add_argument(
        "--set-aside",
        action="store_true",
        help="rename damaged files of stages to *.damaged; `harness run` makes them anew",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable")
    add_folders(parser)


def _clean(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Remove the checkpoints of finished stages, claims of ended processes and interrupted"
        " writes; never records, nor files that the harness did not write. It lists them and asks"
        " first. With --keep needed or last also weights and interrupted stages that no pending"
        " stage of a known experiment needs: known are all that `harness list` shows, under every"
        " profile, and those named here."
    )
    parser.add_argument(
        "experiments", nargs="*", metavar="experiment", help="further known experiments"
    )
    parser.add_argument("--dry-run", action="store_true", help="list what would be removed")
    parser.add_argument(
        "--keep",
        choices=("wanted", "all", "needed", "last"),
        help="checkpoints to keep: those of unfinished stages and all final models and encoders"
        " (wanted, default); all; those that pending stages need; these and the models of finished"
        " chains (last)",
    )
    keeping.add_kinds(parser)
    parser.add_argument("--yes", action="store_true", help="remove without asking")
    parser.add_argument(
        "--seeds", type=options.seeds, metavar="0,1|0-4", help="further known seeds"
    )
    add_overrides(parser)
    add_folders(parser)
