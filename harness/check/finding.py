"""What a check found, and the place in a file that it is about."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from harness.sources.modules import is_installed
from harness.sources.user_files import is_house


class Finding(Exception):
    """A method does not do what is checked; the message says what was seen and what to mend."""

    def __init__(self, text: str, about: object = None) -> None:
        """Compose the message.

        Args:
            text: what was seen, and what to mend.
            about: the class or function that it is about; None for none.
        """
        super().__init__(text)
        self.place = "" if about is None else place_of_definition(about)


def place_of_definition(about: Any) -> str:
    """Return the file and line of a class or function; "" where it has none."""
    try:
        file = inspect.getsourcefile(about)
        line = inspect.getsourcelines(about)[1]
    except (OSError, TypeError):  # of an interpreter's session, or compiled
        return ""
    return f"{file}, line {line}" if file else ""


def place_of_error(error: BaseException, files: frozenset[str]) -> str:
    """Return the last place in a user's code that led to an exception; "" for none.

    Args:
        error: the exception.
        files: what counts as the user's besides files that are neither ours nor installed.
    """
    found, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if is_users(code.co_filename, files):
            found = f"{code.co_filename}, line {trace.tb_lineno}, in {code.co_name}"
        trace = trace.tb_next
    return found


def is_users(file: str, files: frozenset[str]) -> bool:
    """Whether a file is the checked method's or a user's: neither ours nor an installed one."""
    if file in files:
        return True
    path = Path(file)
    return path.is_absolute() and not is_house(path) and not is_installed(path)


def files_of(*kinds: type) -> frozenset[str]:
    """Return the files that define types."""
    modules = (sys.modules.get(kind.__module__) for kind in kinds)
    return frozenset(str(file) for m in modules if (file := getattr(m, "__file__", None)))
