"""Entry point of the command ``harness`` and of ``python -m harness``.

Signals are handled before anything else is imported, so that an interrupted start is one line. How
OpenMP's threads wait is set here, too: its library reads that when torch loads it.
"""

from __future__ import annotations

import sys

from harness import interrupt, openmp


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
        return run()
    except KeyboardInterrupt:  # a further signal, while the first was being handled
        return 130


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
