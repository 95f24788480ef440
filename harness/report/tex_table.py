"""Tables of texts as LaTeX tabulars that fit the text width: type size, wrapping, pieces.

The width of texts is estimated. Columns that would be too wide together are set smaller, then
wrapped, then divided over several tabulars; rows that would be higher than a page are divided, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.report import tex

PAGE = 469.0
"""Width in points of the text of a two-column article (Letter, 10 pt), the narrower paper."""

COLUMN = 229.0
"""Width in points of one of its columns."""

HEIGHT = 400.0
"""Height in points that a tabular may have: a page less its caption."""

SIZES = {"normalsize": (10.0, 12.0), "small": (9.26, 11.0), "footnotesize": (8.5, 9.5),
         "scriptsize": (7.95, 8.0)}  # fmt: skip
"""Points of an em of 10 pt type, and distance of lines: small type is relatively wider."""

SURE = 0.98
"""Share of a width that an estimated one may take."""

ITALIC = 1.05
"""How much wider italic words can be than upright ones."""

BOLD = 1.16
"""How much wider bold digits are."""

SHORTEST_HEAD = 7.0
"""Width in em that a heading may have even over narrower numbers."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell.

    Attributes:
        text: its text, of which the width is estimated.
        tex: how it is typeset.
        wider: how much wider it is than its text in the upright font.
    """

    text: str
    tex: str
    wider: float = 1.0

    @property
    def width(self) -> float:
        """Its width in em."""
        return self.wider * tex.width(self.text)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row; one cell alone spans all columns.

    Attributes:
        cells: the cells.
        rule: whether a rule is above.
    """

    cells: tuple[Cell, ...]
    rule: bool = False


@dataclass(frozen=True, kw_only=True)
class Span:
    """A heading above ``count`` columns from the column ``first`` (0-based) on."""

    first: int
    count: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Block:
    """A table to be typeset.

    Attributes:
        columns: type of each column: "l", "r", or one of siunitx.
        heads: heading of each column.
        lines: its rows.
        spans: headings above several columns; columns between them stay together.
        labels: number of columns in front that name the row and are repeated in every piece.
    """

    columns: tuple[str, ...]
    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    spans: tuple[Span, ...] = ()
    labels: int = 1


@dataclass(frozen=True, kw_only=True)
class Tabular:
    """A piece of a table as LaTeX; ``wide`` where it is wider than a column of the page."""

    lines: tuple[str, ...]
    wide: bool


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """How a block is set: its size, and widths of its columns in points where they wrap."""

    size: str
    widths: tuple[float, ...]
    wrapped: bool
    gap: float

    @property
    def total(self) -> float:
        return sum(self.widths) + 2 * self.gap * (len(self.widths) - 1)


def cell(text: str, command: str = "") -> Cell:
    """Return a cell of text, within a command ("textit") if one is given."""
    escaped = tex.escape(text)
    if not command or not escaped:
        return Cell(text=text, tex=escaped)
    return Cell(text=text, tex=rf"\{command}{{{escaped}}}", wider=ITALIC)


def tabulars(block: Block, sizes: Sequence[str]) -> tuple[Tabular, ...]:
    """Return a block as tabulars, each at most as wide as the text and as high as a page.

    Args:
        block: the table.
        sizes: type sizes, the preferred one first; keys of ``SIZES``.
    """
    whole = _fit(block, sizes)
    if whole is not None:
        return _rows(block, whole)
    return tuple(piece for part in _parted(block) for piece in tabulars(part, sizes))


def fits_unwrapped(block: Block, sizes: Sequence[str]) -> bool:
    """Whether a block fits the text width in one of the sizes without wrapped columns."""
    fit = _fit(block, sizes)
    return fit is not None and not fit.wrapped


def _fit(block: Block, sizes: Sequence[str]) -> _Fit | None:
    """Return the first way to set all columns beside one another; None if there is none."""
    natural, least = _widths(block)
    for size in sizes:
        points, _ = SIZES[size]
        gap = 6.0 if size == "normalsize" else 4.0
        fit = _Fit(size=size, widths=tuple(points * w for w in natural), wrapped=False, gap=gap)
        if fit.total <= SURE * PAGE:
            return fit
    for size in sizes[1:] or sizes:
        points, _ = SIZES[size]
        room = 0.985 * PAGE - 2 * 3.0 * (len(natural) - 1)
        narrow = [points * w for w in least]
        if sum(narrow) <= room or len(natural) <= block.labels + 1:
            extra = [points * (n - m) for n, m in zip(natural, least, strict=True)]
            share = min(1.0, (room - sum(narrow)) / (sum(extra) or 1.0))
            widths = tuple(m + share * e for m, e in zip(narrow, extra, strict=True))
            scale = min(1.0, room / sum(widths))
            return _Fit(size=size, widths=tuple(scale * w for w in widths), wrapped=True, gap=3.0)
    return None


def _widths(block: Block) -> tuple[list[float], list[float]]:
    """Return the width of each column unwrapped, and that of its longest word, in em."""
    natural, least = [], []
    for place, head in enumerate(block.heads):
        cells = [line.cells[place] for line in block.lines if len(line.cells) > 1]
        body = max((cell.width for cell in cells), default=0.0)
        headed = max(map(tex.width, _stack(head, max(body, SHORTEST_HEAD))), default=0.0)
        natural.append(max(body, headed))
        words = [c.wider * tex.width(word) for c in cells for word in _words(c.text)]
        words += map(tex.width, _words(head))
        least.append(max(words, default=0.0) + 0.05)
    for span in block.spans:
        columns = range(span.first, span.first + span.count)
        stacked = _stack(span.text, max(sum(natural[c] for c in columns), SHORTEST_HEAD))
        short = max(map(tex.width, stacked)) - sum(natural[c] for c in columns)
        for c in columns:
            natural[c] += max(0.0, short / span.count)
        longest = max((tex.width(word) for word in _words(span.text)), default=0.0)
        short = longest - sum(least[c] for c in columns)
        for c in columns:
            least[c] += max(0.0, short / span.count)
    return [max(n, m) for n, m in zip(natural, least, strict=True)], least


def _words(text: str) -> list[str]:
    """Return the pieces of text between which a line may break, see ``tex.escape``."""
    return [piece for piece, _ in _broken(text)]


def _broken(text: str) -> list[tuple[str, bool]]:
    """Return the pieces of text, and whether each continues the word before."""
    return [
        (word[begin : begin + tex.LONGEST_WORD], begin > 0)
        for word in tex.one_line(text).split(" ")
        for begin in range(0, len(word), tex.LONGEST_WORD)
    ]


def _stack(text: str, ems: float) -> list[str]:
    """Return text in lines of at most a width, where its words allow it."""
    lines: list[str] = []
    for piece, continues in _broken(text):
        space = "" if continues else " "
        if lines and tex.width(f"{lines[-1]}{space}{piece}") <= ems:
            lines[-1] += f"{space}{piece}"
        else:
            lines.append(piece)
    return lines or [""]


def _parted(block: Block) -> tuple[Block, Block]:
    """Return the block in two, each with the labels' columns; headings' columns stay together."""
    labels = block.labels
    inside = {c for s in block.spans for c in range(s.first + 1, s.first + s.count)}
    ends = [c for c in range(labels + 1, len(block.heads)) if c not in inside]
    if not ends:  # one heading above all: it is repeated
        ends = list(range(labels + 1, len(block.heads)))
    middle = (labels + len(block.heads)) / 2
    cut = min(ends, key=lambda end: abs(end - middle))
    return _columns(block, labels, cut), _columns(block, cut, len(block.heads))


def _columns(block: Block, first: int, end: int) -> Block:
    """Return a block of the labels and the columns from ``first`` up to ``end``."""
    kept = [*range(block.labels), *range(first, end)]
    spans = []
    for span in block.spans:
        columns = [kept.index(c) for c in range(span.first, span.first + span.count) if c in kept]
        if columns:
            spans.append(replace(span, first=columns[0], count=len(columns)))
    return replace(
        block,
        columns=tuple(block.columns[c] for c in kept),
        heads=tuple(block.heads[c] for c in kept),
        lines=tuple(
            line
            if len(line.cells) == 1
            else replace(line, cells=tuple(line.cells[c] for c in kept))
            for line in block.lines
        ),
        spans=tuple(spans),
    )


def _rows(block: Block, fit: _Fit) -> tuple[Tabular, ...]:
    """Return the tabulars of the rows, none higher than a page."""
    pieces: list[list[Line]] = [[]]
    used = 0.0
    title: Line | None = None
    for line in block.lines:
        height = _height(line, fit)
        if pieces[-1] and used + height > HEIGHT:
            pieces.append([title] if title is not None and len(line.cells) > 1 else [])
            used = 0.0
        pieces[-1].append(line)
        used += height
        title = line if len(line.cells) == 1 else title
    return tuple(
        Tabular(
            lines=_tabular(replace(block, lines=tuple(lines)), fit), wide=fit.total > SURE * COLUMN
        )
        for lines in pieces
    )


def _height(line: Line, fit: _Fit) -> float:
    points, step = SIZES[fit.size]
    count = 1
    if fit.wrapped and len(line.cells) > 1:
        pairs = zip(line.cells, fit.widths, strict=True)
        count = max(len(_stack(c.text, 0.92 * w / points)) for c, w in pairs)
    elif len(line.cells) == 1:
        count = math.ceil(points * line.cells[0].width / (0.9 * PAGE))
    return step * max(1, count) + (4.0 if line.rule else 0.0)


def _tabular(block: Block, fit: _Fit) -> tuple[str, ...]:
    """Return the lines of one tabular, in a group of its size."""
    points, _ = SIZES[fit.size]
    kinds = [_kind(c, w, fit) for c, w in zip(block.columns, fit.widths, strict=True)]
    lines = [rf"\begin{{tabular}}{{@{{}}{''.join(kinds)}@{{}}}}", r"\toprule"]
    if block.spans:
        lines += _spanning(block, fit)
    heads = [
        _head(head, kind, w / points, fit)
        for head, kind, w in zip(block.heads, block.columns, fit.widths, strict=True)
    ]
    lines += [_line(heads), r"\midrule"]
    for place, line in enumerate(block.lines):
        lines += [r"\midrule"] if line.rule and place else []
        if len(line.cells) == 1:
            wide = points * line.cells[0].width > 0.9 * PAGE
            kind = r">{\raggedright}p{0.97\linewidth}" if wide else "l"
            text = line.cells[0].tex
            lines.append(rf"\multicolumn{{{len(kinds)}}}{{@{{}}{kind}@{{}}}}{{{text}}} \\")
        else:
            lines.append(_line([c.tex for c in line.cells]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    if fit.size == "normalsize":
        return tuple(lines)
    return (rf"{{\{fit.size}\setlength{{\tabcolsep}}{{{fit.gap:g}pt}}%", *lines[:-1],
            rf"{lines[-1]}}}")  # fmt: skip


def _kind(column: str, points: float, fit: _Fit) -> str:
    if not fit.wrapped:
        return column
    side = "raggedright" if column == "l" else "raggedleft"
    return rf">{{\{side}\arraybackslash}}p{{{points / PAGE:.4f}\linewidth}}"


def _spanning(block: Block, fit: _Fit) -> list[str]:
    """Return the headings above several columns, and the rules below them."""
    points, _ = SIZES[fit.size]
    cells, rules, place = [], [], 0
    for span in block.spans:
        cells += [""] * (span.first - place)
        place = span.first + span.count
        room = sum(fit.widths[span.first : place]) + 2 * fit.gap * (span.count - 1)
        text = _stacked(span.text, room / points, "c")
        cells.append(rf"\multicolumn{{{span.count}}}{{c}}{{{text}}}")
        rules.append(rf"\cmidrule(lr){{{span.first + 1}-{place}}}")
    cells += [""] * (len(block.heads) - place)
    return [_line(cells), " ".join(rules)]


def _head(text: str, column: str, ems: float, fit: _Fit) -> str:
    if fit.wrapped:
        return tex.escape(text)
    set_ = _stacked(text, max(ems, SHORTEST_HEAD), column if column in "lr" else "c")
    return set_ if column in "lr" else f"{{{set_}}}"


def _stacked(text: str, ems: float, side: str) -> str:
    lines = _stack(text, ems + 0.01)
    if len(lines) == 1:
        return tex.escape(text)
    escaped = r" \\ ".join(map(tex.escape, lines))
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{escaped}\end{{tabular}}"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
