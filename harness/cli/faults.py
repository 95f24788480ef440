"""Errors that end a command: which are told in one line, and the exit codes that follow."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from harness import console, packages
from harness.console import warn, warn_of
from harness.errors import UserError, shown, text_of
from harness.interrupt import Stopped
from harness.results.readable import of_disk
from harness.sources import plugins, user_frames

LONGEST_TEXT = 500
"""Characters of an exception's text that a message shows."""

OPTION = "--traceback"
"""Option that shows the whole traceback of an error that is told in one line."""


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--traceback`` to every command of a parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in dict.fromkeys(action.choices.values()):
                add_option(command)
                command.add_argument(
                    OPTION,
                    action="store_true",
                    help="show the whole traceback of an error, for instance of an own method",
                )


def code_of(error: BaseException, words: Sequence[str], *, stopped: bool) -> int | None:
    """Tell an error in one line and return the exit code; None for a bug or a signal.

    Args:
        error: what ended the command.
        words: of the command line; with ``--traceback`` the traceback precedes the line.
        stopped: a signal came, after which a user's file may have raised anything.
    """
    if isinstance(error, Stopped):
        return None
    if isinstance(error, BrokenPipeError):
        # Output that is still buffered must raise no second error when the interpreter exits.
        console.abandon(sys.stdout)
        return 0
    line = _line(error, stopped=stopped)
    if line is None:
        return None
    if OPTION in words:
        console.show_uncaught(type(error), error, error.__traceback__)
    if isinstance(line, UserError):
        warn_of(line)
    else:
        warn(line)
    return 2


def _line(error: BaseException, *, stopped: bool) -> UserError | str | None:
    """Return the message of an error that is no bug; None for a bug."""
    if isinstance(error, UserError):
        return error
    try:
        explanation = packages.explain(error) or plugins.explain(error)
    except Exception:  # noqa: BLE001 (the attributes of a stranger's exception)
        explanation = None
    users = None if stopped else _of_the_user(error)
    return explanation or users or _of_the_machine(error)


def _of_the_user(error: BaseException) -> str | None:
    """Return the message of what a user's file raised while it was loaded or planned."""
    if isinstance(error, KeyboardInterrupt):
        handled = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        if not handled:
            return None  # a signal
    at = user_frames.last_line(error)
    if at is None:
        return None
    first = _text(error).strip().partition("\n")[0][:LONGEST_TEXT]
    what = shown(f"{type(error).__name__}: {first}".rstrip(": "))
    return f"{at[0]}, line {at[1]}: {what}; {OPTION} shows where it comes from."


def _text(error: BaseException) -> str:
    try:
        return text_of(error)
    except BaseException as worse:
        if isinstance(worse, Stopped):
            raise
        return f"(its text cannot be shown: {type(worse).__name__})"


def _of_the_machine(error: BaseException) -> str | None:
    """Return the message of an unreadable folder or a full disk, which is no bug."""
    if not isinstance(error, OSError):
        return None
    return of_disk(error)
