"""Audits that lie beside a report, read from the Markdown that ``harness audit`` writes.

Known are headings, paragraphs, lists and tables; every other line is shown as it stands.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness import files
from harness.errors import UserError
from harness.page.values import Article, Block

LONGEST = 400_000
"""Bytes of a file; of a longer one a line says that it was left out."""

_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_BETWEEN = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"\|[\s:|-]+\|")
_MARKED = re.compile(r"(?<!\\)(\*\*|`)")
_TAGS = re.compile(r"</?(sup|ins)>")


def find(folders: Sequence[Path], root: Path) -> tuple[list[Article], list[str]]:
    """Return the audits in some folders, and a line for each file that is left out."""
    articles, missing = [], []
    for folder in folders:
        for path in sorted(folder.glob("audit_*.md")):
            name = _within(path, root)
            try:
                content = files.read_bytes(path)
                if len(content) > LONGEST:
                    raise ValueError(f"{len(content)} bytes, the most is {LONGEST}")
                articles.append(parse(content.decode(), name))
            except (UserError, ValueError) as error:  # UnicodeError is a ValueError
                missing.append(f"{name}: {error}")
    return articles, missing


def _within(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def parse(text: str, path: str) -> Article:
    """Return the article in a Markdown text; the first heading is its title."""
    blocks = list(_blocks(text.split("\n")))
    title = next((b.texts[0] for b in blocks if b.kind == "heading"), path)
    if blocks and blocks[0].kind == "heading":
        blocks = blocks[1:]
    return Article(title=title, path=path, blocks=tuple(blocks))


def _blocks(lines: Sequence[str]) -> Iterator[Block]:
    position = 0
    while position < len(lines):
        line = lines[position].rstrip()
        begin = position
        position += 1
        if not line:
            continue
        if line.startswith("#"):
            yield Block(kind="heading", texts=(_plain(line.lstrip("#")),))
        elif line.startswith("|"):
            while position < len(lines) and lines[position].startswith("|"):
                position += 1
            rows = [r for r in lines[begin:position] if not _RULE.fullmatch(r.rstrip())]
            yield Block(kind="table", rows=tuple(map(_cells, rows)))
        elif line.startswith("- "):
            while position < len(lines) and lines[position].startswith("- "):
                position += 1
            items = tuple(_plain(item[2:]) for item in lines[begin:position])
            yield Block(kind="list", texts=items)
        else:
            yield Block(kind="text", texts=(_plain(line),))


def _cells(line: str) -> tuple[str, ...]:
    return tuple(map(_plain, _BETWEEN.split(line.rstrip())[1:-1]))


def _plain(text: str) -> str:
    """Return a line's text as it would be read, without marks and escapes."""
    unmarked = _TAGS.sub("", _MARKED.sub("", text.strip()))
    return html.unescape(_ESCAPED.sub(r"\1", unmarked))
