"""A limit on what a method prints while it trains, so that no endless output fills a disk."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from harness.sources import user_frames

LINE = 1_000_000
"""Characters of the longest line that a method may print."""

EPOCH = 10_000_000
"""Characters that a method may print between the ends of two epochs."""


class OutputError(RuntimeError):
    """A method printed a line that does not end, or more than an epoch may."""


class OutputLimit:
    """Fails a method that prints too much; this project prints freely."""

    def __init__(self, packages: Collection[str] = ()) -> None:
        """Begin with nothing printed.

        Args:
            packages: installed packages that the method is of.
        """
        self._packages = packages
        self._line = self._epoch = 0
        self._streams: list[_Limited] = []

    def begin_epoch(self) -> None:
        """Begin to count anew."""
        self._epoch = 0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch both standard streams within the block; a process may have been started without."""
        with contextlib.ExitStack() as stack:
            if sys.stdout is not None:
                limited: Any = _Limited(sys.stdout, self)
                self._streams.append(limited)
                stack.enter_context(contextlib.redirect_stdout(limited))
            if sys.stderr is not None:
                limited = _Limited(sys.stderr, self)
                self._streams.append(limited)
                stack.enter_context(contextlib.redirect_stderr(limited))
            stack.callback(self._streams.clear)
            stack.callback(self.end_lines)
            yield

    def end_lines(self) -> None:
        """End the line that the user's code has begun, so that the next begins on one of its own.

        A stream that the user's code has closed is left as it is.
        """
        for stream in self._streams:
            with contextlib.suppress(ValueError):
                stream.end_line()

    def count(self, text: str) -> bool:
        """Count what is about to be written; return whether the user's code writes it.

        Raises:
            OutputError: the user's code writes it, and it is too much.
        """
        if user_frames.caller(sys._getframe(2), self._packages) != "user":
            return False
        first, *rest = re.split("[\n\r]", text)  # a bar of progress writes the second
        lines = [self._line + len(first), *map(len, rest)]
        self._line = lines[-1]
        self._epoch += len(text)
        if max(lines) > LINE:
            raise OutputError(f"it printed a line of more than {LINE:,} characters")
        if self._epoch > EPOCH:
            raise OutputError(f"it printed more than {EPOCH:,} characters in an epoch")
        return True


class _Limited:
    """A text stream that counts what is written before it passes it on."""

    def __init__(self, inner: Any, limit: OutputLimit) -> None:
        self._inner, self._limit = inner, limit
        self._begun = False

    def write(self, text: str) -> Any:
        if self._limit.count(text):
            self._begun = not text.endswith("\n") if text else self._begun
        elif text:
            self._limit.end_lines()
        return self._inner.write(text)

    def end_line(self) -> None:
        if self._begun:
            self._begun = False
            self._inner.write("\n")
            self._inner.flush()

    def close(self) -> None:
        """Leave the stream open: this project writes to it afterwards."""

    def detach(self) -> Any:
        raise io.UnsupportedOperation("the standard streams stay as they are in a training")

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
