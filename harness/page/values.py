"""The view of a page: frozen texts and numbers that the template shows without computing.

Texts are plain Unicode from tables, records and files; the template escapes them. Numbers are in
the units of the table and unrounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A verdict as a labelled chip.

    Attributes:
        word: of the closed vocabulary of ``harness.verdict``.
        text: the word with its side ("different (below)").
        glyph: a sign that tells the words apart without colour.
        tone: name of the style ("good", "bad", "open", "none").
        why: the reason, in one sentence.
    """

    word: str
    text: str
    glyph: str
    tone: str
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class SeedView:
    """One run of a cell: its seed, its number as text and unrounded, or why it has none."""

    seed: int
    text: str
    stale: bool = False


@dataclass(frozen=True, kw_only=True)
class CellView:
    """A row in a column.

    Attributes:
        ref: identifies it in the page, and in the fragment of its address.
        paper: the published number as printed, or a dash.
        paper_value: the published number; None if none is printed.
        number: ours as text with deviation and interval, "" if there is none.
        value: ours, the mean over the seeds; None if there is none.
        change: text of the difference to the published number.
        difference: ours - published; None where it has no meaning.
        remarks: words after the number, or in its place.
        marks: footnote marks ("†").
        rank: "best", "second" or "".
        chip: the verdict on the published number; None where none is printed.
        seeds: the runs behind it.
        opens: whether there is anything to open.
    """

    ref: str
    paper: str
    paper_value: float | None
    number: str
    value: float | None
    change: str
    difference: float | None
    remarks: str
    marks: str
    rank: str
    chip: Chip | None
    seeds: tuple[SeedView, ...]
    opens: bool


@dataclass(frozen=True, kw_only=True)
class ColumnView:
    """A column: heading, which parts it has, and whether it shows a probe.

    Attributes:
        name: within its table.
        heading: of the data set or metric.
        parts: of "paper", "ours", "difference" and "verdict", in order.
        probe: a classifier on the frozen encoder.
        detail: the data behind it, in one line.
    """

    name: str
    heading: str
    parts: tuple[str, ...]
    probe: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class RowView:
    """A row: its texts before the numbers, and its cells in the order of the columns."""

    words: tuple[str, ...]
    cells: tuple[CellView, ...]


@dataclass(frozen=True, kw_only=True)
class ConstantView:
    """A computed row below the others: its texts, and one text per column."""

    words: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GroupView:
    """Rows under one title; "" shows none."""

    title: str
    rows: tuple[RowView, ...]


@dataclass(frozen=True, kw_only=True)
class GridView:
    """One table of numbers.

    Attributes:
        ref: identifies it in the page.
        title: above it, "" for none.
        heads: headings of the texts before the numbers.
        columns: in order.
        groups: of rows, in order.
        constants: computed rows.
    """

    ref: str
    title: str
    heads: tuple[str, ...]
    columns: tuple[ColumnView, ...]
    groups: tuple[GroupView, ...]
    constants: tuple[ConstantView, ...]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many of a kind of statement have each verdict.

    Attributes:
        what: the kind ("published numbers").
        total: the denominator.
        reproduced: how many are reproduced.
        counts: a chip and its count for each verdict that occurs, "reproduced" first.
    """

    what: str
    total: int
    reproduced: int
    counts: tuple[tuple[Chip, int], ...]


@dataclass(frozen=True, kw_only=True)
class LinesView:
    """A titled table of texts; a line may begin with a chip."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Chip | None, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class TableView:
    """A table of one profile with its verdicts.

    Attributes:
        ref: identifies it in the page ("smoke-table1").
        name: of the experiment.
        profile: of its runs.
        title: above it.
        source: the paper's table, "" for an own one.
        caption: sentences below the title.
        tallies: of published numbers, gains and claims.
        grids: the table, or its small tables.
        lists: gains and claims.
        notes: label and text of footnotes and notes.
        folded: titled lists of label and text: differences by seed, run keys.
        runs: number of finished runs.
        stale: of these, runs made by other sources than the present ones.
    """

    ref: str
    name: str
    profile: str
    title: str
    source: str
    caption: tuple[str, ...]
    tallies: tuple[Tally, ...]
    grids: tuple[GridView, ...]
    lists: tuple[LinesView, ...]
    notes: tuple[tuple[str, str], ...]
    folded: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    runs: int
    stale: int


@dataclass(frozen=True, kw_only=True)
class ProfileView:
    """The tables of one profile, and what the profile's numbers can say."""

    name: str
    meaning: str
    tables: tuple[TableView, ...]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure that lies beside the report, embedded.

    Attributes:
        name: path within the report's folder.
        caption: its own, or its path.
        source: as a ``data:`` address.
    """

    name: str
    caption: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Block:
    """A piece of a text: a heading, a paragraph, a list or a table of texts.

    Attributes:
        kind: "heading", "text", "list" or "table".
        texts: the heading or paragraph, or the items of the list.
        rows: lines of the table, the first of which is its head.
    """

    kind: str
    texts: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Article:
    """A page of an audit: its title, where it lies and its blocks."""

    title: str
    path: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that a page shows.

    Attributes:
        title: of the page.
        made: how it was made: command, commit, date.
        profiles: tables by profile.
        pictures: figures.
        articles: audits.
        missing: what was left out, and why.
        data: what panels show of cells, runs and stages, as JSON values.
    """

    title: str
    made: tuple[str, ...]
    profiles: tuple[ProfileView, ...]
    pictures: tuple[Picture, ...] = ()
    articles: tuple[Article, ...] = ()
    missing: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
