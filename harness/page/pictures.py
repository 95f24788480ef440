"""Figures that lie beside a report, embedded as ``data:`` addresses.

An image in an ``img`` element runs no script and loads nothing, whatever its file holds.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from harness import files
from harness.errors import UserError
from harness.page.values import Picture

TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
"""Media types by ending, in the order of preference for one figure in several formats."""

LARGEST = 2_000_000
"""Bytes of one picture."""

LARGEST_SUM = 7_000_000
"""Bytes of all pictures of a page: in base64 they take a third more."""

LONGEST_CAPTION = 4_000
"""Characters of a caption."""


def find(folders: Sequence[Path], root: Path) -> tuple[list[Picture], list[str]]:
    """Return the figures in some folders, and a line for each that is left out.

    Args:
        folders: searched without their subfolders, in order.
        root: paths are named from here.
    """
    pictures: list[Picture] = []
    missing: list[str] = []
    total = 0
    for path in _paths(folders):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        try:
            size = path.stat().st_size
            if size > LARGEST or total + size > LARGEST_SUM:
                missing.append(f"{name}: {size} bytes, too large to be embedded")
                continue
            content = files.read_bytes(path)
            total += len(content)
            pictures.append(
                Picture(name=name, caption=_caption(path) or name, source=_address(path, content))
            )
        except (UserError, OSError) as error:
            missing.append(f"{name}: {error}")
    return pictures, missing


def _paths(folders: Sequence[Path]) -> list[Path]:
    """Return a file per figure: SVG, or else PNG."""
    chosen: dict[Path, Path] = {}
    for folder in dict.fromkeys(folders):
        for ending in TYPES:
            for path in sorted(folder.glob(f"[!.]*{ending}")):
                chosen.setdefault(path.with_suffix(""), path)
    return list(chosen.values())


def _address(path: Path, content: bytes) -> str:
    return f"data:{TYPES[path.suffix]};base64,{base64.b64encode(content).decode()}"


def _caption(path: Path) -> str:
    """Return the text beside a figure, "" if there is none."""
    try:
        text = files.read_bytes(path.with_suffix(".txt")).decode(errors="replace")
    except FileNotFoundError:
        return ""
    return text.strip()[:LONGEST_CAPTION]
