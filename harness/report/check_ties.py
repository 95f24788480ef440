"""Compute again which rows of a committed table can be told apart, and compare ranks and ties.

The tests over seeds are computed from the records, those over images from the predicted classes.
Metrics that are no mean over images, and those of masks, keep the p values over images that the
table states; all that follows from them is computed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.errors import UserError
from harness.evaluate import registry
from harness.report import ties
from harness.report.check_table import Column, Row, Table, equal, unequal, value_of
from harness.report.evidence import ImageEvidence
from harness.report.separation import Ties
from harness.report.values import Cell, ColumnContext, Entry, GridColumn
from harness.spec.costs import COSTS
from harness.spec.quantity import Metric
from harness.spec.table import Column as Planned
from harness.stats.intervals import Interval
from harness.store import compact
from harness.store.compact import Archive
from harness.store.result import Rule

SKIPPED = ("heading", "lacking")
"""What is not compared: a heading, and sentences on predictions that were not kept."""


@dataclass(frozen=True, kw_only=True)
class _Stated(ImageEvidence):
    """The tests over images that a table states."""

    stated: Mapping[frozenset[str], float | None] = field(default_factory=dict)

    def p(self, first: Sequence[Entry], second: Sequence[Entry]) -> float | None:
        return self.stated.get(frozenset((first[0].row, second[0].row)))


def differences(table: Table, archive: Archive) -> Iterator[str]:
    """Yield a line for each rank or test of a table that does not follow from the records."""
    if table.ties is None:
        return  # the table is older than ties
    stated = {(t.get("column"), t.get("subtable")): t for t in table.ties}
    seen = set()
    for column in table.columns:
        if column.metric in COSTS:
            continue
        try:
            metric = registry.find(column.metric)
        except UserError:
            yield f"column {column.name}: no metric {column.metric!r} is known, by which it ranks"
            continue
        for rows in _rivals(table):
            title = rows[0].group if table.subtables else ""
            where = f"column {column.name}" + (f", {title}" if title else "")
            seen.add((column.name, title))
            ours = stated.get((column.name, title))
            yield from _column(table, rows, column, metric, archive, ours, where)
    for name, group in stated.keys() - seen:
        yield f"ties of column {name!r}, {group!r}: there are no such rows"


def _rivals(table: Table) -> list[list[Row]]:
    return [rows for rows in table.small if rows]


def _column(  # noqa: PLR0913 (the table and one of its columns)
    table: Table,
    rows: Sequence[Row],
    column: Column,
    metric: Metric,
    archive: Archive,
    ours: Mapping[str, Any] | None,
    where: str,
) -> Iterator[str]:
    cells = {row.name: _cell(row, column, table, archive) for row in rows}
    grid_column = _grid_column(table, column, metric)
    evidence = _stated(ours or {}, cells)
    found = ties.of_column(
        cells, grid_column, lambda *_: evidence, subtable=rows[0].group if table.subtables else ""
    )
    marked = ties.mark(cells, found)
    for row in rows:
        shown, expected = row.cells.get(column.name), marked[row.name]
        if shown is None:
            continue
        place = f"row {row.name}, column {column.name}"
        yield from unequal(place, "rank", shown.rank, expected.rank)
        yield from unequal(place, "ranks", shown.ranks, expected.ranks)
        ranked = [remark for remark in shown.remarks if remark.startswith("rank ")]
        yield from unequal(place, "remark of the rank", ranked, list(expected.remarks))
    if found is None:
        if ours is not None:
            yield f"{where}: it states ties, although no row is complete"
        return
    if ours is None:
        yield f"{where}: its ties are missing"
        return
    yield from _unlike(f"{where}, ties", ours, _values(found))
    yield from _images(table, column, metric, archive, ours, cells, where)


def _cell(row: Row, column: Column, table: Table, archive: Archive) -> Cell:
    """Return a cell as it was before it was ranked, its values from the records."""
    cell = row.cells.get(column.name)
    if cell is None:
        return Cell(state="missing")
    entries = []
    for entry in cell.seeds:
        record = archive.records.get(entry.key)
        value = None
        if record is not None and entry.status == "done" and entry.lacking is None:
            value = value_of(record, column, table.context.rule)
        entries.append(
            Entry(
                row=row.name,
                column=column.name,
                seed=entry.seed,
                status=entry.status,
                value=value,
                collapsed=entry.collapsed,
                key=entry.key,
                lacking=entry.lacking,
            )
        )
    interval = None if cell.interval is None else Interval(*cell.interval)
    return Cell(
        state=cell.state, value=cell.value, sd=cell.sd, interval=interval, entries=tuple(entries)
    )


def _grid_column(table: Table, column: Column, metric: Metric) -> GridColumn:
    def natural(values: Mapping[str, float | None] | None) -> float | None:
        value = (values or {}).get(column.name)
        return None if value is None else value / column.factor

    answers = {"background": natural(table.background), "foreground": natural(table.foreground)}
    return GridColumn(
        context=ColumnContext(
            column=Planned(dataset=column.asked_for, metric=column.metric, probe=column.probe),
            title=column.title,
            dataset="",
            n=column.n,
            majority=natural(table.majority),
            constants={name: value for name, value in answers.items() if value is not None},
        ),
        metric=metric,
        heading="",
        parts=("ours",),
    )


def _stated(ours: Mapping[str, Any], cells: Mapping[str, Cell]) -> _Stated | None:
    """Return the tests over images as the table states them; None if it states none."""
    pairs = {frozenset((p["first"], p["second"])): p.get("images_p") for p in ours.get("pairs", ())}
    if all(p is None for p in pairs.values()):
        return None
    groups = ours.get("groups")
    return _Stated(
        numbers={},
        drawn=False,
        n=ours.get("images") or 0,
        clusters=None if groups is None else np.arange(groups),
        stream=(),
        lacking={},
        stated=pairs,
    )


def _values(found: Ties) -> dict[str, Any]:
    """Return ties as the JSON file has them, see ``harness.report.data``."""
    return {
        **{k: v for k, v in dataclasses.asdict(found).items() if k not in SKIPPED},
        "of": "methods" if found.of_methods else "trained models",
        "best": found.best,
        "second": found.second,
        "separable_pairs": sum(pair.better is not None for pair in found.pairs),
        "ratio": found.ratio,
    }


def _unlike(where: str, ours: Any, theirs: Any) -> Iterator[str]:
    """Yield a line for each value in which two nested values differ."""
    if isinstance(theirs, Mapping):
        for name, value in theirs.items():
            stated = ours.get(name) if isinstance(ours, Mapping) else None
            yield from _unlike(f"{where}, {name}", stated, value)
    elif isinstance(theirs, tuple) and theirs and isinstance(theirs[0], Mapping):
        if not isinstance(ours, Sequence) or len(ours) != len(theirs):
            yield f"{where}: they are not {len(theirs)}, as the records say"
            return
        for a, b in zip(ours, theirs, strict=True):
            yield from _unlike(f"{where}, {b.get('first')} and {b.get('second')}", a, b)
    elif not equal(ours, theirs):
        place, _, name = where.rpartition(", ")
        yield from unequal(place, name, ours, theirs)


def _images(  # noqa: PLR0913 (the table and one of its columns)
    table: Table,
    column: Column,
    metric: Metric,
    archive: Archive,
    ours: Mapping[str, Any],
    cells: Mapping[str, Cell],
    where: str,
) -> Iterator[str]:
    """Compare the tests over images with those of the predicted classes, where these suffice."""
    if metric.name != "accuracy" or column.probe is not None:
        return
    keys = {entry.key for cell in cells.values() for entry in cell.entries}
    evidence = evidence_of(keys, column, table.context.rule, archive)
    if evidence is None:
        return
    lacking = {row for rows in (ours.get("lacking") or {}).values() for row in rows}
    for pair in ours["pairs"]:
        if pair["images_p"] is None and lacking & {pair["first"], pair["second"]}:
            continue  # what was kept could not be matched with the images then
        runs = [cells[pair[side]].entries for side in ("first", "second")]
        expected = evidence.p(*runs)
        if expected is not None and not equal(pair["images_p"], expected):
            place = f"{where}, ties, pairs, {pair['first']} and {pair['second']}"
            yield from unequal(place, "images_p", pair["images_p"], expected)


def evidence_of(
    keys: Collection[str], column: Column, rule: Rule, archive: Archive
) -> ImageEvidence | None:
    """Return which images each run of a column got right; None if they are not the same images."""
    kept = [record for key in sorted(keys) if (record := archive.records.get(key)) is not None]
    shown = {record.images for record in kept if record.images is not None}
    if len(shown) != 1:
        return None
    images = archive.images.get(shown.pop() or "")
    if images is None:
        return None
    numbers = {}
    for record in kept:
        pair = archive.predicted(record, rule)
        if pair is not None:
            numbers[record.key] = (pair[0] == pair[1]).astype(np.float64)
    where = f"the images {images.key[:12]}"
    groups = None
    if images.groups is not None:
        groups = compact.decode_whole(images.groups, images.n, where)
    return ImageEvidence(
        numbers=numbers,
        drawn=False,
        n=images.n,
        clusters=groups,
        stream=(column.data, column.split, column.metric),
        lacking={},
    )
