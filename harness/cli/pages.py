"""Pages of tables as one HTML file, and their server."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from harness import provenance
from harness.canonical import digest
from harness.cli.planning import selected, typed_command
from harness.errors import UserError
from harness.page.build import Request
from harness.page.find import ALL, Wanted
from harness.plan import naming
from harness.provenance import choose_device
from harness.report import existing
from harness.spec import profiles

SELECTING = ("rows", "datasets", "metrics", "seeds", "split", "set")
"""Options that select a part of a page's tables, or change it."""


def request(args: argparse.Namespace, names: Sequence[str]) -> Request:
    """Return what a command line asks to be shown; without ``--profile``, every profile's runs.

    Raises:
        UserError: a profile is unknown.
    """
    chosen = (
        tuple(reversed(profiles.PROFILES.values()))
        if args.profile is None
        else (profiles.find(args.profile),)
    )
    facts = provenance.device_facts(choose_device())
    own = tuple(names) != (ALL,)
    return Request(
        wanted=Wanted(
            names=tuple(names),
            profiles=chosen,
            options=selected(args, chosen[0]),
        ),
        folder=args.out or Path("reports"),
        title=", ".join(Path(name).stem for name in names) if own else "MSMAE: all tables",
        command=typed_command(args),
        device=f"{facts['kind']} {facts['name']}",
        images=not args.no_images,
    )


def path_of(args: argparse.Namespace, names: Sequence[str]) -> Path:
    """Return the page's file: NAME.html for one table, report.html for several or all.

    What options select is a page of its own, NAME-part-XXXXXXXX.html; ``--name`` replaces all.

    Raises:
        UserError: several tables are asked for in another format than HTML, or git tracks the file.
    """
    single = len(names) == 1 and names[0] != ALL
    if not single and tuple(args.format) != ("html",):
        raise UserError(
            f"{'all' if ALL in names else 'Several tables'} are one page: give --format html, or"
            " name one table for md, tex, json and csv."
        )
    folder: Path = args.out or Path("reports")
    if args.profile is not None and args.out is None:
        folder /= profiles.find(args.profile).name
    name = naming.checked(args.name) or (Path(names[0]).stem if single else "report")
    parts = {part: getattr(args, part) for part in SELECTING if getattr(args, part)}
    if args.rule != "last":
        parts["rule"] = args.rule
    if parts and args.name is None:
        name = f"{name}-part-{digest(parts)[:8]}"
    path = folder / f"{name}.html"
    if not args.force:
        existing.refuse_tracked((path,))
    return path
