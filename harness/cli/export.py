"""``harness export``: hand over what runs have left, in files that other programs read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from harness.cli import export_frame

KINDS: Mapping[str, Callable[[argparse.Namespace], int]] = MappingProxyType(
    {"frame": export_frame.run}
)
"""What runs each kind of export."""


def add_parser(commands: Any) -> None:
    """Add the ``export`` command to the command line."""
    parser = commands.add_parser("export", help="write what runs have left for other programs")
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    export_frame.add_parser(kinds)


def run(args: argparse.Namespace) -> int:
    """Write one kind of export."""
    return KINDS[args.kind](args)
