"""Errors of machine and plug-ins as one line, as the command line prints them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import UserError

LONGEST_NAME = 300
"""Characters of a file's name that a message shows."""


def of_disk(error: OSError) -> str:
    """Return what a condition of the machine keeps from working, such as a full disk."""
    name = str(error.filename or "")
    where = f" {name if len(name) <= LONGEST_NAME else f'{name[:LONGEST_NAME]}...'}"
    return f"cannot use{where.rstrip()}: {error.strerror or error}."


@contextmanager
def readable() -> Iterator[None]:
    """Turn errors that are no bugs into a ``UserError``; a bug keeps its own.

    Raises:
        UserError: a file or the disk cannot be used, or a plug-in imports what is not there.
    """
    try:
        yield
    except OSError as error:
        raise UserError(of_disk(error)) from error
    except (ImportError, AttributeError) as error:
        from harness import packages  # imported only after an error
        from harness.sources import plugins

        explanation = packages.explain(error) or plugins.explain(error)
        if explanation is None:
            raise
        raise explanation from error
