"""Write a grid's files by format; each file is written atomically."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness import files
from harness.errors import unknown
from harness.report import data, json_files, latex, latex_paper, markdown, scatter
from harness.report.table_style import FULL, TableStyle
from harness.report.values import Grid


def _json(grid: Grid) -> str:
    return json_files.text(data.to_json(grid))


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

FORMATS: Mapping[str, Renderer] = {**FIGURE_FORMATS, **TABLE_FORMATS}
"""Renderers of tables, and of figures where no table has the file extension."""


DATA_FORMATS = ("json", "csv")
"""Formats that are complete in every style."""


def write(
    grid: Grid,
    folder: Path,
    formats: Sequence[str],
    *,
    texts: Grid | None = None,
    style: TableStyle = FULL,
    is_figure: bool = False,
) -> list[Path]:
    """Write ``NAME.FORMAT`` for every format into the folder and return the paths.

    All formats are rendered before the first file is written.

    Args:
        grid: the whole table.
        folder: folder of the files.
        formats: keys of ``FORMATS``.
        texts: the table as the texts show it, with fewer columns or another spread; None for all.
        style: the style "paper" makes of "tex" several files.
        is_figure: the renderers of figures come before those of tables.

    Raises:
        UserError: a format is unknown, or the folder cannot be written.
    """
    renderers = {**FORMATS, **FIGURE_FORMATS} if is_figure else FORMATS
    for name in formats:
        if name not in renderers:
            raise unknown("format", name, renderers)
    seen = grid if texts is None else texts
    rendered: dict[str, str | bytes] = {}
    for name in formats:
        if name == "tex" and style.name == "paper":
            rendered.update(latex_paper.render(seen, style))
        else:
            laid = grid if name in DATA_FORMATS else seen
            file = f"{grid.context.name}.{name}"
            rendered[file] = renderers[name](laid)
            if name == "json" and style != FULL:
                # Texts that are shown otherwise are not compared with it, see ``check_text``.
                shown = {**dataclasses.asdict(style), "intervals": style.spread}
                rendered[file] = json_files.text({**data.to_json(grid), "texts": shown})
    for name, text in rendered.items():
        if isinstance(text, str):
            files.write_text(folder / name, text)
        else:
            files.write_bytes(folder / name, text)
    return [folder / name for name in rendered]
