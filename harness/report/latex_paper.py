"""Renderer of a grid as bare LaTeX tabulars, for papers: no keys, no commands, no commits.

Where they come from stands in a comment at the head, and completely in the JSON file.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.report import bounds, notes, tex
from harness.report.latex import block, lasting
from harness.report.table_style import TableStyle
from harness.report.tex_page import PAPER_SIZES, files
from harness.report.tex_table import Block, fits_unwrapped, tabulars
from harness.report.ties import ONE_SEED
from harness.report.values import Grid


def render(grid: Grid, style: TableStyle) -> Mapping[str, str]:
    """Return the files by name, see ``harness.report.tex_page``.

    A table that is too wide for columns of siunitx has none, and its comment says so.
    """
    aligned = style.siunitx and all(_aligned(part) is not None for _, part in grid.tables)
    tables = []
    for title, part in grid.tables:
        shown = (_aligned(part) if aligned else None) or block(part, paper=True)
        tables.append((title, tabulars(shown, PAPER_SIZES)))
    lacking = style.siunitx and not aligned
    # The notes stand in the comment, where no reader of the paper sees them.
    titled = [sentence.replace(", see the notes", "") for sentence in grid.caption]
    caption = (*titled, *_legend(grid, style))
    return files(grid.context.name, caption, tables, _head(grid, aligned=aligned, lacking=lacking))


def _aligned(grid: Grid) -> Block | None:
    made = block(grid, paper=True, siunitx=True)
    return made if fits_unwrapped(made, PAPER_SIZES) else None


def _head(grid: Grid, *, aligned: bool, lacking: bool) -> list[str]:
    source = f" ({grid.source})" if grid.source else ""
    below = [f"{note.label}: {note.text}" for note in (*grid.footnotes, *grid.notes)]
    lines = [
        f"{grid.title}{source}; all numbers, runs and commits: {grid.context.name}.json"
        " (--format json)"
    ]
    if lacking:
        lines.append("Without columns of siunitx: the table is too wide for them.")
    packages = [*tex.PACKAGES, *([tex.CHECK_MARKS] if grid.modules else [])]
    packages += [tex.SIUNITX] if aligned else []
    return [*tex.comment(*lines, *below), *tex.needs(packages)]


def _legend(grid: Grid, style: TableStyle) -> list[str]:
    """Return the sentences that say what numbers and marks are."""
    measured = [c for c in grid.columns if c.context.column.cost is None]
    texts = notes.numbers(measured, grid.context, style, own=grid.own) if measured else []
    texts += [bounds.beyond(measured, grid.rows)] if style.spread == "ci" else []
    sentences = ["; ".join(text for text in texts if text) + "."] if texts else []
    cells = [cell for row in grid.rows for cell in row.cells.values()]
    ranks = {cell.rank for cell in cells} - {None}
    remarks = {remark for cell in cells for remark in cell.remarks}
    if "best" in ranks:
        sentences.append("Bold: tests tell it from every other row.")
    if "second" in ranks:
        sentences.append("Underlined: tests tell it from every row but the best.")
    if any(remark.startswith("rank ") and "–" in remark for remark in remarks):
        sentences.append("Superscripts: the ranks that the tests leave open.")
        ranks.add("best")
    if ranks and len(grid.context.seeds) < 2:
        sentences.append(f"Ranks: {ONE_SEED}.")
    sentences += [f"Mark {note.label}: {note.text}." for note in lasting(grid)]
    return [sentence[0].upper() + sentence[1:] for sentence in sentences]
