"""``harness audit paper | data | code``: audit published numbers, images, a released code."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import options
from harness.console import say, say_json
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.audit.page import Page

FORMATS = {
    "paper": ("md", "tex", "json"),
    "data": ("md", "tex", "json", "png"),
    "code": ("md", "tex", "json"),
}
"""Formats of the files that each audit writes."""

TEXTS = {
    "paper": "the published numbers: what they can be, by themselves and beside each other",
    "data": "a prepared data set: twins, labels that contradict each other, groups, odd files",
    "code": "the paper's text against its released code, setting by setting",
}


def add_parser(commands: Any) -> None:
    """Add the ``audit`` command to the command line."""
    audit = commands.add_parser("audit", help="audit published numbers, images, a released code")
    audits = audit.add_subparsers(dest="what", metavar="WHAT", required=True)
    for name, text in TEXTS.items():
        parser = audits.add_parser(name, help=text, description=f"Audit {text}.")
        if name == "data":
            parser.add_argument("name", help="a prepared data set, or phantom for all generated")
            options.add_folders(parser)
            parser.add_argument(
                "--no-images",
                action="store_true",
                help="the gallery shows hashes, for images that may not be redistributed",
            )
        parser.add_argument("--json", action="store_true", help="machine-readable")
        parser.add_argument(
            "--format",
            type=_formats(name),
            default=(),
            metavar="F,F",
            help=f"also write files: {', '.join(FORMATS[name])}",
        )
        parser.add_argument(
            "--out", type=options.path, default=Path("reports"), help="their folder"
        )
        options.add_style(parser)


def _formats(audit: str) -> Any:
    def parse(text: str) -> tuple[str, ...]:
        return options.names_of(text, FORMATS[audit])

    return parse


def run(args: argparse.Namespace) -> int:
    """Run an audit, print it, write its files and return the exit code."""
    return _data(args) if args.what == "data" else _sources(args)


PAGES = ("audit_paper", "audit_code")
"""Names of the pages that are made from the sources alone."""


def made(name: str) -> tuple[Page, dict[str, Any]]:
    """Make one of ``PAGES`` and its JSON values."""
    from harness.api import differences
    from harness.api import paper as recipes
    from harness.audit import code, paper, paper_page

    if name == "audit_paper":
        audit = paper.audit(recipes.DESCRIBED.classification_weight)
        return paper_page.page(audit), audit.to_json()
    found = code.audit(differences.SETTINGS, differences.READINGS, differences.UNSET)
    return code.page(found), found.to_json()


def committed(path: Path, value: Any) -> tuple[str, ...] | None:
    """Return what differs of committed pages of ``PAGES``; None for any other JSON file."""
    from harness.audit import committed as pages

    if path.stem not in PAGES:
        return None
    page, values = made(path.stem)
    return pages.differences(path, value, page, values, page.command)


def _sources(args: argparse.Namespace) -> int:
    name = f"audit_{args.what}"
    page, values = made(name)
    _show(args, page, values, name)
    return 0


def _data(args: argparse.Namespace) -> int:
    from harness.api import paper as recipes
    from harness.audit import data, data_page
    from harness.data import registry
    from harness.store.record import Records

    released = {str(stage.phase): stage.recipe for stage in recipes.released()}
    sets = registry.expand(args.name, args.data)
    if args.json and len(sets) > 1:
        raise UserError(f"--json prints one data set; {args.name!r} are {len(sets)}. Name one.")
    for dataset in sets:
        found = data.audit(args.data, dataset, Records(args.runs), released)
        name, line, picture = f"audit_{dataset.name}", "", ""
        if "png" in args.format:
            path = args.out / f"{name}.png"
            drawn = data.draw(args.data, found, path, with_images=not args.no_images)
            line = f"Written: {path}" if drawn else f"{dataset.name} has no pairs to draw."
            picture = path.name if drawn else ""
        _show(args, data_page.page(found, picture=picture), found.to_json(), name)
        if line and not args.json:
            say(line)
    return 0


def _show(args: argparse.Namespace, page: Page, values: dict[str, Any], name: str) -> None:
    """Write an audit in the formats that are asked for, and print it."""
    from harness import files
    from harness.audit.page import to_latex, to_lines, to_markdown
    from harness.report import json_files

    # Files first: the reader of a pipe may close it before the end.
    written = []
    for form in args.format:
        path = args.out / f"{name}.{form}"
        if form == "json":
            json_files.write(path, values)
            written.append(path)
        elif form == "md":
            files.write_text(path, to_markdown(page))
            written.append(path)
        elif form == "tex":
            for file, text in to_latex(page, name, options.style(args)).items():
                files.write_text(args.out / file, text)
                written.append(args.out / file)
    if args.json:
        say_json(values)
        return
    say(*to_lines(page), *(f"Written: {path}" for path in written))
