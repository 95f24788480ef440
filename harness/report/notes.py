"""Texts around a table: caption, footnotes, notes on how numbers were made, run keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.canonical import short
from harness.report import cells, divided, same_run
from harness.report.numbers import MINUS
from harness.report.table_style import FULL, TableStyle
from harness.report.values import Cell, ComputedRow, Context, Entry, GridColumn, GridRow, Note
from harness.spec.costs import NOTES
from harness.spec.table import Table

_OF_THE_PAPER = re.compile(r"(Table|Figure)s? [0-9]+( and [0-9]+)?")
"""Sources that name a table or a figure alone."""

SPREADS: Mapping[str, str] = {
    "none": "mean over the seeds",
    "sd": "mean ± standard deviation over the seeds",
    "ci": "mean ± standard deviation over the seeds, [Student's 95 % interval of the mean]",
}
"""What numbers over several seeds are, by ``TableStyle.spread``."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Contents of a table that its notes describe; ``beyond``: see ``harness.report.bounds``."""

    columns: Sequence[GridColumn]
    cells: Sequence[Cell]
    computed: tuple[ComputedRow, ...]
    beyond: str = ""


def caption(table: Table, context: Context) -> tuple[str, ...]:
    """Return the caption's sentences."""
    draft = ["Draft: one seed, no interval."] if len(context.seeds) < 2 else []
    return (*headline(table, context), *draft)


def headline(table: Table, context: Context) -> tuple[str, ...]:
    """Return the title of a table or figure, its source, and whether it is no reproduction."""
    sentences = [f"{table.title.rstrip('.')}."]
    if table.source:
        # A user's own source names its paper itself: "Table 2 of Somebody et al. 2020".
        whose = " of the paper" if is_of_the_paper(table) else ""
        sentences.append(f"Beside {table.source.rstrip('.')}{whose}.")
    if context.scaled_down:
        sentences.append(scaled_down(context, own=table.own))
    if context.overrides:
        sentences.append(
            "Settings were changed, see the notes."
            if table.own
            else "Settings were changed, see the notes: not the paper's."
        )
    return tuple(sentences)


def is_of_the_paper(table: Table) -> bool:
    """Whether a table or figure reproduces one of the paper, not of another."""
    return _OF_THE_PAPER.fullmatch(table.source) is not None


def scaled_down(context: Context, *, own: bool) -> str:
    """Return the sentence of a profile that is smaller than the paper's.

    Args:
        context: how the table was made.
        own: whether the table reproduces nothing.
    """
    return f"Scaled down (profile {context.profile}){'' if own else ': not a reproduction'}."


def footnotes(shown: Iterable[Cell], marks: Mapping[str, str]) -> tuple[Note, ...]:
    """Return the footnotes of the cells that are shown; ``marks`` maps reasons to marks."""
    footnotes = []
    if any(cells.STALE in cell.marks for cell in shown):
        text = "made by other sources than the present ones; --fresh makes it anew"
        footnotes.append(Note(label=cells.STALE, text=text))
    footnotes += [Note(label=mark, text=reason) for reason, mark in marks.items()]
    return tuple(footnotes)


def notes(
    table: Table,
    shown: Shown,
    entries: Sequence[Entry],
    context: Context,
    *,
    ties: Sequence[Note] = (),
    style: TableStyle = FULL,
) -> tuple[Note, ...]:
    """Return the notes on how the numbers were made; those without a text are left out.

    Args:
        table: the table.
        shown: what it shows.
        entries: its runs.
        context: how it was made.
        ties: which rows of each column can be told apart.
        style: what stands behind means.
    """
    columns = shown.columns
    measured = [c for c in columns if not c.context.column.cost]
    pairs = [
        (
            "Numbers",
            "; ".join([*_numbers(measured, shown, context, style, own=table.own), _ranks(table)]),
        ),
        *((note.label, note.text) for note in ties),
        ("Costs", _costs(columns)),
        ("Marks", _marks(shown)),
        ("Seeds", ", ".join(map(str, context.seeds))),
        ("Selection", divided.selection(measured, context)),
        ("Profile", f"{context.profile}{' (scaled down)' if context.scaled_down else ''}"),
        ("Changed settings", "; ".join(context.overrides)),
        ("Split", divided.split(measured, context)),
        ("Twins and groups", divided.shared(measured)),
        ("Data", "; ".join(dict.fromkeys(_data(c, own=table.own) for c in measured))),
        ("Phantoms", _phantoms(columns, own=table.own)),
        ("Commits of the runs", _commits(entries)),
        ("Made", made(context)),
        *(("Note", text) for text in table.notes),
    ]
    return tuple(Note(label=label, text=text) for label, text in pairs if text)


def _ranks(table: Table) -> str:
    ranked = "under a data set in a small table" if table.subtables else "under a data set"
    return (
        f"bold: tests tell it from every other complete row {ranked}, underlined: from every one"
        " but that; rank: the places that the tests leave, see Ties"
    )


def numbers(
    columns: Sequence[GridColumn], context: Context, style: TableStyle, *, own: bool
) -> list[str]:
    """Return what the numbers of columns are: metrics, what stands behind means, differences."""
    metrics = {c.metric.name: c.metric for c in columns}.values()
    parts = [", ".join(f"{m.title}, {m.better} is better" for m in metrics)]
    if len(context.seeds) > 1:
        whose = "" if own else "ours: "
        parts.append(f"{whose}{SPREADS[style.spread]}")
    if any("difference" in c.parts for c in columns):
        parts.append(f"Δ: ours {MINUS} paper, in points, from unrounded numbers")
    return parts


def _numbers(
    columns: Sequence[GridColumn], shown: Shown, context: Context, style: TableStyle, *, own: bool
) -> list[str]:
    past = [shown.beyond] if shown.beyond and style.spread == "ci" else []
    return [*numbers(columns, context, style, own=own), *past]


def _costs(columns: Sequence[GridColumn]) -> str:
    shown = [c.context.column.cost for c in columns]
    kinds = {cost.what for cost in shown if cost is not None}
    texts = [NOTES[what] for what in ("macs", "seconds") if what in kinds]
    return "; ".join([*texts, NOTES["both"]]) if texts else ""


def _marks(shown: Shown) -> str:
    remarks = " ".join(remark for cell in shown.cells for remark in cell.remarks)
    masks = any(c.context.constants for c in shown.columns)
    same = "every image gets the same class"
    legend = {
        cells.COLLAPSED: f"{same}, or every pixel the same" if masks else same,
        cells.UNDEFINED: "finished, but the metric has no value for what was predicted",
        cells.NOT_MEASURED: "finished, but the metric is not known, see the footnote",
        cells.NOT_RUN: "the harness has no such method yet",
        cells.MISSING: "no record yet; harness run fills it",
        cells.FAILED: "no seed was finished, see the footnote",
        cells.NOISY: "the interquartile range exceeds 5 % of the median, processes differ by more"
        " than 2 %, or a pass did not become stable: not to be quoted",
    }
    texts = [f"{mark}: {meaning}" for mark, meaning in legend.items() if mark in remarks]
    texts += [f"{row.label}: {row.meaning}" for row in shown.computed]
    return "; ".join(texts)


def _data(column: GridColumn, *, own: bool) -> str:
    context = column.context
    size = "n unknown" if context.n is None else f"n = {context.n}"
    if not own and context.printed_n is not None and context.printed_n != context.n:
        size += f" (the paper: {context.printed_n})"
    facts = [size, f"data {short(context.data) or 'unknown'}"]
    if context.stored_size is not None:
        stored = f"stored at {context.stored_size} px"
        if context.wanted_size and context.stored_size < context.wanted_size:
            stored += f" (the profile wants {context.wanted_size} px: crops are blurred)"
        facts.append(stored)
    return f"{context.title}: {', '.join([*facts, *context.remarks])}"


def _phantoms(columns: Sequence[GridColumn], *, own: bool) -> str:
    titles = dict.fromkeys(c.context.title for c in columns if c.context.phantom)
    if not titles:
        return ""
    compared = "" if own else ", not comparable to the paper's numbers"
    return f"{', '.join(titles)}: generated images{compared}"


def _commits(entries: Sequence[Entry]) -> str:
    commits = {short(e.commit) for e in entries if e.status != "missing" and e.commit}
    return ", ".join(sorted(commits))


def made(context: Context) -> str:
    """Return when, how and by what a table was made, in one line."""
    changes = " with changes" if context.dirty else ""
    versions = ", ".join(f"{name} {version}" for name, version in context.versions.items())
    parts = [
        context.created,
        context.command,
        f"commit {short(context.commit)}{changes}" if context.commit else "",
        context.device,
        versions,
    ]
    return "; ".join(part for part in parts if part)


def keys(table: Table, rows: Sequence[GridRow], columns: Sequence[GridColumn]) -> tuple[Note, ...]:
    """Return the run keys of every row, 12 digits each, in the order of columns and seeds."""
    listed_keys = []
    for row in rows:
        texts = []
        for column in columns:
            entries = [e for e in row.cells[column.name].entries if e.status != "missing"]
            if entries:
                listed = " ".join(short(e.key) for e in entries)
                texts.append(f"{column.heading} {listed}")
        if texts:
            listed_keys.append(Note(label=same_run.label(table, row.row), text="; ".join(texts)))
    return tuple(listed_keys)
