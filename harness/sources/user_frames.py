"""Which code raised an exception: this project, a library, or the user; and at which line."""

from __future__ import annotations

import functools
import sysconfig
import traceback
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal

from harness.errors import shown
from harness.sources import user_files
from harness.sources.user_errors import HOUSE

Owner = Literal["house", "library", "user"]
"""Whose code it is: this project's, Python's or an installed package's, or the user's."""

TYPED = ("<ipython", "<stdin>")
"""Beginnings of the file names of code that was typed; other names in brackets are generated."""

INSTALLED = ("site-packages", "dist-packages")
"""Names of the folders of installed packages."""


def packages_of(settings: Collection[object]) -> frozenset[str]:
    """Return the top-level packages of settings' types that are not this project's.

    An installed package counts as a library unless it defines the method at hand.
    """
    tops = {type(value).__module__.partition(".")[0] for value in settings}
    return frozenset(tops.difference(HOUSE))


def owner_of(file: str, packages: Collection[str] = ()) -> Owner:
    """Return whose code a file is.

    Args:
        file: as a code object names it.
        packages: installed packages that count as the user's.
    """
    return _owner(file, frozenset(packages))


@functools.lru_cache(maxsize=4096)
def _owner(file: str, packages: frozenset[str]) -> Owner:
    if file.startswith("<"):
        return "user" if file.startswith(TYPED) else "library"
    path = Path(file)
    if user_files.is_house(path) or user_files.is_house(path.resolve()):
        return "house"
    for folder in INSTALLED:
        if folder in path.parts:
            inside = path.parts[path.parts.index(folder) + 1 :]
            return "user" if inside and Path(inside[0]).stem in packages else "library"
    return "library" if any(path.is_relative_to(folder) for folder in _stdlib()) else "user"


@functools.cache
def _stdlib() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_paths()[name]) for name in ("stdlib", "platstdlib"))


def last_line(error: BaseException, packages: Collection[str] = ()) -> tuple[str, int] | None:
    """Return file and line of the last of the user's code in a traceback; None without any."""
    lines = [
        (frame.f_code.co_filename, line)
        for frame, line in _frames(error.__traceback__)
        if owner_of(frame.f_code.co_filename, packages) == "user"
    ]
    return lines[-1] if lines else None


def location(error: BaseException, packages: Collection[str] = ()) -> str | None:
    """Return the last line of the user's code in a traceback, "my_method.py:41"; None without."""
    found = last_line(error, packages)
    return None if found is None else place(*found)


def defined_at(function: Callable[..., Any] | None, packages: Collection[str] = ()) -> str | None:
    """Return the first line of a function of the user's; None for other functions."""
    code = getattr(function, "__code__", None)
    if code is None or owner_of(code.co_filename, packages) != "user":
        return None
    return place(code.co_filename, code.co_firstlineno)


def place(file: str, line: int) -> str:
    """Return a file and a line as one word; the file from the folder that imports search on."""
    path = Path(file)
    name = path.name if file.startswith("<") else path.relative_to(user_files.import_root(path))
    return f"{shown(name)}:{line}"


def house_functions(error: BaseException) -> tuple[str, ...]:
    """Return the names of this project's functions in a traceback, the innermost first."""
    codes = [frame.f_code for frame, _ in _frames(error.__traceback__)]
    return tuple(c.co_name for c in reversed(codes) if owner_of(c.co_filename) == "house")


def innermost(error: BaseException, packages: Collection[str] = ()) -> tuple[Owner, str]:
    """Return whose code raised an exception, libraries left out, and that file."""
    for frame, _ in reversed(list(_frames(error.__traceback__))):
        owner = owner_of(frame.f_code.co_filename, packages)
        if owner != "library":
            return owner, frame.f_code.co_filename
    return "library", ""


def caller(frame: FrameType | None, packages: Collection[str] = ()) -> Owner:
    """Return whose code called, libraries left out; "library" where nobody else did."""
    while frame is not None:
        owner = owner_of(frame.f_code.co_filename, packages)
        if owner != "library":
            return owner
        frame = frame.f_back
    return "library"


def _frames(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    return traceback.walk_tb(trace)
