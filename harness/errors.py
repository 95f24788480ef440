"""Errors meant for users: one clear line, exit code 2, no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Report what was given, what is allowed and what to do.

    The command line prints the message alone and exits with 2. Everything else that is raised is
    a bug of ours and keeps its traceback.
    """


def unknown(kind: str, given: str, known: Iterable[str]) -> UserError:
    """Build the error for a name that is not registered.

    Args:
        kind: what was looked up, in words ("data set").
        given: the name that was not found.
        known: every name that would have been found.
    """
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(names) if names else "none"
    return UserError(f"No {kind} {given!r}.{hint} Known: {listed}.")
