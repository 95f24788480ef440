"""``harness migrate``: bring a run store of an older form to the present one."""

from __future__ import annotations

import argparse
from typing import Any

from harness.cli.options import add_runs
from harness.console import say
from harness.store.form import JOURNAL


def add_parser(commands: Any) -> None:
    """Add the ``migrate`` command to the command line."""
    parser = commands.add_parser("migrate", help="bring an older run store to the present form")
    parser.description = (
        "Bring a run store of an older form to the present one: records, checkpoints, weights,"
        " predictions and timings are renamed to their new keys. Nothing is trained again;"
        " interrupted or killed, the same command finishes it."
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be done")
    add_runs(parser)


def run(args: argparse.Namespace) -> int:
    """Migrate the run store, or print what would be done."""
    from harness import migrations
    from harness.store import migrate

    if (args.runs / JOURNAL).exists():
        done = "would be" if args.dry_run else "is"
        say(f"An interrupted migration of {args.runs} {done} finished.")
        if args.dry_run:
            return 0
    moves = (migrate.look if args.dry_run else migrate.migrate)(args.runs)
    if moves is None:
        say(f"{args.runs} has form {migrations.form()}; there is nothing to do.")
        return 0
    for line in moves.left:
        say(f"left alone  {line}")
    moved = ", ".join(f"{count} {kind}" for kind, count in moves.counts.items()) or "no files"
    done = "would be brought" if args.dry_run else "brought"
    say(f"{args.runs}: {moved} {done} from form {moves.old} to form {migrations.form()}.")
    return 0
