"""Write a grid's files by format; each file is written atomically."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness import files
from harness.errors import unknown
from harness.report import data, latex, markdown, scatter
from harness.report.values import Grid


def _json(grid: Grid) -> str:
    values = data.to_json(grid)
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(grid: Grid) -> str:
    return data.frame(grid).to_csv(index=False, lineterminator="\n")


Renderer = Callable[[Grid], str | bytes]

TABLE_FORMATS: Mapping[str, Renderer] = {
    "md": markdown.render,
    "tex": latex.render,
    "json": _json,
    "csv": _csv,
}
"""Renderers of tables by file extension."""

FIGURE_FORMATS: Mapping[str, Renderer] = {
    "json": _json,
    "svg": scatter.svg,
    "png": scatter.scatter,
    "txt": scatter.to_text,
}
"""Renderers of figures by file extension; a figure is written in all of them."""

FORMATS: Mapping[str, Renderer] = {**TABLE_FORMATS, **FIGURE_FORMATS}
"""Renderers of tables and figures by file extension."""


def write(grid: Grid, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write ``NAME.FORMAT`` for every format into the folder and return the paths.

    All formats are rendered before the first file is written.

    Raises:
        UserError: a format is unknown, or the folder cannot be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    texts = {folder / f"{grid.context.name}.{name}": FORMATS[name](grid) for name in formats}
    for path, text in texts.items():
        if isinstance(text, str):
            files.write_text(path, text)
        else:
            files.write_bytes(path, text)
    return list(texts)
