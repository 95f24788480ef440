"""``harness clean``: remove checkpoints that nobody can want any more."""

from __future__ import annotations

import argparse
import sys

from harness import console
from harness.errors import UserError
from harness.plan.needed import Named, find
from harness.store import clean
from harness.store.clean import leftovers
from harness.store.record import Records


def run(args: argparse.Namespace) -> int:
    """List unneeded files of the run store, ask, and remove them."""
    clean.check(args.runs)
    records = Records(args.runs)
    needs = None
    named_any = args.experiments or args.set or args.seeds
    if named_any and args.keep not in ("needed", "last"):
        raise UserError(
            f"Experiments, --set and --seeds choose what --keep needed and --keep last keep; with"
            f" --keep {args.keep} every interrupted stage and final model is kept. Leave them out,"
            " or give --keep needed."
        )
    if args.keep in ("needed", "last"):
        named = Named(
            experiments=tuple(args.experiments), overrides=tuple(args.set), seeds=args.seeds or ()
        )
        needs = find(args.data, records, named)
    unneeded = leftovers(records, needs, keep=args.keep)
    for file in unneeded:
        console.say(f"{_bytes(file.size):>10}  {file.path.relative_to(args.runs)}  ({file.why})")
    total = f"{len(unneeded)} files, {_bytes(sum(file.size for file in unneeded))}"
    if args.dry_run or not unneeded:
        console.say(f"{total} would be removed.")
        return 0
    if not args.yes and not _agreed(total):
        return 2
    for file in unneeded:
        file.path.unlink(missing_ok=True)
    console.say(f"{total} removed.")
    return 0


def _agreed(total: str) -> bool:
    """Ask on a terminal whether the listed files may be removed; say how where there is none."""
    if not sys.stdin.isatty():
        console.warn(f"{total} listed, nothing was removed; give --yes to remove them.")
        return False
    try:
        answer = input(f"Remove {total}? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() in ("y", "yes"):
        return True
    console.warn("nothing was removed.")
    return False


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
