"""Pages of an audit: titled tables of texts, rendered for a terminal, as Markdown and as LaTeX."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.report import markdown, tex_page
from harness.report.table_style import FULL, TableStyle

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
    lines = [f"# {escape(page.title)}", "", f"Written by {markdown.code(page.command)}."]
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


def to_latex(page: Page, name: str, style: TableStyle = FULL) -> Mapping[str, str]:
    """Return a page as LaTeX files by name: a part of a document, or the bare tables."""
    sections = [
        tex_page.Section(
            title=section.title,
            text=section.text,
            picture=section.picture,
            table=tex_page.table(section.head, section.rows, "l" * len(section.head))
            if section.head
            else None,
        )
        for section in page.sections
    ]
    return tex_page.render(
        tex_page.Page(
            name=name,
            caption=(page.title, *page.lead),
            sections=tuple(sections),
            comments=(f"Written by: {page.command}",),
            prose=True,
        ),
        style,
    )


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


def _aligned(row: Cells, widths: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
