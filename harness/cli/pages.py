"""Pages of tables as one HTML file, and their server."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import provenance
from harness.canonical import digest
from harness.cli.planning import given_margins, selected, typed_command
from harness.errors import UserError
from harness.page import render
from harness.page.build import Request
from harness.page.find import ALL, Wanted
from harness.plan import catalog, naming
from harness.plan.plan import make
from harness.provenance import choose_device
from harness.report import existing
from harness.spec import profiles
from harness.store.made import Made

EVERY = "every"
"""In place of a profile's name: a page of the runs of every profile."""

SELECTING = ("rows", "datasets", "metrics", "seeds", "split", "set")
"""Options that select a part of a page's tables, or change it."""


def request(args: argparse.Namespace, names: Sequence[str], made: Made | None = None) -> Request:
    """Return what a command line asks to be shown; without ``--profile``, every profile's runs.

    ``made`` tells a page that is written from others.

    Raises:
        UserError: a profile is unknown, or margins are given.
    """
    if given_margins(args):
        raise UserError(
            "--margins (or margins in a file of settings) would change nothing about a page, which"
            " judges each table by its own margins; leave it out, or write other formats."
        )
    chosen = (
        tuple(reversed(tuple(profiles.known().values())))
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
        made=made,
    )


def named(args: argparse.Namespace, names: Sequence[str]) -> tuple[Path, Made]:
    """Return the page's file, and what tells it from others, and look at what is there.

    The file is NAME.html for one table, report.html for several or all. What options select is a
    page of its own, NAME-part-XXXXXXXX.html, the same part as that of its Markdown; ``--name``
    replaces all.

    Raises:
        UserError: several tables are asked for in another format than HTML, or the file is of
            something else, or git tracks it.
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
    given = naming.checked(args.name)
    name, made = _one(args, names[0], folder) if single else _several(args, names, folder)
    path = folder / f"{given or name}.html"
    if not args.force:
        _look(path, made)
    return path, made


def _one(args: argparse.Namespace, experiment: str, folder: Path) -> tuple[str, Made]:
    """Return the name of one table's page, and what it is of."""
    known = profiles.find(args.profile) if args.profile else profiles.PAPER
    options = replace(selected(args, known), unprepared=True)
    plan = naming.named(make(*catalog.load(experiment), options), experiment, folder)
    assert plan.made is not None
    return plan.name, replace(plan.made, profile=args.profile or EVERY)


def _several(
    args: argparse.Namespace, experiments: Sequence[str], folder: Path
) -> tuple[str, Made]:
    """Return the name of a page of several tables or all, and what it is of."""
    selecting = {
        part: tuple(sorted(map(str, getattr(args, part))))
        for part in SELECTING
        if getattr(args, part)
    }
    if args.rule != "last":
        selecting["rule"] = (args.rule,)
    part = f"-part-{digest({k: list(v) for k, v in selecting.items()})[:8]}" if selecting else ""
    made = Made(
        experiment=" ".join(sorted(Path(name).stem for name in experiments)),
        file=" ".join(filter(None, (naming.file_of(n, folder) for n in sorted(experiments)))),
        profile=args.profile or EVERY,
        parts=selecting,
    )
    return f"report{part}", made


def _look(path: Path, made: Made) -> None:
    """Look at the page that would be overwritten.

    Raises:
        UserError: it is of something else, or git tracks it.
    """
    existing.refuse_tracked((path,))
    there = render.made_of(path)
    if there is None:
        existing.refuse_foreign((path,))
    elif differs := made.differs(there):
        raise UserError(f"{path} is not written: there lies {differs}. {existing.INSTEAD}.")
