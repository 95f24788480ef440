"""The examples of ``docs/extending.md`` and ``CONTRIBUTING.md``: files and commands, as printed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/extending.md"

ONCE = ("--profile", "smoke", "--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0")
"""One epoch at smoke size, as the page's commands have it."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """What a section of the page shows.

    Attributes:
        files: texts by path; a block of Python names its path in the first line.
        commands: the words after ``harness``.
    """

    files: Mapping[str, str]
    commands: tuple[tuple[str, ...], ...]


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.S | re.M)


def headings() -> list[str]:
    """Return the page's headings."""
    return re.findall(r"^## (.*)$", PAGE.read_text(), flags=re.M)


def section(heading: str) -> Section:
    """Return what the section under a heading shows."""
    text = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    files = {}
    for block in blocks(text, "python"):
        first, _, rest = block.partition("\n")
        files[first.removeprefix("# ")] = rest
    lines = [line for block in blocks(text, "console") for line in block.splitlines()]
    words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    assert all(w[0] == "harness" for w in words)
    return Section(files=files, commands=tuple(tuple(w[1:]) for w in words))


def files_touched() -> dict[str, int]:
    """Return the page's first table: how many files a new thing of each kind touches."""
    rows = re.findall(r"^\| ([a-z ]+) \| (\d+) \|", PAGE.read_text(), flags=re.M)
    return {kind: int(count) for kind, count in rows}


METHOD = section("A backbone").files["my_backbone.py"]
"""A small method with its table; its ``build`` returns ``ConvTask(...)``."""
