"""What preparing an official archive and adding own data have in common on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import divided, options
from harness.console import note, say
from harness.spec import profiles
from harness.spec.profiles import STORED_SIZE

if TYPE_CHECKING:
    from harness.data.prepared import Manifest
    from harness.spec.dataset import Dataset


def add_size(action: argparse.ArgumentParser) -> None:
    """Add the options of the stored images' side."""
    size = action.add_mutually_exclusive_group()
    size.add_argument(
        "--size",
        type=options.whole(1, 8192),
        help=f"side in pixels (default {STORED_SIZE}, enough for every profile; phantoms 64)",
    )
    size.add_argument("--profile", help="the side that this profile wants")


def asked_size(args: argparse.Namespace, usual: int = STORED_SIZE) -> int:
    """Return the side of the stored images that the options ask for."""
    if args.profile:
        return profiles.find(args.profile).stored_size
    return usual if args.size is None else int(args.size)


def prepare_archive(dataset: Dataset, source: Sequence[Path], args: argparse.Namespace) -> None:
    """Prepare a data set from archives or folders, and show what was made."""
    from harness.data.archive import Given
    from harness.data.prepare import bar, prepare

    with bar(dataset.title) as advance:
        manifest = prepare(
            dataset,
            Given(tuple(source), args.masks),
            root=args.root,
            size=asked_size(args),
            workers=args.workers,
            advance=advance,
            split=getattr(args, "split_file", None),
        )
    show(dataset, manifest, args.root)


def show(dataset: Dataset, manifest: Manifest, root: Path) -> None:
    """Print a prepared data set: classes, parts of each split, archives, remarks."""
    counts = ", ".join(
        f"{name} {count}" for name, count in zip(dataset.classes, dataset.counts, strict=True)
    )
    say(f"{dataset.name}: {sum(dataset.counts)} images ({counts})")
    for text in (*divided.split_lines(manifest, dataset), *divided.clean_lines(root, dataset)):
        say(f"  {text}")
    for name, sentence in manifest.archives.items():
        say(f"  {name}: {sentence}")
    for remark in manifest.remarks:
        say(f"  {remark}")
    for text in divided.warnings(manifest, dataset):
        note(text)
    say(f"  {manifest.size} px, fingerprint {manifest.fingerprint[:12]}, in {root}")
