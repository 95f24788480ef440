"""A user's code does not end this process: ``os._exit`` in it is an error of that code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Iterator
from typing import NoReturn

from harness.sources import user_frames


class ProcessEndError(RuntimeError):
    """A user's code called ``os._exit``, which would end the command without a word."""


@contextlib.contextmanager
def refused(packages: Collection[str] = ()) -> Iterator[None]:
    """Raise an error within the block where a user's code would end this process.

    Processes that it starts itself end as they like.

    Args:
        packages: installed packages that count as the user's.

    Raises:
        ProcessEndError: ``os._exit`` was called.
    """
    ends, process = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        caller = user_frames.caller(sys._getframe(1), packages)
        if os.getpid() == process and caller == "user":
            raise ProcessEndError(f"os._exit({status}): its process ended with code {status}")
        ends(status)

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = ends
