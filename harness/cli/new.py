"""``harness new``: write a small working file of one's own to begin with."""

from __future__ import annotations

import argparse
import keyword
import string
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.cli import options
from harness.console import say
from harness.errors import UserError
from harness.ranges import said

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "method": "a method of one's own in a table beside MAE",
        "table": "a table of methods that ship",
        "dataset": "a data set of an archive",
        "sweep": "a search for settings",
    }
)
"""What can be begun, and what its file holds."""

LONGEST = 60
"""Characters of a name."""


def add_parser(commands: Any) -> None:
    """Add the ``new`` command to the command line."""
    held = "; ".join(f"{kind}: {text}" for kind, text in KINDS.items())
    parser = commands.add_parser(
        "new",
        help="write a small working file to begin with",
        description=f"Write NAME.py, a small file with comments that works as it is ({held}), and"
        " print the commands to go on with. An existing file is never overwritten.",
    )
    parser.add_argument("kind", choices=tuple(KINDS))
    parser.add_argument("name", metavar="NAME", help="of the file, a Python name such as my_method")
    parser.add_argument(
        "--in",
        dest="folder",
        type=options.path,
        default=Path(),
        metavar="DIR",
        help="folder of the file, made where it is missing (default: this one)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the file and print what to do next."""
    _check(args.kind, args.name)
    path: Path = args.folder / f"{args.name}.py"
    text = content(args.kind, args.name)
    if args.folder.exists() and not args.folder.is_dir():
        raise UserError(f"--in {args.folder} is no folder; give one, or leave it out.")
    args.folder.mkdir(parents=True, exist_ok=True)
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError as error:
        raise UserError(
            f"{path} exists and is left as it is; choose another name, or another folder with --in."
        ) from error
    try:
        with file:
            file.write(text)
    except OSError:
        path.unlink(missing_ok=True)  # nothing half-written stays
        raise
    say(f"Written: {path}. Next:", *(f"  {line}" for line in commands(text, args)))
    return 0


def content(kind: str, name: str) -> str:
    """Return the text of a new file."""
    template = resources.files("harness.cli") / "templates" / f"{kind}.txt"
    title = name.replace("_", " ").strip().capitalize()
    text = string.Template(template.read_text(encoding="utf-8"))
    return text.substitute(name=name, title=title, type_name=_type_name(name))


def commands(text: str, args: argparse.Namespace) -> list[str]:
    """Return the commands in the docstring of a new file, with the folder where it lies."""
    docstring = text.split('"""')[1]
    lines = [line.strip() for line in docstring.splitlines() if line.startswith("    ")]
    if args.folder == Path():
        return lines
    file = f"{args.name}.py"
    moved = [line.replace(f" {file}", f" {args.folder / file}") for line in lines]
    return [line.replace("--plugins .", f"--plugins {args.folder}") for line in moved]


def _type_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _check(kind: str, name: str) -> None:
    """Refuse names of which Python or the harness would take something else.

    Raises:
        UserError: the name cannot be that of a new file.
    """
    if not (name.isidentifier() and name.isascii()) or name.startswith("_"):
        raise UserError(
            f"The name {said(name)} is no Python name; give letters, digits and _, a letter first,"
            " such as my_method."
        )
    if len(name) > LONGEST:
        raise UserError(f"The name {said(name)} is longer than {LONGEST} characters.")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise UserError(f"The name {name!r} is a word of Python; give another, such as my_{name}.")
    taken = _taken(kind, name)
    if taken:
        raise UserError(f"The name {name!r} is {taken}; give another, such as my_{name}.")


def _taken(kind: str, name: str) -> str:
    """Say whose name it is; "" where it is free."""
    from importlib.util import find_spec

    from harness import api
    from harness.data import registry
    from harness.plan import catalog

    if name in sys.stdlib_module_names:
        return "that of a module of Python, which the file would hide"
    spec = find_spec(name)
    if spec is not None and spec.origin and not Path(spec.origin).is_relative_to(Path.cwd()):
        return "that of an installed package, which the file would hide"
    if name in catalog.experiments():
        return "that of an experiment of the harness"
    if name in catalog.methods() or (kind == "method" and _type_name(name) in api.__all__):
        return "that of a part of the harness"
    return "that of a data set of the harness" if name in registry.built_in() else ""
