"""Stop on SIGINT and SIGTERM: after the epoch under way if it ends soon, else at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

GRACE = 5.0
"""Seconds that an epoch under way is given to end and be written."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """Leave the command; what was checkpointed stays. ``code`` is the exit code."""

    def __init__(self, number: int) -> None:
        """Remember the signal."""
        super().__init__(number)
        self.code = 128 + number


class Stop:
    """Listen for signals within a ``with`` block; a second one does not wait for the epoch."""

    def __init__(self) -> None:
        """Begin with no signal."""
        self.number: int | None = None
        self._training = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take over the signals; only a main thread can."""
        if threading.current_thread() is threading.main_thread():
            for number in (*SIGNALS, signal.SIGALRM):
                self._previous[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        if self._previous:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    @contextmanager
    def training(self) -> Iterator[None]:
        """Let the first signal wait, within the block, for ``now``."""
        self._training = True
        try:
            yield
        finally:
            self._training = False

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self.number is not None

    def now(self) -> None:
        """Stop if a signal has come.

        Raises:
            Stopped: it has.
        """
        if self.number is not None:
            raise Stopped(self.number)

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.number is None and number in SIGNALS:
            self.number = number
            if self._training:
                signal.setitimer(signal.ITIMER_REAL, GRACE)
                return
        self.now()
