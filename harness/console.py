"""What people read: every line leaves through this module, with control characters escaped.

Names of files, classes and rows and the errors of plug-ins may hold escape sequences, which a
terminal would obey. A newline within a line is escaped, too: each argument is one line. rich is
imported on the first use.
"""

from __future__ import annotations

import functools
import io
import json
import os
import sys
import traceback
from typing import IO, TYPE_CHECKING, Any, TextIO

from harness.errors import COMMAND, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType
    from rich.progress import Progress, ProgressColumn
    from rich.segment import Segment
    from rich.text import Text

UNLIMITED = 400
"""Width in characters where the output is not a terminal, so that no line of a log is wrapped."""


def say(*lines: object) -> None:
    """Print lines to standard output."""
    _write(sys.stdout, lines)


def note(*lines: object) -> None:
    """Print lines to standard error."""
    _write(sys.stderr, lines)


def warn(text: object) -> None:
    """Print one line with the program's name to standard error."""
    note(f"harness: {text}")


@functools.cache
def warn_once(text: str) -> None:
    """Print one line with the program's name to standard error, once in this process."""
    warn(text)


def say_json(value: Any) -> None:
    """Print a value as JSON to standard output."""
    say(*json.dumps(value, indent=1).split("\n"))


def warn_of(error: object) -> None:
    """Print an error in one line to standard error; the commands that it advises follow."""
    line, *commands = str(error).split(COMMAND)
    note(f"harness: {line}", *(COMMAND.lstrip("\n") + command for command in commands))


def show_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print the traceback of a bug, for ``sys.excepthook``: its texts may be a plug-in's."""
    text = "".join(traceback.format_exception(kind, error, trace))
    note(*text.rstrip("\n").split("\n"))


def take_any_text() -> None:
    """Let the standard streams escape what their encoding lacks, instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _write(stream: TextIO | None, lines: tuple[object, ...]) -> None:
    if stream is not None:  # a process may have been started without
        try:
            stream.write("".join(f"{shown(line)}\n" for line in lines))
            stream.flush()  # so that lines of both streams keep their order
        except BrokenPipeError:
            abandon(stream)


def abandon(stream: IO[str]) -> None:
    """Write to nowhere from now on what goes to a stream whose reader (head, less) has gone.

    A training does not depend on whether somebody reads its progress.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


def text(words: object, style: str = "") -> Text:
    """Return text of one line for a rich table, taken literally: "[red]" is no colour."""
    from rich.text import Text

    return Text(shown(words), style=style)


def wide_console(*, stderr: bool = False) -> Console:
    """Return a console as wide as the terminal, else ``UNLIMITED``; it takes texts literally."""
    kind = _console_kind()
    settings: dict[str, Any] = {"stderr": stderr, "markup": False, "highlight": False}
    console = kind(**settings, emoji=False)
    if not console.is_terminal:
        console = kind(**settings, emoji=False, width=UNLIMITED)
    console.push_render_hook(_hook())
    return console


@functools.cache
def _console_kind() -> type[Console]:
    """Return rich's console, but for one thing: it does not exit where a reader has gone."""
    from rich.console import Console

    class Lasting(Console):
        def on_broken_pipe(self) -> None:
            """Write to nowhere from now on."""
            abandon(self.file)

    return Lasting


def bars(*columns: ProgressColumn) -> Progress:
    """Return live progress bars on standard error."""
    from rich.progress import Progress

    return Progress(*columns, console=wide_console(stderr=True))


def _hook() -> Any:
    """Return a hook that escapes control characters in all that a console prints."""
    from rich.console import RenderHook

    class Escaping(RenderHook):
        def process_renderables(
            self, renderables: list[ConsoleRenderable]
        ) -> list[ConsoleRenderable]:
            return [_Escaped(renderable) for renderable in renderables]

    return Escaping()


class _Escaped:
    """Something that a console prints, whose texts are escaped line by line."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self._inner, options):
            if segment.control:
                yield segment
            else:
                lines = "\n".join(map(shown, segment.text.split("\n")))
                yield segment._replace(text=lines)
