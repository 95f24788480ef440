"""Frozen dataclasses of a report: entries and contexts that it is made from, and the grid.

Numbers of the grid are in display units (natural units times ``Quantity.factor``), unrounded.
Texts are plain Unicode, which renderers escape and emphasise but do not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harness.report.division import Division
from harness.report.looks import Look
from harness.report.separation import Ties
from harness.spec.quantity import Quantity
from harness.spec.table import Column, Row, is_own
from harness.stats.intervals import Interval
from harness.store.made import Made

Part = Literal["paper", "ours", "difference"]
State = Literal["complete", "partial", "undefined", "not measured", "failed", "missing",
                "not run", "not applicable"]  # fmt: skip

HEADINGS: Mapping[Part, str] = {"paper": "paper", "ours": "ours", "difference": "Δ"}
NOTHING = "\N{EN DASH}"
"""Text of cells where the paper printed no number or a difference has no meaning."""

COMPARED = "Differences, paired by seed (mean, Student's 95 % interval; each taken by itself)"
KEYS = "Run keys, in the order of the seeds"
"""Headings of the lists below a table."""

CHECK = "\N{CHECK MARK}"
"""Text of module cells of the rows that have the module."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Cell of a table: results of one row in one column over all seeds.

    Attributes:
        state: "complete": every seed is done; "partial": some are; "undefined": some are, and
            the metric is undefined for all of them; "not measured": some are, but the metric is
            not known for any; "failed": none is, and at least one failed; "missing": there is no
            record; "not run": the row has no stages; "not applicable": the column does not
            concern the row.
        printed: the paper's number, as printed.
        value: mean over the seeds that are done.
        sd: sample standard deviation over the seeds, with two or more.
        interval: Student's 95 % interval of the mean over the seeds, with two or more.
        difference: value - printed; None for phantom columns.
        rank: of a row that tests separate from all below it, see ``harness.report.ties``.
        ranks: highest and lowest rank that the tests leave open; None if it is not ranked.
        paper: text of the printed number.
        number: text of the value (with sd and interval), "" if there is none.
        change: text of the difference.
        remarks: words after the number ("collapsed", "2 of 5 seeds") or in its place ("failed").
        marks: footnote marks ("†", "a").
        entries: the runs that the cell summarises, by seed.
        costing: the cost that a cell of a cost column shows.
    """

    state: State
    printed: float | None = None
    value: float | None = None
    sd: float | None = None
    interval: Interval | None = None
    difference: float | None = None
    rank: Literal["best", "second"] | None = None
    ranks: tuple[int, int] | None = None
    paper: str = NOTHING
    number: str = ""
    change: str = NOTHING
    remarks: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    costing: Costing | None = None


@dataclass(frozen=True, kw_only=True)
class GridColumn:
    """Column of a grid: a data set under one metric, or a cost.

    Attributes:
        context: the data of the column.
        metric: the metric or cost that is shown.
        heading: the data set's title, with the metric's title if the columns' metrics differ.
        parts: the sub-columns that are shown: the paper's number, ours, their difference.
    """

    context: ColumnContext
    metric: Quantity
    heading: str
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        """Name of the column, the key of ``GridRow.cells``."""
        return self.context.column.name


@dataclass(frozen=True, kw_only=True)
class GridRow:
    """Row of a grid: a row of the table, with its cells by column name."""

    row: Row
    cells: Mapping[str, Cell]


@dataclass(frozen=True, kw_only=True)
class ComputedRow:
    """Row below the others without any training: results of a constant prediction.

    Attributes:
        name: its key in JSON and CSV files ("majority").
        label: the row's label.
        meaning: the constant prediction in words, for the legend.
        values: by column name, in display units; None if the metric is undefined. Columns to which
            the prediction does not apply are absent.
        texts: the defined values as shown, by column name.
    """

    name: str
    label: str
    meaning: str
    values: Mapping[str, float | None]
    texts: Mapping[str, str]

    def text(self, column: GridColumn, part: Part) -> str:
        """Return the text in one part of a column, "" if there is none."""
        return self.texts.get(column.name, "") if part == "ours" else ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Consecutive rows under one title.

    Attributes:
        title: the group's title; "" shows none.
        rows: its rows in order.
        heading: heading of the rows' labels, if the group is a small table.
    """

    title: str
    rows: tuple[GridRow, ...]
    heading: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Difference between a row and its reference row in one column, in display units.

    Attributes:
        row: the row.
        reference: the row that is subtracted.
        column: the column.
        seeds: seeds that are finished in both rows.
        difference: mean over these seeds of (row - reference).
        interval: Student's 95 % interval of that mean. Variation that both rows share within a
            seed (for instance by a common pre-training) does not widen it.
    """

    row: GridRow
    reference: GridRow
    column: GridColumn
    seeds: tuple[int, ...]
    difference: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Note:
    """Line below a table: a label and a text; a footnote's label is its mark."""

    label: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Laid-out table, which all renderers show without further computation.

    Attributes:
        context: how the table was made.
        title: the table's title.
        source: the paper's table or figure, "" if there is none.
        heading: heading of the rows' labels.
        modules: headings of the columns of check marks.
        separate: whether every group is a small table, see ``tables``.
        caption: sentences in order; the first is the title.
        columns: columns in order.
        groups: groups of rows in order.
        computed: rows of constant predictions, below the others.
        footnotes: footnotes of cells, by mark.
        notes: notes on how the numbers were made.
        comparisons: differences between rows, paired by seed.
        compared: the comparisons as text.
        ties: which rows of each column can be told apart.
        keys: shortened run keys, one note per row of the table.
        looks: how rows are drawn, by name; rows that it lacks are drawn by their place.
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
    ties: tuple[Ties, ...] = ()
    keys: tuple[Note, ...]
    looks: Mapping[str, Look] = field(default_factory=dict)

    @property
    def tables(self) -> tuple[tuple[str, Grid], ...]:
        """Titles and grids of the tables that are shown: the whole grid, or one per group."""
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
        """Rows of all groups in order."""
        return tuple(row for group in self.groups for row in group.rows)

    @property
    def grouped(self) -> bool:
        """Whether any group has a title."""
        return any(group.title for group in self.groups)

    @property
    def own(self) -> bool:
        """Whether it reproduces nothing, see ``Table.own``."""
        return is_own(self.source, [row.row for row in self.rows])

    @property
    def backbones(self) -> bool:
        """Whether any row names its encoder."""
        return any(row.row.backbone for row in self.rows)

    @property
    def heads(self) -> list[str]:
        """Headings of the text columns, in the order of ``words``."""
        return [self.heading, *self.modules, *(["Backbone"] if self.backbones else [])]

    def words(self, row: GridRow | ComputedRow) -> list[str]:
        """Return a row's texts: label, check marks of modules, backbone."""
        if isinstance(row, ComputedRow):
            marks = ["" for _ in self.modules]
            return [row.label, *marks, *([NOTHING] if self.backbones else [])]
        marks = [CHECK if module in row.row.modules else "" for module in self.modules]
        return [row.row.label, *marks, *([row.row.backbone or NOTHING] if self.backbones else [])]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Result of one run in a table, identified by row, column and seed.

    Attributes:
        row: name of the row.
        column: name of the column.
        seed: the run's seed.
        status: whether the run is done, failed, or has no record.
        value: the metric at the epoch that the table's rule selects, in natural units; None unless
            the run is done.
        last: the metric at the last epoch.
        best: the metric at the best epoch.
        lacking: why the metric of a done run is not known; None if it is known.
        n: number of images evaluated.
        collapsed: whether all images were predicted as one class.
        stale: whether the run was made by other sources than the present ones.
        key: the run's key, SHA-256 (hex).
        error: why the run failed; None unless it did.
        commit: the commit that the run was made at.
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
    """Cost of a row in natural units (multiply-accumulates, seconds).

    Attributes:
        value: the cost; a time is a median.
        change: relative change from the first row that has a cost, as a fraction.
        interval: 95 % interval of a median.
        noisy: reasons not to trust the number; empty if there are none.
        detail: how the number was counted or measured, as JSON values.
    """

    value: float
    change: float | None = None
    interval: Interval | None = None
    noisy: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ColumnContext:
    """Data of a column, and results of constant predictions on them.

    Attributes:
        column: the column.
        title: the title as shown ("BTMD", "Messidor-2 (phantom-fundus)").
        dataset: name of the data set that was used.
        phantom: whether generated images replace the real ones.
        n: number of evaluated images.
        majority: the column's metric (natural units) for the classifier that always predicts the
            most frequent class, see ``harness.evaluate.metrics.majority``.
        constants: likewise for segmenters that predict the same for every pixel, by name, see
            ``harness.evaluate.registry.constants``; None if the metric is undefined.
        data: the fingerprint of the prepared store.
        printed_n: number of images that the paper evaluated.
        split: the split of its data set.
        stored_size: side in pixels of the stored images; None for costs.
        wanted_size: side that the profile wants.
        remarks: sentences of the reader about the archive.
        division: how the data set was divided; None for costs.
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
    split: str = "paper"
    stored_size: int | None = None
    wanted_size: int | None = None
    remarks: tuple[str, ...] = ()
    division: Division | None = None


@dataclass(frozen=True, kw_only=True)
class Context:
    """Options and environment that a table was made with.

    Attributes:
        name: name of the experiment and of its files ("table1").
        profile, scaled_down: name of the profile, and whether it is smaller than the paper's.
        split: names of the splits of the columns ("paper", "clean", "given"), joined by "and".
        rule: the epoch that is reported, "last" or "best".
        seeds: seeds in order.
        overrides: values of ``--set``.
        command: the command that wrote the table.
        commit, dirty: the present commit, and whether the sources differ from it.
        versions: versions of Python and packages by name.
        device: the device in words.
        created: ISO date; an argument, so that rendering is deterministic.
        made: what the files are of, by which they are told from others; None if not known.
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
    made: Made | None = None
