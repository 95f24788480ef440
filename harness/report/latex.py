"""Renderer of a grid as a LaTeX table for pdfLaTeX, with booktabs and escaped texts.

``document`` wraps the table into a document that compiles by itself.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from harness.report.values import (
    CHECK,
    COMPARED,
    HEADINGS,
    KEYS,
    NOTHING,
    Cell,
    ComputedRow,
    Grid,
    Note,
    Part,
)

PACKAGES = ("[T1]{fontenc}", "[utf8]{inputenc}", "{textcomp}", "{booktabs}", "{graphicx}")

CHECK_MARKS = "{pifont}"
"""Package that tables with module columns need in addition."""

_GREEK = {
    **dict(zip("αβγδεζηθκλμνξπρστφχψω", [
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda",
        "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega",
    ], strict=True)),
    **dict(zip("ΓΔΘΛΞΠΣΦΨΩ", [
        "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega",
    ], strict=True)),
}  # fmt: skip
_MATHS = {
    "±": "pm", "\N{MINUS SIGN}": "-", "\N{MULTIPLICATION SIGN}": "times", "÷": "div",
    "·": "cdot", "≤": "leq", "≥": "geq", "≠": "neq", "≈": "approx", "→": "rightarrow",
    "←": "leftarrow", "↑": "uparrow", "↓": "downarrow", "∞": "infty", "∈": "in", "√": "surd",
    **_GREEK,
}  # fmt: skip
_TEXTS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}", '"': r"\textquotedbl{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "†": r"\dag{}", "‡": r"\ddag{}",
    CHECK: r"\ding{51}",
    "\N{EN DASH}": "--", "—": "---", "…": r"\ldots{}", "•": r"\textbullet{}",
    "\N{LEFT SINGLE QUOTATION MARK}": r"\textquoteleft{}",
    "\N{RIGHT SINGLE QUOTATION MARK}": r"\textquoteright{}",
    "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    **{c: f"${m}$" if m == "-" else f"$\\{m}$" for c, m in _MATHS.items()},
}  # fmt: skip

_JOINED = "-,'"
"""Characters of which two in a row would be typeset as one glyph (a ligature)."""


def escape(text: str) -> str:
    """Return text that pdfLaTeX typesets literally, in one line.

    Characters that are neither Latin, Greek nor known symbols are replaced by their code point in
    brackets, so that the table always compiles.
    """
    normal = unicodedata.normalize("NFC", text)
    line = " ".join("".join(c if c.isprintable() else " " for c in normal).split())
    escaped = ""
    for character in line:
        piece = _TEXTS.get(character) or _letter(character)
        if escaped and escaped[-1] == piece[0] and piece[0] in _JOINED:
            escaped += "{}"
        escaped += piece
    return escaped


def _letter(character: str) -> str:
    # inputenc's utf8 maps Latin-1 Supplement and Latin Extended-A to T1 and textcomp.
    if character.isascii() or "\u00a1" <= character <= "\u017f":
        return character
    return f"[U+{ord(character):04X}]"


def document(text: str) -> str:
    """Wrap a table into a document that pdfLaTeX compiles."""
    packages = "".join(f"\\usepackage{package}\n" for package in (*PACKAGES, CHECK_MARKS))
    return (
        f"\\documentclass{{article}}\n{packages}\\usepackage[margin=2cm]{{geometry}}\n"
        f"\\begin{{document}}\n{text}\\end{{document}}\n"
    )


def render(grid: Grid) -> str:
    """Return the table environment, after a comment that names the packages it needs."""
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in grid.context.name)
    lines = [
        f"% {_comment(grid.title)}" + (f" ({_comment(grid.source)})" if grid.source else ""),
        f"% Made by: {_comment(grid.context.command)}",
        "% Needs, in the preamble:",
        *(f"%   \\usepackage{package}" for package in _packages(grid)),
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape(' '.join(grid.caption))}}}",
        rf"  \label{{tab:{name}}}",
        *(f"  {line}" for line in (_beside(grid) if grid.separate else _fitted(grid))),
        *(f"  {line}" for line in _below(grid)),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _fitted(grid: Grid) -> list[str]:
    """Return the tabular environment, shrunk to the line width if it is wider."""
    fit = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    return [fit, *(f"  {line}" for line in _tabular(grid)), r"}"]


def _beside(grid: Grid) -> list[str]:
    """Return the small tables, two per line, each below its caption so that their tops align."""
    lines: list[str] = []
    for position, (title, part) in enumerate(grid.tables):
        lines += [
            r"\begin{minipage}[t]{0.48\linewidth}",
            r"  \centering",
            rf"  {{\small {escape(title)}\par}}\smallskip",
            *(f"  {line}" for line in _fitted(part)),
            r"\end{minipage}" + (r"\par\medskip" if position % 2 else r"\hfill"),
        ]
    return lines


def _packages(grid: Grid) -> tuple[str, ...]:
    return (*PACKAGES, CHECK_MARKS) if grid.modules else PACKAGES


def _comment(text: str) -> str:
    return " ".join(text.split())


def _tabular(grid: Grid) -> list[str]:
    texts = len(grid.heads)
    numbers = [len(column.parts) for column in grid.columns]
    width = texts + sum(numbers)
    lines = [rf"\begin{{tabular}}{{@{{}}{'l' * texts}{'r' * sum(numbers)}@{{}}}}", r"\toprule"]
    lines += _head(grid, texts)
    for position, group in enumerate(grid.groups):
        lines += [r"\midrule"] if position == 0 or grid.grouped else []
        if group.title:
            lines.append(
                rf"\multicolumn{{{width}}}{{@{{}}l}}{{\textit{{{escape(group.title)}}}}} \\"
            )
        for row in group.rows:
            cells = [
                shown(row.cells[column.name], part)
                for column in grid.columns
                for part in column.parts
            ]
            lines.append(_line([*map(escape, grid.words(row)), *cells]))
    if grid.computed:
        lines += [r"\midrule", *(_line(_computed(grid, row)) for row in grid.computed)]
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _head(grid: Grid, texts: int) -> list[str]:
    spans, rules, parts = [""] * texts, [], [*map(escape, grid.heads)]
    start = texts + 1
    for column in grid.columns:
        width = len(column.parts)
        spans.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(column.heading)}}}")
        rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        parts += [escape(HEADINGS[part]) for part in column.parts]
        start += width
    return [_line(spans), " ".join(rules), _line(parts)]


def shown(cell: Cell, part: Part) -> str:
    """Return what a row shows in one part of a column, as LaTeX."""
    if part == "ours":
        return _ours(cell)
    return escape(cell.paper if part == "paper" else cell.change)


def _ours(cell: Cell) -> str:
    marks = rf"\textsuperscript{{{escape(' '.join(cell.marks))}}}" if cell.marks else ""
    remarks = escape(", ".join(cell.remarks))
    if not cell.number:
        return rf"\textit{{{remarks}}}{marks}"
    number = escape(cell.number)
    if cell.rank is not None:
        command = {"best": "textbf", "second": "underline"}[cell.rank]
        number = rf"\{command}{{{number}}}"
    return f"{number}{marks}" + (rf" \textit{{({remarks})}}" if remarks else "")


def _computed(grid: Grid, row: ComputedRow) -> list[str]:
    numbers = [
        rf"\textit{{{escape(text)}}}" if (text := row.text(column, part)) else escape(NOTHING)
        for column in grid.columns
        for part in column.parts
    ]
    label, *others = map(escape, grid.words(row))
    return [rf"\textit{{{label}}}", *others, *numbers]


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _below(grid: Grid) -> list[str]:
    """Return footnotes, notes and run keys in small print below the table."""
    lines = [r"\par\smallskip", r"\begin{minipage}{\linewidth}\scriptsize\raggedright"]
    lines += [
        rf"\textsuperscript{{{escape(note.label)}}}\,{escape(note.text)}\par"
        for note in grid.footnotes
    ]
    lines += [_small(note) for note in grid.notes]
    for head, listed in ((COMPARED, grid.compared), (KEYS, grid.keys)):
        if listed:
            lines.append(rf"\textbf{{{escape(head)}:}}\par")
            lines += [rf"{escape(note.label)}: {escape(note.text)}\par" for note in listed]
    return [*lines, r"\end{minipage}"]


def _small(note: Note) -> str:
    return rf"\textbf{{{escape(note.label)}:}} {escape(note.text)}\par"
