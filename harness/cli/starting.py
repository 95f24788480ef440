"""``--init``: the weights that a whole table starts from, and what is said of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.spec.weights import Weights

if TYPE_CHECKING:
    from harness.plan.plan import Plan


def add_init(parser: argparse.ArgumentParser) -> None:
    """Add ``--init``."""
    parser.add_argument(
        "--init",
        type=_weights,
        metavar="PATH|timm:NAME",
        help="weights that the encoder of every row's first stage starts from: a file"
        " (.safetensors, .pth, .bin), or timm's of that name from its cache; its content is part"
        " of the key",
    )


def _weights(text: str) -> Weights:
    try:
        return Weights(text.strip())
    except UserError as error:
        raise argparse.ArgumentTypeError("give the path of a file, or timm:NAME") from error


def lines(plans: Sequence[Plan]) -> list[str]:
    """Return what rows take of the weights that they start from, and which rows lack theirs."""
    said = [str(started) for plan in plans for started in plan.started]
    missing = [
        f"Row {row.name!r} of {plan.name} is not run: {row.start.asked}."
        for plan in plans
        for row in plan.table.rows
        if row.start is not None and not row.start.named
    ]
    return list(dict.fromkeys([*said, *missing]))
