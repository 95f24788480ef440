"""Results as HTML for notebooks; every text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.errors import shown
from harness.report.frame import unit_of
from harness.report.numbers import bracket, fixed
from harness.report.values import HEADINGS, NOTHING
from harness.stats.intervals import Interval

Cell = str
"""Text of a cell."""


def escape(text: object) -> str:
    """Return a text as HTML shows it literally."""
    return html.escape(shown(text))


def table(heads: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str = "") -> str:
    """Return a table of texts; all columns but the first are aligned to the right."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align:{"left" if place == 0 else "right"}">{escape(text)}</td>'
            for place, text in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def lines(texts: Iterable[str]) -> str:
    """Return lines below one another; nothing for none."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def of_table(values: Mapping[str, Any], verdicts: Mapping[tuple[str, str], str]) -> str:
    """Return a table of a result with its verdicts.

    Args:
        values: its JSON values.
        verdicts: on published numbers, by names of row and column.
    """
    heads = ["Method"]
    for column in values["columns"]:
        parts = _parts(values, column)
        unit = unit_of(column["metric"])
        title = f"{column['title']}, {column['metric']}" + (f" ({unit})" if unit else "")
        heads += [f"{title}, {HEADINGS[p]}" if "paper" in parts else title for p in parts]
        heads += [f"{title}, verdict"] if _is_judged(column, verdicts) else []
    rows = [[row["label"], *_cells(values, row, verdicts)] for row in values["rows"]]
    notes = lines(f"{note['label']}: {note['text']}" for note in values["notes"])
    return (
        table(heads, rows, caption=values["caption"])
        + lines(f"{note['label']} {note['text']}" for note in values["footnotes"])
        + (f"<details><summary>Notes</summary>{notes}</details>" if notes else "")
    )


def _parts(values: Mapping[str, Any], column: Mapping[str, Any]) -> tuple[Any, ...]:
    cells = [row["cells"][column["name"]] for row in values["rows"]]
    if all(cell["printed"] is None for cell in cells):
        return ("ours",)
    return ("paper", "ours")


def _is_judged(column: Mapping[str, Any], verdicts: Mapping[tuple[str, str], str]) -> bool:
    return any(name == column["name"] for _, name in verdicts)


def _cells(
    values: Mapping[str, Any], row: Mapping[str, Any], verdicts: Mapping[tuple[str, str], str]
) -> Iterator[Cell]:
    for column in values["columns"]:
        cell = row["cells"][column["name"]]
        if "paper" in _parts(values, column):
            yield _number(cell["printed"], column) or NOTHING
        yield number_of(cell, column)
        if _is_judged(column, verdicts):
            yield verdicts.get((row["name"], column["name"]), "")


def number_of(cell: Mapping[str, Any], column: Mapping[str, Any]) -> str:
    """Return what a cell shows of our runs, with its remarks and marks; or its state.

    A number has its standard deviation and 95 % interval over seeds.
    """
    number = _number(cell["value"], column)
    remarks = ", ".join(cell["remarks"])
    marks = " ".join(cell["marks"])
    if not number:
        return f"{remarks or cell['state']} {marks}".rstrip()
    if cell["sd"] is not None:
        number += f" ± {_number(cell['sd'], column)}"
    if cell["interval"] is not None:
        number += f" {bracket(Interval(*cell['interval']), column['digits'])}"
    number += f" {marks}" if marks else ""
    return f"{number} ({remarks})" if remarks else number


def _number(value: float | None, column: Mapping[str, Any]) -> str:
    return "" if value is None else fixed(value, column["digits"])
