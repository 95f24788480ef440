"""The console that tables are printed on; rich is imported when something is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

UNLIMITED = 400
"""Columns assumed where the output is no terminal: lines in a log are not folded."""


def wide_console() -> Console:
    """Return a console on standard output: as wide as the terminal, without one unlimited."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=UNLIMITED)
