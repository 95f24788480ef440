"""Compare the Markdown and LaTeX of a table with its JSON file, cell by cell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import files
from harness.report import latex, markdown
from harness.report import tex as typeset
from harness.report.check_table import Cell, Column, Row, Table
from harness.report.numbers import bracket, fixed, signed
from harness.report.values import CHECK, HEADINGS, NOTHING, Part
from harness.report.values import Cell as Shown
from harness.spec.costs import COSTS
from harness.stats.intervals import Interval

ORDER: tuple[Part, ...] = ("paper", "ours", "difference")
"""Parts of a column in the order in which they are shown."""


@dataclass(frozen=True)
class _Printed:
    """One table of a page: the cells of its heads, those of its rows, and the spanning heads."""

    heads: list[str]
    rows: list[list[str]]
    spans: list[str]


def differences(table: Table, path: Path) -> Iterator[str]:
    """Yield a line for each cell, title and note that is not what the JSON file gives.

    Args:
        table: of the JSON file.
        path: the page, ``.md`` or ``.tex``; nothing is yielded if there is none, or if it was
            written with fewer columns, other intervals or in another style.
    """
    if table.texts is not None:
        return
    try:
        text = files.read_bytes(path).decode(errors="replace")
    except FileNotFoundError:
        return
    tex = path.suffix == ".tex"
    if tex:
        text = _unbroken(text)
    printed = _latex(text) if tex else _markdown(text)
    if tex and not table.subtables:
        printed = _joined(printed)
    if len(printed) != len(table.small):
        yield f"{path}: it has {len(printed)} tables, the JSON file {len(table.small)}"
        return
    for found, rows in zip(printed, table.small, strict=True):
        for line in _table(found, rows, table, tex=tex):
            yield f"{path}: {line}"
    for line in _texts(text, table, tex=tex):
        yield f"{path}: {line}"


def _escape(text: str) -> str:
    return _unbroken(typeset.escape(text))


def _unbroken(text: str) -> str:
    """Return LaTeX without what only breaks lines, and without the commands of former versions."""
    stacked = re.compile(r"\\begin\{tabular\}\[b\]\{@\{\}[lrc]@\{\}\}(.*?)\\end\{tabular\}")
    text = stacked.sub(lambda found: found[1].replace(r" \\ ", " "), text)
    text = text.replace(r"\allowbreak{}", "").replace(r"$\pm$\,", r"$\pm$ ")
    # The whole number was bold or underlined, now it is the mean alone.
    return re.sub(r"\\(textbf|underline)\{([^{} ]+)( [^{}]*)?\}( \$\\pm)?", _mean, text)


def _mean(found: re.Match[str]) -> str:
    command, mean, behind, more = found.groups(default="")
    if not behind.startswith(r" $\pm"):
        return found[0]
    return rf"\{command}{{{mean}}}{behind}{more}"


def _joined(printed: list[_Printed]) -> list[_Printed]:
    """Return the tables of a page of which pieces that did not fit together are one."""
    whole: list[_Printed] = []
    for piece in printed:
        if whole and (piece.heads, piece.spans) == (whole[-1].heads, whole[-1].spans):
            whole[-1].rows.extend(piece.rows)
        else:
            whole.append(piece)
    while len(whole) > 1 and len(whole[0].rows) == len(whole[1].rows):
        first, second = whole[:2]
        pairs = zip(first.heads, second.heads, strict=False)
        labels = next((n for n, (a, b) in enumerate(pairs) if a != b or a in _PARTS), 0)
        whole[:2] = [
            _Printed(
                first.heads + second.heads[labels:],
                [a + b[labels:] for a, b in zip(first.rows, second.rows, strict=True)],
                first.spans + second.spans,
            )
        ]
    return whole


_PARTS = tuple(typeset.escape(heading) for heading in HEADINGS.values())


def _markdown(text: str) -> list[_Printed]:
    tables: list[_Printed] = []
    inside = False
    for line in text.splitlines():
        cells = line[2:-2].split(" | ") if line.startswith("| ") else []
        if cells and not inside:
            tables.append(_Printed(cells, [], []))
        elif cells and not set(line) <= set("| :-"):
            tables[-1].rows.append(cells)
        inside = bool(cells)
    return tables


def _latex(text: str) -> list[_Printed]:
    tables: list[_Printed] = []
    before, inside = False, False
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith(r"\begin{tabular}"):
            tables.append(_Printed([], [], []))
            before, inside = True, True
        elif line.startswith(r"\end{tabular}"):
            inside = False
        elif line == r"\midrule":
            before = False
        elif inside and line.endswith(r" \\"):
            cells = line.removesuffix(r" \\").split(" & ")
            spans = re.findall(r"\\multicolumn\{\d+\}\{c\}\{(.*)\}", "\n".join(cells))
            if before:
                tables[-1].heads[:] = cells
                tables[-1].spans.extend(spans)
            elif not line.startswith(r"\multicolumn"):
                tables[-1].rows.append(cells)
    return tables


def _table(found: _Printed, rows: Sequence[Row], table: Table, *, tex: bool) -> Iterator[str]:
    parts = _parts(found.heads, tex=tex)
    named = bool(parts)
    parts = parts or (["ours"] * len(table.columns) if table.own else [])
    columns = _columns(parts)
    if len(columns) != len(table.columns):
        yield f"it has {len(columns)} columns of numbers, the JSON file {len(table.columns)}"
        return
    expected = len(rows) + len(table.computed)
    if len(found.rows) != expected:
        yield f"a table has {len(found.rows)} rows, the JSON file gives {expected}"
        return
    headings = (
        found.spans
        if tex and named
        else [found.heads[-len(parts) + columns[i][0]] for i in columns]
    )
    yield from _headings(headings, table.columns, tex=tex)
    for row, cells in zip(rows, found.rows, strict=False):
        words, numbers = cells[: -len(parts)], cells[-len(parts) :]
        yield from _words(row, words, found.heads, tex=tex)
        for number, column in enumerate(table.columns):
            for position in columns[number]:
                yield from _cell(row, column, parts[position], numbers[position], tex=tex)
    for values, cells in zip(table.computed, found.rows[len(rows) :], strict=True):
        yield from _computed(values, cells, table, parts, tex=tex)


def _computed(
    values: Mapping[str, float | None],
    cells: Sequence[str],
    table: Table,
    parts: Sequence[Part],
    *,
    tex: bool,
) -> Iterator[str]:
    """Compare the row of a constant answer."""
    columns, numbers = _columns(parts), cells[-len(parts) :]
    for number, column in enumerate(table.columns):
        for position in columns[number]:
            value = values.get(column.name) if parts[position] == "ours" else None
            shown = _constant(value, column, tex=tex)
            if numbers[position] != shown:
                yield (
                    f"row {cells[0]!r}, column {column.name}: it shows {numbers[position]!r},"
                    f" the JSON file gives {shown!r}"
                )


def _headings(headings: Sequence[str], columns: Sequence[Column], *, tex: bool) -> Iterator[str]:
    escape = _escape if tex else markdown.escape
    for column, heading in zip(columns, headings, strict=False):
        title = escape(column.title)
        if column.metric not in COSTS and title not in heading:
            yield f"the column {column.name} is headed {heading!r}, not {title!r}"


def _constant(value: float | None, column: Column, *, tex: bool) -> str:
    """Return what the row of a constant answer shows."""
    escape = _escape if tex else markdown.escape
    if value is None:
        return escape(NOTHING)
    text = escape(fixed(value, column.digits))
    return rf"\textit{{{text}}}" if tex else f"*{text}*"


def _parts(heads: Sequence[str], *, tex: bool) -> list[Part]:
    """Return the part that each of the last heads names, in their order."""
    parts: list[Part] = []
    for head in reversed(heads):
        named = [
            part
            for part in ORDER
            if (head == typeset.escape(HEADINGS[part]) if tex else head.endswith(HEADINGS[part]))
        ]
        if not named or (not tex and " " not in head):
            break
        parts.insert(0, named[0])
    return parts


def _columns(parts: Sequence[Part]) -> dict[int, list[int]]:
    """Return the positions of each column's parts: every column shows ours, parts in order."""
    columns: dict[int, list[int]] = {}
    for position, part in enumerate(parts):
        first = position == 0 or ORDER.index(part) <= ORDER.index(parts[position - 1])
        number = len(columns) - (0 if first else 1)
        columns.setdefault(number, []).append(position)
    return columns


def _words(row: Row, words: Sequence[str], heads: Sequence[str], *, tex: bool) -> Iterator[str]:
    """Compare a row's label, encoder and check marks."""
    escape = _escape if tex else markdown.escape
    texts = [escape(word) for word in (row.label, row.backbone) if word]
    for what in dict.fromkeys((row.label, row.backbone)):
        if what and words.count(escape(what)) < texts.count(escape(what)):
            yield f"row {row.name}: {escape(what)!r} is not in its row"
    checked = {head for head, word in zip(heads, words, strict=False) if word == escape(CHECK)}
    expected = {escape(module) for module in row.modules}
    if checked != expected:
        yield f"row {row.name}: marks {sorted(checked)}, the JSON file gives {sorted(expected)}"


def _cell(row: Row, column: Column, part: Part, text: str, *, tex: bool) -> Iterator[str]:
    cell = row.cells.get(column.name)
    if cell is None:
        return  # told of the JSON file
    render = latex.shown if tex else markdown.shown
    expected = render(_shown(cell, column), part)
    if text == (_unbroken(expected) if tex else expected) or (
        part == "paper" and _is(text, cell.printed)
    ):
        return
    where = "" if part == "ours" else f" ({HEADINGS[part]})"
    yield (
        f"row {row.name}, column {column.name}{where}: it shows {text!r}, the JSON file gives"
        f" {expected!r}"
    )


def _is(text: str, printed: float | None) -> bool:
    """Whether a published number is shown, which may have other decimals than ours."""
    return bool(re.fullmatch(r"[0-9]+(\.[0-9]+)?", text)) and float(text) == printed


def _shown(cell: Cell, column: Column) -> Shown:
    """Return the texts of a cell, as ``harness.report.cells`` makes them."""
    number = "" if cell.value is None else fixed(cell.value, column.digits)
    if cell.value is not None and cell.sd is not None and cell.interval is not None:
        ends = bracket(Interval(*cell.interval), column.digits)
        number += f" ± {fixed(cell.sd, column.digits)} {ends}"
    return Shown(
        state=cell.state,
        rank=cell.rank,
        paper=NOTHING if cell.printed is None else fixed(cell.printed, column.digits),
        number=number,
        change=NOTHING if cell.difference is None else signed(cell.difference, column.digits),
        remarks=cell.remarks,
        marks=cell.marks,
    )


def _texts(text: str, table: Table, *, tex: bool) -> Iterator[str]:
    """Compare the caption and the notes below the table."""
    escape = _escape if tex else markdown.escape
    if tex:
        same = f"\\caption{{{escape(table.caption)}}}" in text
    else:
        lines = [line for line in text.splitlines()[:3] if line]
        same = " ".join(lines).removeprefix("# ") == escape(table.caption)
    if not same:
        yield "its caption is not that of the JSON file"
    begins, ends = ((" ", r"\,"), (r"\par",)) if tex else ((" ",), ("\n", "  \n"))
    for note in (*table.footnotes, *table.notes):
        shown = [f"{begin}{escape(note.text)}{end}" for begin in begins for end in ends]
        if not any(line in text for line in shown):
            yield f"the note {note.label!r} is not that of the JSON file"
