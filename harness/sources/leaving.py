"""A user's code does not end this process: ``os._exit`` or a signal is an error of that code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator
from types import ModuleType
from typing import Any

from harness.sources import user_frames

ENDING = frozenset(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGKILL", "SIGABRT", "SIGQUIT", "SIGSTOP", "SIGTSTP")
    if hasattr(signal, name)
)
"""Signals by which a process ends or stands still, or that a command takes for its user's."""


class ProcessEndError(RuntimeError):
    """A user's code ended its process, or sent it a signal that does."""


def _signalled(name: str, number: int) -> str | None:
    """Return what a signal does to this process; None where it goes on."""
    return f"{name}: its process got {signal.Signals(number).name}" if number in ENDING else None


def _group(group: int, number: int) -> str | None:
    return _signalled("os.killpg", number) if group in (0, os.getpgrp()) else None


def _process(pid: int, number: int) -> str | None:
    return _signalled("os.kill", number) if pid in (0, os.getpid()) else None


ENDS: tuple[tuple[ModuleType, str, Callable[..., str | None]], ...] = (
    (os, "_exit", lambda status: f"os._exit({status}): its process ended with code {status}"),
    (os, "abort", lambda: "os.abort(): its process ended by SIGABRT"),
    (os, "kill", _process),
    (os, "killpg", _group),
    (signal, "raise_signal", lambda number: _signalled("signal.raise_signal", number)),
)
"""Functions that can end a process: module, name, and what a call does; None where nothing."""


@contextlib.contextmanager
def refused(packages: Collection[str] = ()) -> Iterator[None]:
    """Raise an error within the block where a user's code would end this process.

    Processes that it starts itself end as they like.

    Args:
        packages: installed packages that count as the user's.

    Raises:
        ProcessEndError: a function of ``ENDS`` was called so that this process would end.
    """
    process = os.getpid()

    def refusing(former: Callable[..., Any], does: Callable[..., str | None]) -> Any:
        def call(*args: Any) -> Any:
            said = does(*args) if os.getpid() == process else None
            if said and user_frames.caller(sys._getframe(1), packages) == "user":
                raise ProcessEndError(said)
            return former(*args)

        return call

    with contextlib.ExitStack() as stack:
        for module, name, does in ENDS:
            former = getattr(module, name)
            stack.callback(setattr, module, name, former)
            setattr(module, name, refusing(former, does))
        yield
