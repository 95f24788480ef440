"""Time of commands without work to do, relative to a bare interpreter."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator

from bench._paired import ratio


def measure() -> Iterator[dict]:
    """Yield a ratio for each command that trains nothing, and for a run whose stages are done."""
    with tempfile.TemporaryDirectory() as folder:

        def run(*command: str) -> None:
            subprocess.run([sys.executable, *command], cwd=folder, check=True, capture_output=True)

        def bare() -> None:
            run("-c", "pass")

        for command in (("--help",), ("list",), ("data", "list")):
            title = "harness " + " ".join(command) + " / python -c pass"
            result = ratio(lambda c=command: run("-m", "harness", *c), bare, rounds=7)
            yield {"what": title, **result}
        table = ("-m", "harness", "run", "table1", "--profile", "smoke")
        table += ("--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0")
        run(*table)
        title = "harness run table1, everything done / import torch"
        yield {"what": title, **ratio(lambda: run(*table), _torch(run), rounds=5)}


def _torch(run: object) -> object:
    return lambda: run("-c", "import torch")  # type: ignore[operator]
