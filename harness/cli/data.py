"""``harness data list | prepare | verify | add``: prepared data sets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import divided, options, own, preparing
from harness.console import note, say
from harness.data import registry
from harness.errors import UserError, shown
from harness.plan.settings import MOST_JOBS, folder_of
from harness.spec import profiles

if TYPE_CHECKING:
    from harness.data.prepared import Manifest


def add_parser(commands: Any) -> None:
    """Add the ``data`` command to the command line."""
    data = commands.add_parser("data", help="list, prepare, verify and add data sets")
    actions = data.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (
        ("list", "data sets, what is prepared, where to get the rest"),
        ("prepare", "decode an official archive, or generate the phantoms"),
        ("verify", "hash a prepared store, and count twins and groups that its parts share"),
        ("add", "add a data set of your own, from class folders or a table"),
    ):
        action = actions.add_parser(
            name, help=text, description=own.DESCRIPTION if name == "add" else None
        )
        action.add_argument(
            "--root",
            "--data",
            dest="root",
            type=options.path,
            default=folder_of("HARNESS_DATA", "data"),
            help="folder of prepared data (HARNESS_DATA)",
        )
        if name == "list":
            continue
        added = "name of the new data set"
        known = "a data set, or phantom for all generated families"
        action.add_argument("name", help=added if name == "add" else known)
        if name == "add":
            own.add_options(action)
        if name == "verify":
            action.add_argument(
                "--pairs",
                type=options.path,
                metavar="FILE",
                help="also write all pairs of twins as CSV, with distance and correlation",
            )
        if name == "prepare":
            action.add_argument(
                "--split-file",
                type=options.path,
                metavar="CSV",
                help="your own split: columns name and part (train, val, test or eval, unused)",
            )
        if name in ("prepare", "add"):
            action.add_argument(
                "--from",
                dest="source",
                type=options.path,
                action="append",
                help="official archive (zip, tar, parts) or folder; more than one if repeated",
            )
            action.add_argument(
                "--masks", type=options.path, help="archive or folder of masks of these images"
            )
            preparing.add_size(action)
            action.add_argument(
                "--workers", type=options.whole(1, MOST_JOBS), help="decoding threads"
            )


def run(args: argparse.Namespace) -> int:
    """Run the action (list, prepare or verify) and return the exit code."""
    if args.action == "list":
        return _list(args)
    if args.action == "add":
        return own.run(args)
    return _prepare(args) if args.action == "prepare" else divided.verify(args)


def _list(args: argparse.Namespace) -> int:
    from harness.data import placing
    from harness.data.prepared import read_manifest

    for dataset in registry.datasets(args.root).values():
        manifest, state = None, "not prepared"
        try:
            manifest = read_manifest(args.root, dataset.name)
        except UserError as error:  # the others are listed all the same
            state = f"cannot be used: {shown(error)}"
        if manifest is not None:
            state = (
                f"prepared, {manifest.size} px, {manifest.fingerprint[:12]}, split {manifest.split}"
            )
        say(f"{dataset.name:<20} {dataset.title}: {state}")
        if manifest is not None:
            _list_small(manifest)
            for text in (*divided.split_lines(manifest, dataset), *manifest.remarks):
                say(f"{'':<20} {text}")
        classes = shown(", ".join(dataset.classes))
        say(f"{'':<20} {sum(dataset.counts)} images, {len(dataset.classes)} classes ({classes})")
        say(f"{'':<20} {dataset.source}; {dataset.licence}")
    for problem in registry.problems(args.root):
        note(problem)
    for left in placing.leftovers(args.root):
        note(
            f"{left.path}: left by a preparation that was killed,"
            f" {left.size / 1e6:.1f} MB; the next `harness data prepare` removes it."
        )
    return 0


def _list_small(manifest: Manifest) -> None:
    """Print for which profiles a store is too small."""
    small = [p.name for p in profiles.known().values() if manifest.size < p.stored_size]
    if small:
        wanted = ", ".join(f"{name} {profiles.find(name).stored_size} px" for name in small)
        say(f"{'':<20} smaller than profiles want, their crops are blurred: {wanted}")


def _prepare(args: argparse.Namespace) -> int:
    from harness.data import own as own_data
    from harness.data.sets import phantom

    for dataset in registry.expand(args.name, args.root):
        if dataset.name in phantom.FAMILIES:
            if (args.source, args.masks, args.split_file) != (None, None, None):
                raise UserError(
                    "Phantom images are generated; leave out --from, --masks and --split-file."
                )
            size = preparing.asked_size(args, phantom.SIZE)
            preparing.show(
                dataset, phantom.ensure(args.root, dataset.name, size=size, again=True), args.root
            )
            continue
        described = own_data.read(args.root, dataset.name)
        recorded = [] if described is None else [Path(described.source)]
        source = args.source or recorded
        if not source:
            raise UserError(
                f"{dataset.title} needs its official archive: harness data prepare"
                f" {dataset.name} --from ARCHIVE ({dataset.source})."
            )
        preparing.prepare_archive(dataset, source, args)
    return 0
