"""``harness clean``: remove checkpoints that nobody can want any more."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from harness import console
from harness.cli import collecting
from harness.errors import UserError
from harness.plan.needed import Named, find
from harness.store import clean
from harness.store.clean import Leftover, leftovers
from harness.store.kinds import BY_DEFAULT, KINDS, sums
from harness.store.record import Records
from harness.wording import counted


@collecting.rarely()
def run(args: argparse.Namespace) -> int:
    """List unneeded files of the run store, ask, and remove them."""
    clean.check(args.runs)
    records = Records(args.runs)
    asked = frozenset(args.kinds or ())
    keep = args.keep
    if keep is None:  # a kind that is asked for is removed as far as nothing known needs it
        keep = "needed" if asked - BY_DEFAULT else "wanted"
    needs = None
    named_any = args.experiments or args.set or args.seeds
    if named_any and keep not in ("needed", "last"):
        raise UserError(
            f"Experiments, --set and --seeds choose what --keep needed and --keep last keep; with"
            f" --keep {keep} every interrupted stage and final model is kept. Leave them out,"
            " or give --keep needed."
        )
    if keep in ("needed", "last"):
        named = Named(
            experiments=tuple(args.experiments), overrides=tuple(args.set), seeds=args.seeds or ()
        )
        needs = find(args.data, records, named)
    found = leftovers(records, needs, keep=keep)
    unneeded = [file for file in found if not asked or file.kind in asked]
    for file in unneeded:
        console.say(f"{_bytes(file.size):>10}  {file.path.relative_to(args.runs)}  ({file.why})")
    console.say(*_by_kind(records, unneeded))
    total = f"{counted(len(unneeded), 'file')}, {_bytes(sum(file.size for file in unneeded))}"
    if args.dry_run or not unneeded:
        console.say(f"{total} would be removed.")
        return 0
    if not args.yes and not _agreed(total):
        return 2
    for file in unneeded:
        file.path.unlink(missing_ok=True)
    console.say(f"{total} removed.")
    return 0


def _by_kind(records: Records, unneeded: Sequence[Leftover]) -> Iterator[str]:
    """Yield a table of what is removed and what is kept, by kind; nothing for an empty store."""
    removed = sums((file.kind, file.size) for file in unneeded)
    kept = sums(clean.kept(records, unneeded))
    if not removed and not kept:
        return
    yield f"{'kind':<18}  {'files':>6}  {'MB':>9}  {'':<7}  why; what removes it"
    for name, kind in KINDS.items():
        for what, sums_of in (("removed", removed), ("kept", kept)):
            if name in sums_of:
                found = sums_of[name]
                option = kind.option or "harness clean"
                yield (
                    f"{name:<18}  {found.files:>6}  {found.size / 1e6:>9.3f}  {what:<7}"
                    f"  {kind.why}; {option}"
                )


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
