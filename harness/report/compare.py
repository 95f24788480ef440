"""Differences between rows and their reference row, paired by seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.report import same_run
from harness.report.numbers import bracket, signed
from harness.report.values import Cell, Comparison, GridColumn, GridRow, Note
from harness.spec.table import Table
from harness.stats import intervals


def compare(
    table: Table, rows: Sequence[GridRow], columns: Sequence[GridColumn]
) -> tuple[Comparison, ...]:
    """Compare rows with the reference row of their group, else with the first reference row.

    Args:
        table: names the reference rows.
        rows: the table's rows.
        columns: the table's columns; costs are skipped, since they do not vary with the seed.

    Returns:
        one comparison per row and column that have at least two finished seeds in common; none
        if both rows consist of the same runs.
    """
    references = [row for row in rows if row.row.name in table.references]
    comparisons = []
    for row in rows:
        candidates = [r for r in references if r.row.group == row.row.group] or references
        if not candidates or row in references:
            continue
        for column in columns:
            if column.context.column.cost is None:
                comparisons.append(_comparison(row, candidates[0], column))
    return tuple(comparison for comparison in comparisons if comparison is not None)


def _comparison(row: GridRow, reference: GridRow, column: GridColumn) -> Comparison | None:
    """Return the paired difference of two rows; None with fewer than two common seeds."""
    ours, theirs = (dict(_values(r.cells[column.name])) for r in (row, reference))
    seeds = tuple(seed for seed in ours if seed in theirs)
    if len(seeds) < 2 or all(ours[seed][0] == theirs[seed][0] for seed in seeds):
        return None
    factor = column.metric.factor
    # Paired by seed: variation that both rows share within a seed cancels in each difference.
    differences = [factor * (ours[seed][1] - theirs[seed][1]) for seed in seeds]
    return Comparison(
        row=row,
        reference=reference,
        column=column,
        seeds=seeds,
        difference=intervals.mean(differences),
        interval=intervals.t_interval(differences),
    )


def _values(cell: Cell) -> Iterator[tuple[int, tuple[str, float]]]:
    """Yield each finished seed with its run's key and value."""
    for entry in cell.entries:
        if entry.status == "done" and entry.value is not None:
            yield entry.seed, (entry.key, entry.value)


def notes(table: Table, comparisons: Sequence[Comparison]) -> tuple[Note, ...]:
    """Return one note per pair of rows, with all its columns."""
    texts: dict[str, list[str]] = {}
    for comparison in comparisons:
        pair = (comparison.row, comparison.reference)
        rows = [same_run.label(table, row.row) for row in pair]
        digits = comparison.column.metric.digits
        shown = (
            f"{comparison.column.heading} {signed(comparison.difference, digits)}"
            f" {bracket(comparison.interval, digits)} ({len(comparison.seeds)} seeds)"
        )
        texts.setdefault(" against ".join(rows), []).append(shown)
    return tuple(Note(label=label, text="; ".join(shown)) for label, shown in texts.items())
