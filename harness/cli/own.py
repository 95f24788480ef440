"""``harness data add``: a data set of the user's own, without any code."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli import options, preparing
from harness.console import say
from harness.errors import UserError
from harness.plan.settings import folder_of

if TYPE_CHECKING:
    from harness.data.intensity import Intensity
    from harness.data.own import OwnDataset
    from harness.data.own_listing import Columns


DESCRIPTION = (
    "Add a data set of your own: images in class folders, in folders train, val and test where"
    " there are such, or a table that names images and classes. What is found is shown and"
    " confirmed, then written to ROOT/NAME.toml, and the images are prepared."
)
"""What ``harness data add --help`` says first."""


def add_options(action: argparse.ArgumentParser) -> None:
    """Add the options of ``harness data add`` besides those of preparing."""
    action.add_argument("--title", help="name in tables (default NAME)")
    action.add_argument(
        "--licence", metavar="TEXT", help="of the data, which cards of trained models show"
    )
    action.add_argument(
        "--csv", type=options.path, help="table that names images and their classes"
    )
    for part, text in (
        ("image", "path or name of the image"),
        ("label", "class"),
        ("group", "patient or lesion, whose images stay in one part"),
        ("split", "train, val or test"),
        ("mask", "path or name of the lesion mask"),
    ):
        action.add_argument(f"--{part}-column", metavar="COLUMN", help=f"of --csv: {text}")
    values = action.add_mutually_exclusive_group()
    values.add_argument(
        "--range",
        metavar="LOW,HIGH",
        help="values that become black and white in images of more than 8 bits",
    )
    values.add_argument(
        "--window", metavar="CENTRE,WIDTH|file", help="of DICOM: one window, or each file's own"
    )
    action.add_argument("--yes", action="store_true", help="do not ask")
    action.add_argument("--replace", action="store_true", help="replace an added data set")
    action.add_argument("--no-prepare", action="store_true", help="write only the TOML file")


def run(args: argparse.Namespace) -> int:
    """Find a user's images, show them, ask, prepare them and write their description."""
    from harness.data import own, own_listing, own_survey, registry
    from harness.data.archive import Given, open_source

    own.check_name(args.name, [*registry.shipped(), registry.FAMILIES])
    if own.path_of(args.root, args.name).exists() and not args.replace:
        raise UserError(
            f"{own.path_of(args.root, args.name)} exists; `--replace` adds the data set anew, or"
            " choose another name."
        )
    columns, intensity = _columns(args), _intensity(args)
    table = args.csv.absolute() if args.csv else None
    if table is not None and not table.is_file():
        raise UserError(f"There is no table at {args.csv}; give a CSV file.")
    source = args.source[0] if args.source else args.csv.parent if args.csv else None
    if source is None or (args.source and len(args.source) > 1):
        raise UserError("Give one folder or archive of images with --from, or a table with --csv.")
    with open_source(Given((source,))) as archive:
        found = own_listing.find(archive, table, columns)
        surveyed = own_survey.survey(archive, found, intensity)
    say(*own_survey.lines(found, surveyed))
    counts = Counter(found.labels.values())
    described = own.OwnDataset(
        title=args.title or args.name,
        classes=found.classes(),
        counts=tuple(counts[label] for label in found.classes()),
        channels=surveyed.channels,
        source=str(source.absolute()),
        table=None if table is None else str(table),
        columns=columns,
        split="given" if found.parts and not found.groups else "clean",
        intensity=intensity,
        licence=_licence(args.licence),
    )
    own.check_texts(described)
    _confirm(args)
    return _finish(args, described)


def _licence(text: str | None) -> str | None:
    """Return a licence as one line of words.

    Raises:
        UserError: it is empty.
    """
    if text is None:
        return None
    if not (line := " ".join(text.split())):
        raise UserError("--licence is empty; give it in words, such as 'CC BY 4.0', or leave it.")
    return line


def _confirm(args: argparse.Namespace) -> None:
    """Ask whether what was found is right.

    Raises:
        UserError: it is not, or nobody can be asked.
    """
    if args.yes:
        return
    if not sys.stdin.isatty():
        raise UserError("Nobody can be asked here whether this is right; if it is, add --yes.")
    try:
        answer = input("Add this data set? [y/N] ")
    except EOFError:  # Ctrl-D
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UserError("Nothing was added.")


def _finish(args: argparse.Namespace, described: OwnDataset) -> int:
    """Prepare the images unless told not to, and write the description."""
    from harness.data import own

    if not args.no_prepare:
        made = own.dataset(args.root, args.name, described)
        preparing.prepare_archive(made, [Path(described.source)], args)
    path = own.write(args.root, args.name, described)
    words = ["harness", "run", "table1", "--datasets", args.name]
    if args.root != folder_of("HARNESS_DATA", "data"):
        words += ["--data", str(args.root)]
    say(f"Written: {path}. `{shlex.join(words)}` trains on it.")
    return 0


def _columns(args: argparse.Namespace) -> Columns | None:
    from harness.data.own_listing import Columns

    names = {
        part: getattr(args, f"{part}_column")
        for part in ("image", "label", "group", "split", "mask")
    }
    if args.csv is None:
        given = [f"--{part}-column" for part, name in names.items() if name]
        if given:
            raise UserError(f"{', '.join(given)} needs a table; give it with --csv.")
        return None
    missing = [f"--{part}-column" for part in ("image", "label") if not names[part]]
    if missing:
        raise UserError(f"--csv needs {' and '.join(missing)}: the names of its columns.")
    return Columns(**names)


def _intensity(args: argparse.Namespace) -> Intensity:
    from harness.data.intensity import Intensity, window

    option = "--range" if args.range else "--window"
    text = args.range or args.window
    if not text:
        return Intensity()
    if text == "file" and args.window:
        return Intensity(window="file")
    try:
        first, second = (float(number) for number in text.split(","))
    except ValueError as error:
        raise UserError(
            f"{option} {text!r} is not two numbers with a comma between, such as"
            f" {'0,4095' if args.range else '40,400, nor the word file'}."
        ) from error
    try:
        return Intensity(low=first, high=second) if args.range else window(first, second)
    except UserError as error:
        raise UserError(f"{option} {text}: {error}.") from error
