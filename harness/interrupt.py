"""Stop on SIGINT and SIGTERM: after the current epoch if it ends within seconds, else at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

GRACE = 5.0
"""Seconds within which the current epoch may end and be checkpointed after a signal."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that stop the command."""


def last_line(number: int) -> str:
    """Return what the command says when a signal has ended it."""
    how = "interrupted" if number == signal.SIGINT else "terminated"
    return f"harness: {how}; the same command continues from the last checkpoint."


def leave(number: int, frame: FrameType | None = None) -> None:
    """End the process at once, with one line: for times when there is nothing to clean up.

    An exception would not do while packages are imported: some of them catch every exception, and
    others raise one of their own in its place.
    """
    del frame
    os.write(2, f"\n{last_line(number)}\n".encode())
    os._exit(128 + number)


def leave_on_signals() -> dict[int, Any]:
    """Let signals end this process at once, see ``leave``; return the handlers before."""
    return {number: signal.signal(number, leave) for number in SIGNALS}


@contextmanager
def leaving_on_signals() -> Iterator[None]:
    """Let signals end this process at once within the block, in which nothing is written."""
    previous = leave_on_signals()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Hold signals back within the block, and have them handled at its end.

    For calls of a library that installs handlers of its own, or that replaces the exception which a
    handler raises.
    """
    if threading.current_thread() is not threading.main_thread():  # it has no handlers
        yield
        return
    came: list[int] = []
    previous = [(n, signal.signal(n, lambda number, _: came.append(number))) for n in SIGNALS]
    try:
        yield
    finally:
        for one, handler in previous:
            signal.signal(one, handler)
        for number in came:
            signal.raise_signal(number)


class EndsStage(Exception):
    """Ends the training of a stage that has not failed; its state stays."""


class Stopped(KeyboardInterrupt):
    """Raised to end the command after a signal; checkpoints stay.

    Attributes:
        code: exit code of the process, 128 + the signal's number.
    """

    def __init__(self, number: int) -> None:
        """Set the exit code from the signal's number."""
        super().__init__(number)
        self.code = 128 + number


class Stop:
    """Handle signals within a ``with`` block; a second signal stops without waiting.

    Attributes:
        number: the first signal received, None before.
    """

    def __init__(self, *, again: float = 0.0) -> None:
        """Start without a signal; handlers are installed by the ``with`` statement.

        Args:
            again: seconds after which ``Stopped`` is raised once more, and so on until the block
                is left, because code that catches every exception, or a destructor, may have
                swallowed it; 0 for never.
        """
        self.number: int | None = None
        self._again = again
        self._training = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Install the signal handlers, in the main thread only (others cannot)."""
        if threading.current_thread() is threading.main_thread():
            for number in (*SIGNALS, signal.SIGALRM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the previous signal handlers."""
        if self._previous:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    @contextmanager
    def training(self) -> Iterator[None]:
        """Delay the first signal within the block until ``now`` is called or ``GRACE`` is over."""
        self._training = True
        try:
            yield
        finally:
            self._training = False

    @property
    def asked(self) -> bool:
        """Whether a signal was received."""
        return self.number is not None

    def now(self) -> None:
        """Raise ``Stopped`` if a signal was received.

        Raises:
            Stopped: a signal was received.
        """
        if self.number is not None:
            raise Stopped(self.number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Record the first signal; raise ``Stopped`` at once unless an epoch may still end."""
        del frame
        if self.number is None and number in SIGNALS:
            self.number = number
            if self._training:
                # SIGALRM calls this handler again when the grace time is over.
                signal.setitimer(signal.ITIMER_REAL, GRACE)
                return
            signal.setitimer(signal.ITIMER_REAL, self._again, self._again)
        self.now()
