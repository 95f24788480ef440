"""Frozen values of a report: what it is made from, and the laid-out grid.

Numbers of the grid are in display units (natural units times ``Metric.factor``), unrounded.
Texts are plain Unicode: a renderer escapes them and adds its emphasis, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harness.spec.quantity import Quantity
from harness.spec.table import Column, Row
from harness.stats import Interval

Part = Literal["paper", "ours", "difference"]
State = Literal[
    "complete",
    "partial",
    "undefined",
    "not measured",
    "failed",
    "missing",
    "not run",
    "not applicable",
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
            the metric is undefined for all of them; "not measured": some are, but none is known.
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


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run of a table, named by row, column and seed.

    Attributes:
        column: ``Column.name``.
        value: the metric at the table's selection rule, natural units; None unless done.
        last: at the last epoch.
        best: at the best epoch.
        lacking: why the metric of a done run is not known; None where it is.
        n: images evaluated.
        collapsed: all images got one class.
        stale: made by other sources than the present ones.
        key: the run's key, SHA-256 (hex).
        data: the fingerprint of the data, SHA-256 (hex).
    """

    row: str
    column: str
    seed: int
    status: Literal["done", "failed", "missing"]
    value: float | None = None
    last: float | None = None
    best: float | None = None
    lacking: str | None = None
    n: int | None = None
    collapsed: bool = False
    stale: bool = False
    key: str = ""
    error: str | None = None
    commit: str = ""
    data: str = ""


@dataclass(frozen=True, kw_only=True)
class Costing:
    """What a row costs, in natural units (multiply-accumulates, seconds).

    Attributes:
        change: against the first row of the table that has a number, as a share.
        interval: 95 % interval of a median.
        noisy: why the number should not be trusted; empty if it can be.
        detail: how it was found, as JSON values.
    """

    value: float
    change: float | None = None
    interval: Interval | None = None
    noisy: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ColumnContext:
    """The data behind a column.

    Attributes:
        title: as shown ("BTMD", "Messidor-2 (phantom-fundus)").
        dataset: the data set that was used.
        phantom: generated images stand in for the real ones.
        n: images of the evaluated part.
        majority: the column's metric (natural units) for the classifier that always answers the
            most frequent class, see ``harness.evaluate.metrics.majority``.
        constants: likewise for segmenters that answer the same everywhere, by name, see
            ``harness.evaluate.registry.constants``; None where the metric is undefined.
        data: the fingerprint of the prepared store.
        printed_n: images of the part that the paper evaluated.
    """

    column: Column
    title: str
    dataset: str
    phantom: bool = False
    n: int | None = None
    majority: float | None = None
    constants: Mapping[str, float | None] = field(default_factory=dict)
    data: str = ""
    printed_n: int | None = None


@dataclass(frozen=True, kw_only=True)
class Context:
    """How a table was made.

    Attributes:
        name: of the experiment, and of the files ("table1").
        scaled_down: the profile is smaller than the paper's.
        rule: the epoch that is reported, "last" or "best".
        overrides: ``--set`` values.
        dirty: the present sources differ from the commit.
        created: ISO date; passed in, so that rendering is deterministic.
    """

    name: str
    profile: str
    scaled_down: bool
    split: str
    rule: str
    seeds: tuple[int, ...]
    overrides: tuple[str, ...] = ()
    command: str = ""
    commit: str = ""
    dirty: bool = False
    versions: Mapping[str, str]
    device: str = ""
    created: str = ""
