"""Calls of servers and databases: given up after some seconds, or tried again for some time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NoAnswer(Exception):
    """A call did not return within the time limit."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what a call returns, or give it up after some seconds.

    It runs in a thread of its own: looking up a name, several addresses of one host and drivers of
    databases each have limits of their own or none. An abandoned call cannot be ended; its thread
    does not keep the process from ending.

    Raises:
        NoAnswer: the call has not returned.
    """
    returned: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            returned.append(call())
        except BaseException as error:  # noqa: BLE001  # raised again in the caller's thread
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True, name="within")
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not returned:
        raise NoAnswer(f"no answer within {seconds:g} s")
    return returned[0]


def patiently(
    call: Callable[[], T],
    *,
    seconds: float,
    passes: Callable[[Exception], bool],
    say: Callable[[Exception], object],
) -> T:
    """Return what a call returns, trying again after errors that pass by themselves.

    The waits between attempts grow from 0.1 s to 5 s.

    Args:
        call: the call.
        seconds: how long it is tried again; the last error is raised after that.
        passes: whether an error may pass.
        say: called once, with the first error.
    """
    begin, wait, said = time.monotonic(), 0.1, False
    while True:
        try:
            return call()
        except Exception as error:
            left = begin + seconds - time.monotonic()
            if left <= 0 or not passes(error):
                raise
            if not said:
                say(error)
                said = True
        time.sleep(min(wait, left))
        wait = min(2 * wait, 5.0)
