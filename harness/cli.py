"""The command line: parses, prints, chooses exit codes, nothing else.

Exit codes: 0 done, 1 some runs failed, 2 a user's error (one clear line), 130 interrupted, 143
terminated.
Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import __version__, arguments
from harness.errors import UserError
from harness.stop import Stopped

DESCRIPTION = """Run MSMAE against its rivals and lay the results beside the paper's numbers.
Start with `harness list`, then `harness run table1`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    args = parser.parse_args(words)
    args.command_line = ["harness", *words]
    try:
        return _dispatch(args, parser)
    except UserError as error:
        print(f"harness: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, less) has gone; leave without a second error at shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # The machine's fault, not ours: a folder that cannot be read, a disk that is full.
        where = f" {error.filename}" if error.filename else ""
        print(f"harness: cannot use{where}: {error.strerror or error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        code = stopped.code if isinstance(stopped, Stopped) else 130
        how = "interrupted" if code == 130 else "terminated"
        print(
            f"\nharness: {how}; the same command goes on from the last checkpoint.",
            file=sys.stderr,
        )
        return code


def _dispatch(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    if args.command is None:
        parser.print_help()
        return 0
    if args.command == "data":
        from harness.data import commands as data

        return data.run(args)
    if args.command == "list":
        from harness import listing

        return listing.run(args)
    if args.command == "cost":
        from harness.cost import commands as cost

        return cost.run(args)
    if args.command == "status":
        from harness import status

        return status.run(args)
    if args.command == "clean":
        from harness import clean

        return clean.run(args)
    from harness import commands

    return commands.COMMANDS[args.command](args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="harness", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"harness {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    run = commands.add_parser("run", help="train what is missing and write the table")
    _selection(run)
    run.add_argument("--fresh", action="store_true", help="train everything anew")
    _execution(run)
    _written(run)

    _plan(commands.add_parser("plan", help="show the unique stages and what is missing"))
    _sweep(commands.add_parser("sweep", help="search the settings of one row with Optuna"))

    report = commands.add_parser("report", help="write the table or the sweep from the records")
    _selection(report)
    _written(report)
    _study(report)

    track = commands.add_parser("track", help="mirror finished records to MLflow")
    _selection(track)
    _study(track)

    commands.add_parser("list", help="list experiments, methods, data sets and profiles")
    doctor = commands.add_parser("doctor", help="show versions, device and prepared data")
    _folders(doctor)

    _status(commands.add_parser("status", help="show what is being trained, and what failed"))
    _clean(commands.add_parser("clean", help="remove checkpoints that nothing needs"))

    from harness.cost.commands import add_parser as add_cost_parser
    from harness.data.commands import add_parser as add_data_parser

    add_data_parser(commands)
    add_cost_parser(commands)
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
    _narrowing(parser)
    parser.add_argument(
        "--cost",
        action=argparse.BooleanOptionalAction,
        help="also count FLOPs and disk (default: with the paper profile)",
    )
    parser.add_argument(
        "--rate",
        type=arguments.rate,
        metavar="TFLOPS",
        help="sustained in training: also say GPU-hours",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable")


def _execution(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--jobs",
        type=arguments.count,
        default=1,
        metavar="N",
        help="processes that train at once; each has 1/N of the cores",
    )
    parser.add_argument(
        "--micro-batch",
        type=arguments.count,
        metavar="N",
        help="take a batch's gradient N images at a time: less memory, the same numbers up to"
        " rounding",
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--track", choices=("on", "off"), default="on", help="mirror to MLflow")


def _selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", help="a name from `harness list`, or the path of a file")
    _narrowing(parser)


def _sweep(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Search the settings of one row: trials are chosen by the accuracy on the validation part"
        " of the clean split. Interrupted or killed, the same command goes on."
    )
    parser.add_argument("experiment", help="a sweep from `harness list`, or the path of a file")
    parser.add_argument("--trials", type=int, metavar="N", help="finished trials wanted in all")
    parser.add_argument("--timeout", type=float, metavar="S", help="start no trial after S seconds")
    parser.add_argument("--sampler", choices=("tpe", "grid", "random", "cmaes"))
    parser.add_argument("--pruner", choices=("hyperband", "median", "none"))
    _study(parser)
    parser.add_argument("--profile", help="smoke, laptop or paper")
    parser.add_argument("--datasets", type=arguments.names, metavar="A,B", help="a study each")
    parser.add_argument("--seeds", type=arguments.seeds, metavar="N", help="one seed")
    _set(parser)
    _folders(parser)
    _execution(parser)
    _written(parser, figures=False)
    parser.set_defaults(split="paper", rule="last", rows=None, probes=False)


def _status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable")
    _folders(parser)


def _clean(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Remove checkpoints that no pending stage of a known experiment needs, claims of dead"
        " owners and interrupted writes; never records. Known are all that `harness list` shows,"
        " under every profile, and those named here."
    )
    parser.add_argument("experiments", nargs="*", metavar="experiment", help="known, too")
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed")
    parser.add_argument(
        "--keep",
        choices=("all", "needed", "last"),
        default="needed",
        help="checkpoints to keep: all; those that pending stages need (default); these and the"
        " models of finished chains",
    )
    parser.add_argument("--seeds", type=arguments.seeds, metavar="0,1|0-4", help="known, too")
    _set(parser)
    _folders(parser)


def _study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--storage", metavar="URL", help="database of sweeps (default: a file in the run store)"
    )
    parser.add_argument("--study", metavar="NAME", help="another study of the same sweep")
    parser.add_argument(
        "--objectives",
        type=arguments.names,
        metavar="A[,B]",
        help="of a sweep: accuracy, or accuracy,training_macs",
    )


def _written(parser: argparse.ArgumentParser, *, figures: bool = True) -> None:
    parser.add_argument("--out", type=Path, help="folder of the tables (default reports/PROFILE)")
    parser.add_argument(
        "--format", type=arguments.formats, default=("md", "tex", "json"), metavar="F,F"
    )
    if figures:
        parser.add_argument(
            "--figures",
            action="store_true",
            help="also write the experiment's figures and their data",
        )
        parser.add_argument(
            "--no-images",
            action="store_true",
            help="figures show masks alone, where a data set's images may not be passed on",
        )


def _narrowing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", help="smoke, laptop or paper")
    parser.add_argument(
        "--datasets", type=arguments.names, metavar="A,B", help="only these data sets"
    )
    parser.add_argument("--rows", type=arguments.names, metavar="X,Y", help="only these rows")
    parser.add_argument("--seeds", type=arguments.seeds, metavar="0,1|0-4", help="seeds to run")
    parser.add_argument("--split", choices=("paper", "clean"), default="paper")
    parser.add_argument(
        "--rule",
        choices=("last", "best"),
        default="last",
        help="epoch that is reported: the last, or the best on the selection part",
    )
    parser.add_argument(
        "--probes",
        action="store_true",
        help="also show a linear and a k-NN probe of each pre-trained encoder",
    )
    _set(parser)
    _folders(parser)


def _set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="[PHASE.]recipe.FIELD=VALUE, [PHASE.]method.FIELD=VALUE, or finetune=own: each"
        " method's own published fine-tuning; a PHASE's value stands above that of all",
    )


def _folders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("HARNESS_DATA", "data")),
        help="folder of prepared data (HARNESS_DATA)",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path(os.environ.get("HARNESS_RUNS", "runs")),
        help="folder of records and checkpoints (HARNESS_RUNS)",
    )
