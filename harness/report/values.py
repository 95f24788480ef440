"""Frozen values of a report: the laid-out grid; ``harness.report.inputs`` is what makes it.

Numbers of the grid are in display units (natural units times ``Metric.factor``), unrounded.
Texts are plain Unicode: a renderer escapes them and adds its emphasis, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from harness.merit import Quantity
from harness.report.inputs import ColumnContext as ColumnContext
from harness.report.inputs import Context as Context
from harness.report.inputs import Costing as Costing
from harness.report.inputs import Entry as Entry
from harness.stats import Interval
from harness.table import Row

Part = Literal["paper", "ours", "difference"]
State = Literal[
    "complete", "partial", "undefined", "failed", "missing", "not run", "not applicable"
]

HEADINGS: Mapping[Part, str] = {"paper": "paper", "ours": "ours", "difference": "Δ"}
NOTHING = "\N{EN DASH}"
"""Shown where the paper printed no number, or a difference would say nothing."""

COMPARED = "Differences, paired by seed (mean, Student's 95 % interval; each taken by itself)"
KEYS = "Run keys, in the order of the seeds"
"""Heads of the lists below a table."""

CHECK = "\N{CHECK MARK}"
"""Shown where a row has a module."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What stands in one row under one data set.

    Attributes:
        state: "complete": every seed is done; "partial": some are; "undefined": some are, and
            the metric is undefined for all of them.
        printed: the paper's number, as printed.
        value: mean over the seeds that are done.
        sd: over two or more seeds.
        interval: 95 % interval of the mean (Student's t), over two or more seeds.
        difference: value - printed; None for phantom columns.
        rank: among the complete cells of the column.
        paper: text of the printed number.
        number: text of the value (with sd and interval), "" where there is none.
        change: text of the difference.
        remarks: words after the number ("collapsed", "2 of 5 seeds") or in its place ("failed").
        marks: footnote marks ("†", "a").
        entries: the runs behind the cell, by seed.
        costing: what stands behind a cost.
    """

    state: State
    printed: float | None = None
    value: float | None = None
    sd: float | None = None
    interval: Interval | None = None
    difference: float | None = None
    rank: Literal["best", "second"] | None = None
    paper: str = NOTHING
    number: str = ""
    change: str = NOTHING
    remarks: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    costing: Costing | None = None


@dataclass(frozen=True, kw_only=True)
class GridColumn:
    """A data set of the grid and which parts are shown under it.

    Attributes:
        heading: the data set's title, with the metric where columns differ in it.
    """

    context: ColumnContext
    metric: Quantity
    heading: str
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        """The column's name, the key of ``GridRow.cells``."""
        return self.context.column.name


@dataclass(frozen=True, kw_only=True)
class GridRow:
    """A method with its cells by column name."""

    row: Row
    cells: Mapping[str, Cell]


@dataclass(frozen=True, kw_only=True)
class ComputedRow:
    """A row at the bottom that nothing was trained for: what a constant answer reaches.

    Attributes:
        name: in the files of data ("majority").
        meaning: what is always answered, for the legend.
        values: by column name, display units; None where the metric is undefined. Columns that
            such an answer does not concern are not there.
        texts: the values as shown, where there is one.
    """

    name: str
    label: str
    meaning: str
    values: Mapping[str, float | None]
    texts: Mapping[str, str]

    def text(self, column: GridColumn, part: Part) -> str:
        """Return what stands under a part of a column, "" where nothing does."""
        return self.texts.get(column.name, "") if part == "ours" else ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Consecutive rows under one title; "" has none.

    Attributes:
        heading: of the rows' labels, where the group is a small table.
    """

    title: str
    rows: tuple[GridRow, ...]
    heading: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A row minus a reference row under one column, in display units.

    Attributes:
        seeds: that are finished in both.
        difference: mean over the seeds of the differences.
        interval: Student's 95 % interval of that mean: what both rows share of a seed (a
            pre-training, say) does not widen it.
    """

    row: GridRow
    reference: GridRow
    column: GridColumn
    seeds: tuple[int, ...]
    difference: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Note:
    """A line below the table; a footnote's label is its mark."""

    label: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table laid out once; renderers only read it.

    Attributes:
        heading: of the rows' labels.
        modules: heads of columns of check marks.
        separate: every group is a small table, see ``tables``.
        computed: rows below the others.
        caption: sentences in order; the first names the table.
        footnotes: of cells, by mark.
        notes: how the numbers were made.
        comparisons: rows against others, paired by seed.
        compared: the same in words.
        keys: shortened run keys, one note a row of the table.
    """

    context: Context
    title: str
    source: str
    heading: str = "Method"
    modules: tuple[str, ...] = ()
    separate: bool = False
    caption: tuple[str, ...]
    columns: tuple[GridColumn, ...]
    groups: tuple[Group, ...]
    computed: tuple[ComputedRow, ...] = ()
    footnotes: tuple[Note, ...]
    notes: tuple[Note, ...]
    comparisons: tuple[Comparison, ...] = ()
    compared: tuple[Note, ...] = ()
    keys: tuple[Note, ...]

    @property
    def tables(self) -> tuple[tuple[str, Grid], ...]:
        """What is shown as a table, each under its title: the whole, or every group by itself."""
        if not self.separate:
            return (("", self),)
        return tuple(
            (
                group.title,
                replace(
                    self, heading=group.heading, separate=False, groups=(replace(group, title=""),)
                ),
            )
            for group in self.groups
        )

    @property
    def rows(self) -> tuple[GridRow, ...]:
        """All rows in order."""
        return tuple(row for group in self.groups for row in group.rows)

    @property
    def grouped(self) -> bool:
        """Whether any row stands under a heading."""
        return any(group.title for group in self.groups)

    @property
    def backbones(self) -> bool:
        """Whether any row names its encoder."""
        return any(row.row.backbone for row in self.rows)

    @property
    def heads(self) -> list[str]:
        """Heads of the columns of words, as ``words`` fills them."""
        return [self.heading, *self.modules, *(["Backbone"] if self.backbones else [])]

    def words(self, row: GridRow | ComputedRow) -> list[str]:
        """Return a row's columns of words."""
        if isinstance(row, ComputedRow):
            marks = ["" for _ in self.modules]
            return [row.label, *marks, *([NOTHING] if self.backbones else [])]
        marks = [CHECK if module in row.row.modules else "" for module in self.modules]
        return [row.row.label, *marks, *([row.row.backbone or NOTHING] if self.backbones else [])]
