"""``harness export``: take something out of the run store; each kind has a module of its own.

``harness export KEY`` and ``harness export TABLE/ROW`` are short for ``harness export weights``.
A further kind is a word here and a module ``export_KIND`` with ``add_parser(kinds)`` and
``run(args)``.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Any

KINDS = ("weights", "frame")
"""What can be exported; the first where the command names none."""


def with_kind(words: Sequence[str]) -> list[str]:
    """Return a command line in which ``export`` is followed by the kind of what is exported."""
    given = list(words)
    if given[:1] != ["export"] or len(given) == 1 or given[1] in (*KINDS, "-h", "--help"):
        return given
    return ["export", KINDS[0], *given[1:]]


def add_parser(commands: Any) -> None:
    """Add the ``export`` command to the command line."""
    export = commands.add_parser(
        "export",
        help="write a trained encoder for timm, torch or the hub, or all numbers as a frame",
        description="Take something out of the run store. `harness export KEY` and `harness export"
        " TABLE/ROW` are short for `harness export weights`.",
    )
    kinds = export.add_subparsers(dest="kind", metavar="KIND", required=True)
    for kind in KINDS:
        importlib.import_module(f"harness.cli.export_{kind}").add_parser(kinds)


def run(args: argparse.Namespace) -> int:
    """Export what is named."""
    code: int = importlib.import_module(f"harness.cli.export_{args.kind}").run(args)
    return code
