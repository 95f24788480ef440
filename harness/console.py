"""The rich console for printing tables; rich is imported on the first use."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING

from harness.errors import shown

if TYPE_CHECKING:
    from rich.console import Console

UNLIMITED = 400
"""Width in characters where the output is not a terminal, so that no line of a log is wrapped."""


def wide_console() -> Console:
    """Return a console on standard output, as wide as the terminal, else ``UNLIMITED``."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=UNLIMITED)


def warn(text: str) -> None:
    """Print one line on standard error."""
    print(f"harness: {shown(text)}", file=sys.stderr, flush=True)


@functools.cache
def warn_once(text: str) -> None:
    """Print one line on standard error, once in this process."""
    warn(text)
