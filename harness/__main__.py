"""Entry point of the command ``harness`` and of ``python -m harness``.

Signals are handled before anything else is imported, so that an interrupted start is one line. How
OpenMP's threads wait is set here, too: its library reads that when torch loads it.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not sys.flags.safe_path and sys.path:
    # `python -m` has put the current folder first; a random.py in it would replace Python's.
    del sys.path[0]

import gc
import os
from typing import NoReturn

from harness import interrupt, openmp

_LEAVE = os._exit  # before a user's code can put another function in its place


def main() -> int:
    """Run the command line of this process and return its exit code."""
    interrupt.leave_on_signals()
    openmp.asleep()
    try:
        from harness import console
        from harness.cli.main import main as run
    except (ImportError, AttributeError) as error:
        return _cannot_start(error)

    sys.excepthook = console.show_uncaught
    try:
        code = run()
        # Python looks through all objects for circles when it ends, which takes seconds where
        # thousands of records were read; what is frozen is not looked through.
        gc.freeze()
    except KeyboardInterrupt:  # a further signal, while the first was being handled
        code = 130
    except BaseException as error:
        if "--worker" not in sys.argv:
            raise
        end(1, error)
    return end(code) if "--worker" in sys.argv else code


def end(code: int, error: BaseException | None = None) -> NoReturn:
    """End a worker's process at once, whatever threads and exit handlers a user's code has left."""
    try:
        if error is not None:
            sys.excepthook(type(error), error, error.__traceback__)
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
    finally:
        _LEAVE(code)


def _cannot_start(error: ImportError | AttributeError) -> int:
    """Print which package the command line itself lacks, and return the exit code."""
    from harness import packages

    told = packages.explain(error)
    if told is None:
        raise error
    sys.stderr.write(f"harness: {told}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
