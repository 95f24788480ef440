"""The page of a table's verdicts as LaTeX."""

from __future__ import annotations

from collections.abc import Mapping

from harness.report import notes, tex_page
from harness.report.table_style import TableStyle
from harness.report.values import Context, Note
from harness.verdict.page import Verdicts, meanings, sections


def render(page: Verdicts, context: Context, name: str, style: TableStyle) -> Mapping[str, str]:
    """Return LaTeX files by name, see ``harness.report.tex_page``; ``name`` is the page's file."""
    scaled = (notes.scaled_down(context, own=False),) if context.scaled_down else ()
    answered = (page.answer,) if page.answer else ()
    words = [Note(label=word, text=text) for word, text in meanings(page)]
    made = [
        tex_page.Section(
            title=section.title,
            text=() if style.name == "paper" else tuple(_lists(section.lists)),
            table=tex_page.table(section.heads, section.rows, "l" * len(section.heads)),
        )
        for section in sections(page)
    ]
    return tex_page.render(
        tex_page.Page(
            name=name,
            caption=(
                page.title,
                *answered,
                *(f"{line}." for line in (*page.remarks, *page.summary)),
            ),
            sections=tuple(made),
            notes=(*words, Note(label="How", text=page.how)),
            comments=(f"Made by: {context.command}",),
            prose=True,
            each=scaled,
        ),
        style,
    )


def _lists(lists: tuple[tuple[str, tuple[str, ...]], ...]) -> list[str]:
    return [f"{title} {'; '.join(lines)}." for title, lines in lists]
