"""Pages of an audit: titled tables of texts, rendered for a terminal, as Markdown and as LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from harness.report import latex, markdown

LATEX_ROWS = 12
"""Lines of a piece of a table in LaTeX: a page holds as many of the longest texts."""

Cells = tuple[str, ...]
"""Texts of a line of a table."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A titled part of a page.

    Attributes:
        title: heading.
        text: sentences above the table.
        head: headings of the table's columns; empty without a table.
        rows: lines of the table.
        picture: name of an image file beside the page, shown below the text; "" without one.
    """

    title: str
    text: tuple[str, ...] = ()
    head: Cells = ()
    rows: tuple[Cells, ...] = ()
    picture: str = ""


@dataclass(frozen=True, kw_only=True)
class Page:
    """The result of an audit in words.

    Attributes:
        title: heading.
        command: the command that writes it.
        lead: sentences below the heading: what was counted, over how many.
        sections: its parts.
    """

    title: str
    command: str
    lead: tuple[str, ...]
    sections: tuple[Section, ...]


def to_markdown(page: Page) -> str:
    """Return a page as GitHub Markdown."""
    escape = markdown.escape
    lines = [f"# {escape(page.title)}", "", f"Written by `{page.command}`."]
    lines += [text for sentence in page.lead for text in ("", escape(sentence))]
    for section in page.sections:
        lines += ["", f"## {escape(section.title)}"]
        lines += [text for sentence in section.text for text in ("", escape(sentence))]
        if section.picture:
            lines += ["", f"![{escape(section.title)}](<{section.picture}>)"]
        if section.head:
            lines += ["", _row(map(escape, section.head)), _row(":---" for _ in section.head)]
            lines += [_row(map(escape, row)) for row in section.rows]
    return "\n".join(lines) + "\n"


def to_latex(page: Page) -> str:
    """Return a page as a part of a LaTeX document; long tables come in pieces that fit a page."""
    escape = latex.escape
    lines = [
        f"% Written by: {' '.join(page.command.split())}",
        "% Needs, in the preamble:",
        *(f"%   \\usepackage{package}" for package in latex.PACKAGES),
        rf"\section*{{{escape(page.title)}}}",
    ]
    lines += [text for sentence in page.lead for text in (escape(sentence), "")]
    for section in page.sections:
        lines += [rf"\subsection*{{{escape(section.title)}}}"]
        lines += [text for sentence in section.text for text in (escape(sentence), "")]
        if section.picture:
            name = rf"\detokenize{{{section.picture}}}"
            size = r"width=\linewidth,height=0.9\textheight,keepaspectratio"
            lines += [rf"\noindent\includegraphics[{size}]{{{name}}}", ""]
        lines += [
            line
            for begin in range(0, len(section.rows), LATEX_ROWS)
            for line in _tabular(section, begin)
        ]
    return "\n".join(lines) + "\n"


def to_lines(page: Page, *, most: int = 12) -> list[str]:
    """Return the lines of a page for a terminal: of long tables the first ``most`` lines."""
    lines = [page.title, *page.lead]
    for section in page.sections:
        lines += ["", section.title, *(f"  {sentence}" for sentence in section.text)]
        if section.picture:
            lines.append(f"  Picture: {section.picture}")
        if section.head:
            shown = [section.head, *section.rows[:most]]
            widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
            lines += [f"  {_aligned(row, widths)}" for row in shown]
            if len(section.rows) > most:
                lines.append(f"  ... and {len(section.rows) - most} more (--format md has all)")
    return lines


FORMATS: Mapping[str, Callable[[Page], str]] = MappingProxyType(
    {"md": to_markdown, "tex": to_latex}
)
"""Renderers of a page by file extension; JSON holds the audit's values, not the page."""


def _tabular(section: Section, begin: int) -> list[str]:
    """Return a piece of a section's table, from one of its lines on."""
    width = 0.92 / len(section.head)
    columns = rf"p{{{width:.3f}\linewidth}}" * len(section.head)
    rows = (section.head, *section.rows[begin : begin + LATEX_ROWS])
    head, *others = (" & ".join(map(latex.escape, row)) + r" \\" for row in rows)
    return [
        rf"{{\footnotesize\setlength{{\tabcolsep}}{{2pt}}\noindent\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        head,
        r"\midrule",
        *others,
        r"\bottomrule",
        r"\end{tabular}\par}\medskip",
    ]


def _aligned(row: Cells, widths: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
