r"""LaTeX files of tables in two styles: floats with notes below them, or bare tabulars.

The style "full" is one file of floats, each with a caption, and notes in small print after them.
The style "paper" is a file per tabular, which holds nothing else but a comment, and one beside it
with ``\caption`` and ``\label``: NAME.tex, NAME-caption.tex, NAME-2.tex, NAME-2-caption.tex, ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.report import tex
from harness.report.table_style import TableStyle
from harness.report.tex_table import Block, Line, Tabular, cell, tabulars
from harness.report.values import Note

SIZES = ("small", "footnotesize", "scriptsize")
"""Type sizes of the style "full", the preferred one first."""

PAPER_SIZES = ("normalsize", *SIZES)
"""Likewise of the style "paper"."""

Tables = Sequence[tuple[str, Sequence[Tabular]]]
"""Titles of small tables ("" for none), and their tabulars."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page.

    Attributes:
        title: heading of the part, or of its table; "" for none.
        text: sentences above the table.
        table: its table; None without one.
        picture: name of a file beside, drawn above the table; "" for none.
    """

    title: str = ""
    text: tuple[str, ...] = ()
    table: Block | None = None
    picture: str = ""


@dataclass(frozen=True, kw_only=True)
class Page:
    """Texts and tables that are written together.

    Attributes:
        name: of the file.
        caption: sentences of the caption; the first is the title.
        sections: its parts.
        notes: on how the numbers were made.
        comments: lines at the head of the file: the command, provenance.
        prose: whether the sections have headings and texts, and tables a caption each; otherwise
            all are one table.
        each: sentences that every such caption ends with.
    """

    name: str
    caption: tuple[str, ...]
    sections: tuple[Section, ...]
    notes: tuple[Note, ...] = ()
    comments: tuple[str, ...] = ()
    prose: bool = False
    each: tuple[str, ...] = ()


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], columns: str) -> Block:
    """Return a table of texts.

    Args:
        heads: the headings.
        rows: the rows.
        columns: "l" or "r" for each column.
    """
    lines = tuple(Line(cells=tuple(map(cell, row))) for row in rows)
    return Block(columns=tuple(columns), heads=tuple(heads), lines=lines)


def render(page: Page, style: TableStyle) -> Mapping[str, str]:
    """Return the files of a page by name."""
    return _paper(page) if style.name == "paper" else {f"{page.name}.tex": _full(page)}


def _full(page: Page) -> str:
    drawn = [tex.PICTURES] if any(section.picture for section in page.sections) else []
    lines = [*tex.comment(page.caption[0], *page.comments), *tex.needs([*tex.PACKAGES, *drawn])]
    if page.prose:
        lines.append(rf"\section*{{{tex.escape(page.caption[0])}}}")
        lines += [line for text in page.caption[1:] for line in (tex.escape(text), "")]
        lines += [
            line for number, s in enumerate(page.sections, 1) for line in _prose(page, s, number)
        ]
    else:
        lines += floats(page.name, page.caption, _tables(page, SIZES))
    if page.notes:
        lines += [r"\begingroup\scriptsize\raggedright", *map(small, page.notes), r"\endgroup"]
    return "\n".join(lines) + "\n"


def _prose(page: Page, section: Section, number: int) -> Iterator[str]:
    yield rf"\subsection*{{{tex.escape(section.title)}}}"
    for text in section.text:
        yield from (tex.escape(text), "")
    if section.picture:
        size = r"width=\linewidth,height=0.9\textheight,keepaspectratio"
        drawn = rf"\detokenize{{{section.picture}}}"
        yield from (rf"\noindent\includegraphics[{size}]{{{drawn}}}", "")
    if section.table is not None:
        pieces = tabulars(section.table, SIZES)
        caption = (f"{section.title}.", *page.each)
        yield from floats(f"{page.name}-{number}", caption, [("", pieces)])


def _tables(page: Page, sizes: Sequence[str]) -> list[tuple[str, tuple[Tabular, ...]]]:
    return [(s.title, tabulars(s.table, sizes)) for s in page.sections if s.table is not None]


def _paper(page: Page) -> Mapping[str, str]:
    notes = [f"{note.label}: {note.text}" for note in page.notes]
    head = [*tex.comment(*page.comments, *notes), *tex.needs(tex.PACKAGES)]
    if not page.prose:
        return files(page.name, page.caption, _tables(page, PAPER_SIZES), head)
    tables = [
        (
            " ".join((f"{page.caption[0].rstrip('.')}: {s.title}.", *s.text, *page.each)),
            tabulars(s.table, PAPER_SIZES),
        )
        for s in page.sections
        if s.table is not None
    ]
    return files(page.name, (), tables, head)


def small(note: Note) -> str:
    """Return a note of small print."""
    return rf"\textbf{{{tex.escape(note.label)}:}} {tex.escape(note.text)}\par"


def floats(name: str, caption: Sequence[str], tables: Tables) -> list[str]:
    """Return a float for each tabular: the first has the caption and the label.

    Args:
        name: the table's name, of which the label is made.
        caption: the caption's sentences.
        tables: the tables.
    """
    lines: list[str] = []
    for title, piece in ((title, piece) for title, pieces in tables for piece in pieces):
        kind = "table*" if piece.wide else "table"
        first = not lines
        lines += [rf"\begin{{{kind}}}", r"  \centering"]
        if first:
            lines += [rf"  \caption{{{tex.escape(' '.join(caption))}}}"]
            lines += [rf"  \label{{tab:{tex.label(name)}}}"]
        else:
            lines += [r"  \addtocounter{table}{-1}", r"  \caption[]{(continued)}"]
        lines += [rf"  {{\small {tex.escape(title)}\par}}\smallskip"] if title else []
        lines += [*(f"  {line}" for line in piece.lines), rf"\end{{{kind}}}"]
    return lines


def files(
    name: str, caption: Sequence[str], tables: Tables, head: Sequence[str]
) -> Mapping[str, str]:
    """Return the files of the style "paper" by name: tabulars, and their captions.

    Args:
        name: the table's name.
        caption: the caption's sentences.
        tables: the tables; a title is the last sentence of their caption.
        head: comment at the head of each tabular.
    """
    found: dict[str, str] = {}
    for title, pieces in tables:
        for place, piece in enumerate(pieces, 1):
            stem = name if not found else f"{name}-{len(found) // 2 + 1}"
            part = [f"(Part {place} of {len(pieces)}.)"] if len(pieces) > 1 else []
            text = tex.escape(" ".join([*caption, *([title] if title else []), *part]))
            kind = "table*" if piece.wide else "table"
            fits = "the text" if piece.wide else "a column"
            width = tex.comment(f"As wide as {fits} of a page of two columns: for {kind}.")
            found[f"{stem}.tex"] = "\n".join([*head, *width, *piece.lines]) + "\n"
            found[f"{stem}-caption.tex"] = (
                f"% Caption and label of {stem}.tex\n\\caption{{{text}}}\n"
                f"\\label{{tab:{tex.label(stem)}}}\n"
            )
    return found
