"""Options of what a training keeps besides its record, weights and predictions."""

from __future__ import annotations

import argparse
import os

from harness.cli.options import names, names_of
from harness.ranges import said
from harness.store.kinds import KINDS

KEPT = ("maps",)
"""What a training can keep for figures."""


def kept(text: str) -> tuple[str, ...]:
    """Parse what is kept for figures, separated by commas; "nothing" keeps nothing more."""
    parsed = tuple(dict.fromkeys(names(text)))
    if parsed == ("nothing",):
        return ()
    for name in parsed:
        if name not in KEPT:
            raise argparse.ArgumentTypeError(
                f"{said(name)} cannot be kept; known: {', '.join(KEPT)}, or nothing"
            )
    return parsed


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add the option of what MLflow gets besides figures."""
    parser.add_argument(
        "--log-models",
        action="store_true",
        help="also log every pre-trained encoder to MLflow as a model (safetensors)",
    )


def add_keep(parser: argparse.ArgumentParser) -> None:
    """Add what a training keeps for figures."""
    parser.add_argument(
        "--keep",
        type=kept,
        default=os.environ.get("HARNESS_KEEP") or "nothing",
        metavar="maps",
        help="also keep what figures show of the training by epoch: maps (attention and masking"
        " weights of a few images); no number changes, `harness plan` says what it takes"
        " (HARNESS_KEEP)",
    )


def kinds(text: str) -> tuple[str, ...]:
    """Parse kinds of files, separated by commas."""
    return names_of(text, tuple(KINDS), "kind")


def add_kinds(parser: argparse.ArgumentParser) -> None:
    """Add the kinds of files that are removed."""
    parser.add_argument(
        "--kinds",
        type=kinds,
        metavar="A,B",
        help=f"remove files of these kinds alone: {', '.join(KINDS)} (the last four as with --keep"
        " needed)",
    )
