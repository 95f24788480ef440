"""The traceback of each stage that failed last, beside its record."""

from __future__ import annotations

import traceback
from pathlib import Path

from harness import files

FOLDER = "failures"
"""Folder of a run store with a file per failed stage, named by its key."""

LONGEST = 1_000_000
"""Characters of a traceback that are kept; of a longer one the middle is left out."""


def path_of(runs: Path, key: str) -> Path:
    """Return the file with the traceback of a stage."""
    return runs / FOLDER / f"{key}.txt"


def keep(runs: Path, key: str, failure: BaseException) -> None:
    """Write the traceback of a failed stage, for who wrote its method."""
    keep_text(runs, key, "".join(traceback.format_exception(failure)))


def keep_text(runs: Path, key: str, text: str) -> None:
    """Write what is known of a failed stage."""
    if len(text) > LONGEST:
        left_out = len(text) - LONGEST
        half = LONGEST // 2
        text = f"{text[:half]}\n... {left_out} characters are left out ...\n{text[-half:]}"
    files.write_bytes(path_of(runs, key), text.encode("utf-8", errors="backslashreplace"))


def read(runs: Path, key: str) -> str | None:
    """Return the traceback of a stage that failed; None where none is kept."""
    path = path_of(runs, key)
    if not path.is_file():
        return None
    return path.read_bytes().decode("utf-8", errors="backslashreplace")
