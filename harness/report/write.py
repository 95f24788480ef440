"""Write a grid to NAME.md, NAME.tex, NAME.json and NAME.csv, each whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness import files
from harness.errors import unknown
from harness.report import data, latex, markdown
from harness.report.grid import Grid

RENDERERS: dict[str, Callable[[Grid], str]] = {
    "md": markdown.render,
    "tex": latex.render,
    "json": data.to_json,
    "csv": data.to_csv,
}


def write(grid: Grid, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Render and write; return the paths.

    Raises:
        UserError: a format is unknown, or the folder cannot be written.
    """
    for name in formats:
        if name not in RENDERERS:
            raise unknown("format", name, RENDERERS)
    rendered = {folder / f"{grid.context.name}.{name}": RENDERERS[name](grid) for name in formats}
    for path, text in rendered.items():
        files.write_text(path, text)
    return list(rendered)
