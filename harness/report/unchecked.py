"""The list of files beside which no records are kept: ``unchecked.txt`` in a folder of tables.

A line is that of ``sha256sum``, the SHA-256 and the name of a file; lines that begin with # say why
the files have no records. A file that is named here is compared with its SHA-256 alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness import files
from harness.errors import Damaged
from harness.ranges import said

NAME = "unchecked.txt"
"""Name of the list in a folder of tables."""

_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")


@dataclass(frozen=True, kw_only=True)
class Unchecked:
    """The list of a folder.

    Attributes:
        files: SHA-256 by name of the file.
        why: the reason that the list gives, in one line.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


def read(folder: Path) -> Unchecked:
    """Return a folder's list; an empty one if it has none.

    Raises:
        Damaged: a line is neither a comment nor a SHA-256 and a name.
    """
    path = folder / NAME
    try:
        text = files.read_bytes(path).decode(errors="replace")
    except FileNotFoundError:
        return Unchecked()
    found, why = {}, []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            why.append(line.lstrip("# ").strip())
        elif line.strip():
            match = _LINE.fullmatch(line.rstrip())
            if match is None:
                raise Damaged(
                    path,
                    f"line {number} is {said(line)}, not a SHA-256, two spaces and a file's name",
                    f"Write it with `sha256sum FILE... >> {NAME}`.",
                )
            found[match[2]] = match[1]
    return Unchecked(files=found, why=" ".join(why))
