"""``harness clean``: remove checkpoints that no pending stage needs."""

from __future__ import annotations

import argparse

from harness.plan.needed import Named, find
from harness.store.clean import leftovers
from harness.store.record import Records


def run(args: argparse.Namespace) -> int:
    """Remove unneeded files of the run store, or list them."""
    records = Records(args.runs)
    needs = None
    if args.keep != "all":
        named = Named(
            experiments=tuple(args.experiments), overrides=tuple(args.set), seeds=args.seeds or ()
        )
        needs = find(args.data, records, named)
    unneeded = leftovers(records, needs, keep_last=args.keep == "last")
    for file in unneeded:
        print(f"{_bytes(file.size):>10}  {file.path.relative_to(args.runs)}  ({file.why})")
        if not args.dry_run:
            file.path.unlink(missing_ok=True)
    done = "would be removed" if args.dry_run else "removed"
    print(f"{len(unneeded)} files, {_bytes(sum(file.size for file in unneeded))} {done}.")
    return 0


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
