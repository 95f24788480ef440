"""Renderer of a grid as LaTeX tables for pdfLaTeX, with booktabs and escaped texts.

``render`` gives floats that fit the text of one or two columns, with all notes below them;
``harness.report.latex_paper`` gives the bare tabular.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from harness.report import tex
from harness.report.cells import FAILED, STALE
from harness.report.separation import rank_text
from harness.report.tex_page import SIZES, floats, small
from harness.report.tex_table import BOLD, ITALIC, Block, Cell, Line, Span, Tabular, cell, tabulars
from harness.report.values import COMPARED, HEADINGS, KEYS, NOTHING, ComputedRow, Grid, Note, Part
from harness.report.values import Cell as GridCell

SIGNS = "+-\N{MINUS SIGN}"

NUMBER = re.compile(r"[+\N{MINUS SIGN}-]?[0-9]+(\.[0-9]+)?")
"""A number as siunitx reads it."""


def render(grid: Grid) -> str:
    """Return the floats and, after them, footnotes, notes and run keys in small print."""
    lines = [*_head(grid), *floats(grid.context.name, grid.caption, _tables(grid))]
    lines += [r"\begingroup\scriptsize\raggedright"]
    lines += [
        rf"\textsuperscript{{{tex.escape(note.label)}}}\,{tex.escape(note.text)}\par"
        for note in grid.footnotes
    ]
    lines += [small(note) for note in grid.notes]
    for head, listed in ((COMPARED, grid.compared), (KEYS, grid.keys)):
        if listed:
            lines.append(rf"\textbf{{{tex.escape(head)}:}}\par")
            lines += [rf"{tex.escape(n.label)}: {tex.escape(n.text)}\par" for n in listed]
    return "\n".join([*lines, r"\endgroup"]) + "\n"


def _head(grid: Grid) -> list[str]:
    made = [f"{grid.title}{f' ({grid.source})' if grid.source else ''}",
            f"Made by: {grid.context.command}"]  # fmt: skip
    packages = (*tex.PACKAGES, tex.CHECK_MARKS) if grid.modules else tex.PACKAGES
    return [*tex.comment(*made), *tex.needs(packages)]


def _tables(grid: Grid) -> list[tuple[str, tuple[Tabular, ...]]]:
    return [(title, tabulars(block(part), SIZES)) for title, part in grid.tables]


def block(grid: Grid, *, paper: bool = False, siunitx: bool = False) -> Block:
    """Return a grid as a table of texts.

    Args:
        grid: the table, not one of ``grid.separate``.
        paper: whether only the ``lasting`` footnotes have marks, and open ranks are superscripts.
        siunitx: whether columns of numbers are of siunitx's type S.
    """
    parts = [(column, part) for column in grid.columns for part in column.parts]
    kept = [note.label for note in lasting(grid)] if paper else None
    typed = [_type(grid, c.name, part, kept) if siunitx else "r" for c, part in parts]
    heads, spans = [*grid.heads], []
    for column in grid.columns:
        if grid.own:
            heads.append(column.heading)
        else:
            spans.append(Span(first=len(heads), count=len(column.parts), text=column.heading))
            heads += [HEADINGS[part] for part in column.parts]

    def number(given: GridCell, part: Part, kind: str) -> Cell:
        made = _cell(given, part, kept, siunitx=kind != "r")
        return made if kind == "r" else _aligned(made, given, part)

    lines: list[Line] = []
    for group in grid.groups:
        rule = bool(lines) and grid.grouped
        if group.title:
            lines.append(Line(cells=(cell(group.title, "textit"),), rule=rule))
        for row in group.rows:
            numbers = [
                number(row.cells[column.name], part, kind)
                for (column, part), kind in zip(parts, typed, strict=True)
            ]
            first = rule and not group.title and row is group.rows[0]
            lines.append(Line(cells=(*map(cell, grid.words(row)), *numbers), rule=first))
    for place, constant in enumerate(grid.computed):
        lines.append(Line(cells=_computed(grid, constant, typed), rule=place == 0))
    return Block(
        columns=("l",) * len(grid.heads) + tuple(typed),
        heads=tuple(heads),
        lines=tuple(lines),
        spans=tuple(spans),
        labels=len(grid.heads),
    )


def lasting(grid: Grid) -> list[Note]:
    """Return the footnotes of the style "paper": not of old sources, nor of errors of runs."""
    failed = f"{FAILED}: "
    return [n for n in grid.footnotes if n.label != STALE and not n.text.startswith(failed)]


def _cell(given: GridCell, part: Part, kept: Collection[str] | None, *, siunitx: bool) -> Cell:
    """Return a cell; of its marks only those ``kept``, with open ranks, where that is no None."""
    if part != "ours":
        return cell(given.paper if part == "paper" else given.change)
    remarks, marks = given.remarks, given.marks
    if kept is not None:
        low, high = given.ranks or (0, 0)
        ranked = rank_text(low, high)
        remarks = tuple(r for r in remarks if r != ranked)
        opened = (f"{low}–{high}",) if ranked in given.remarks and low != high else ()
        marks = (*opened, *(mark for mark in marks if mark in kept))
    raised = rf"\textsuperscript{{{tex.escape(' '.join(marks))}}}" if marks else ""
    remark = ", ".join(remarks)
    if not given.number:
        words = cell(remark, "textit")
        return replace(words, text=remark + " ".join(marks), tex=words.tex + raised)
    # No line is broken between the sign and the deviation.
    number = tex.escape(given.number).replace(r"$\pm$ ", r"$\pm$\,")
    if given.rank is not None and not siunitx:
        command = {"best": "textbf", "second": "underline"}[given.rank]
        # The mean alone: TeX breaks no line within what is underlined.
        mean, space, behind = number.partition(" ")
        number = rf"\{command}{{{mean}}}{space}{behind}"
    said = f" ({remark})" if remark else ""
    italic = rf" \textit{{{tex.escape(said.strip())}}}" if said else ""
    text = f"{given.number.replace('± ', '±')}{' '.join(marks)}{said}"
    wider = BOLD if given.rank == "best" else ITALIC if remark else 1.0
    return Cell(text=text, tex=f"{number}{raised}{italic}", wider=wider)


def shown(given: GridCell, part: Part) -> str:
    """Return what a row shows in one part of a column, as LaTeX of the style "full"."""
    return _cell(given, part, None, siunitx=False).tex


def _type(grid: Grid, column: str, part: Part, kept: Collection[str] | None) -> str:
    """Return the type of a siunitx column that fits its numbers, "r" if none is one number."""
    cells = [row.cells[column] for row in grid.rows if NUMBER.match(_of(row.cells[column], part))]
    found = [match[0] for c in cells if (match := NUMBER.match(_of(c, part)))]
    if not found:
        return "r"
    whole = max(len(n.lstrip(SIGNS).partition(".")[0]) for n in found)
    digits = max(len(n.partition(".")[2]) for n in found)
    sign = "-" if any(n[0] in SIGNS for n in found) else ""
    sign = "+" if any(n[0] == "+" for n in found) else sign
    made = [_cell(c, part, kept, siunitx=True) for c in cells]
    behind = [
        (c.text[len(n) :], c.tex[len(tex.escape(n)) :]) for c, n in zip(made, found, strict=True)
    ]
    longest = max(behind, key=lambda texts: tex.width(texts[0]))[1]
    space = f",table-space-text-post={{{longest}}}" if longest else ""
    kept = "retain-explicit-plus,detect-weight,mode=text"
    return f"S[table-format={sign}{whole}.{digits},{kept}{space}]"


def _of(given: GridCell, part: Part) -> str:
    return {"paper": given.paper, "ours": given.number, "difference": given.change}[part]


def _aligned(made: Cell, given: GridCell, part: Part) -> Cell:
    """Return a cell of a siunitx column: a number as such, all else in braces."""
    text = _of(given, part)
    found = NUMBER.match(text)
    if found is None:
        return Cell(text=made.text, tex=f"{{{made.tex}}}" if made.tex else "")
    number = found[0].replace("\N{MINUS SIGN}", "-")
    behind = made.tex[len(tex.escape(found[0])) :]
    bold = ""
    if part == "ours" and given.rank == "best":
        bold, behind = r"\bfseries ", rf"\mdseries{{}}{behind}" if behind else ""
    elif part == "ours" and given.rank == "second":
        # A rule below the number: siunitx typesets no number within another command.
        behind = rf"\llap{{\underline{{\phantom{{{number}}}}}}}{behind}"
    typeset = f"{bold}{number}{f'{{{behind}}}' if behind else ''}"
    return Cell(text=made.text, tex=typeset, wider=made.wider)


def _computed(grid: Grid, row: ComputedRow, typed: Sequence[str]) -> tuple[Cell, ...]:
    label, *others = grid.words(row)
    parts = [(column, part) for column in grid.columns for part in column.parts]
    numbers = []
    for (column, part), kind in zip(parts, typed, strict=True):
        text = row.text(column, part)
        made = cell(text, "textit") if text else cell(NOTHING)
        if kind != "r":
            number = text.replace("\N{MINUS SIGN}", "-")
            made = Cell(text=text, tex=number if NUMBER.fullmatch(text) else f"{{{made.tex}}}")
        numbers.append(made)
    return (cell(label, "textit"), *map(cell, others), *numbers)
