"""Evidence on every published number of a plan, from its records and counted costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.console import warn
from harness.errors import Damaged
from harness.evaluate import registry
from harness.plan.columns import ColumnPlan
from harness.plan.plan import Plan
from harness.report import collect as report_collect
from harness.report.evidence import ImageEvidence, KeptPredictions
from harness.report.values import ColumnContext, Costing, Entry
from harness.spec.claim import HALF_A_POINT, Margin, Ordering, one_image
from harness.spec.quantity import CostQuantity, Quantity
from harness.spec.table import Column, Row, Table
from harness.stats import grid, intervals, variance
from harness.stats.intervals import Interval
from harness.store.result import Rule
from harness.verdict.constant import constant
from harness.verdict.read import Read, read
from harness.verdict.values import Basis, Evidence, NamedSd

BASIS: Basis = "draw"
"""A paper that prints one number per cell prints one run's: it is itself a draw."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A row in a column, with the evidence on its published number.

    Attributes:
        row: of the table.
        column: of the table.
        metric: what the column shows.
        values: ours by seed, in the units of the table.
        evidence: on the published number; None where the paper prints none.
        counted: a cost that is computed; None for other columns.
        step: distance of neighbouring values that ours can have, see ``harness.stats.grid``.
        stale: number of runs that were made by other sources than the present ones.
        own_size: of a cost that is counted at the profile's size: why that is not the paper's.
        margin: of the column.
        collapsed: number of our runs that predict one class alone.
        absent: why there is no finished run; "" if there is.
        lacking: why a finished run has no number that can be checked; "" if none lacks one.
    """

    row: Row
    column: Column
    metric: Quantity
    values: Mapping[int, float]
    evidence: Evidence | None
    counted: float | None = None
    step: float = 0.0
    stale: int = 0
    own_size: tuple[str, ...] = ()
    margin: Margin = HALF_A_POINT
    collapsed: int = 0
    absent: str = ""
    lacking: str = ""

    @property
    def name(self) -> str:
        """Row and column, by which a verdict is found."""
        return f"{self.row.name} / {self.column.name}"


@dataclass(frozen=True, kw_only=True)
class Collected:
    """All cells of a table with what is common to them.

    Attributes:
        plan: the plan that was read.
        cells: by names of row and column.
        scale: what is not the paper's, by name of the column; judged effects are marked with it.
    """

    plan: Plan
    cells: Mapping[tuple[str, str], Cell]
    scale: Mapping[str, tuple[str, ...]]


def margins(table: Table) -> dict[str, Margin]:
    """Return the margin of each column that needs one: the table's, else a default.

    Published numbers need one, and claims that a row is not worse than another.
    """
    claimed = {
        part.column
        for claim in table.claims
        for part in claim.decided_by
        if isinstance(part, Ordering) and part.holds == "not worse"
    }
    names = {
        column.name: column
        for column in table.columns
        if column.cost is None
        and (
            column.name in claimed or any(row.printed_in(column) is not None for row in table.rows)
        )
    }
    return {
        name: table.margins.get(name) or _default(table, column) for name, column in names.items()
    }


def _other_images(context: ColumnContext | None, expected: int | None) -> tuple[str, ...]:
    """Return that ours are evaluated on another number of images than the published number."""
    n = context.n if context is not None else None
    if n is None or not expected or n == expected:
        return ()
    return (f"evaluated on {n} images, published on {expected}",)


def _stated_images(table: Table, column: Column) -> int | None:
    """Return the number of images that all published numbers of a column state; None if not."""
    printed = [number for row in table.rows if (number := row.printed_in(column)) is not None]
    stated = {number.images for number in printed}
    return stated.pop() if len(stated) == 1 else None


def _default(table: Table, column: Column) -> Margin:
    from harness.data import registry as data_registry

    shipped = data_registry.shipped().get(column.dataset)
    images = _stated_images(table, column)
    if images is None and shipped is not None:
        images = shipped.sizes.get("eval")
    return one_image(images) if images and column.metric == "accuracy" else HALF_A_POINT


def collect(plan: Plan, *, margin: Margin | None = None, known: Read | None = None) -> Collected:
    """Return the cells of a plan with the evidence on each published number.

    Args:
        plan: data sets that are not prepared are allowed.
        margin: in place of the table's margins, for all columns.
        known: what was read of the plan already; None to read it.
    """
    known = known or read(plan)
    entries, costs, kept = known.entries, known.costs, known.kept
    by_cell: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        by_cell.setdefault((entry.row, entry.column), []).append(entry)
    frozen = margins(plan.table)
    cells: dict[tuple[str, str], Cell] = {}
    scale: dict[str, tuple[str, ...]] = {}
    for column in plan.columns:
        name = column.column.name
        cost = column.column.cost
        metric = cost if cost is not None else registry.find(column.column.metric)
        context = report_collect.column_context(plan, column) if column.prepared else None
        common = _scale(plan, column)
        stated = _stated_images(plan.table, column.column) or column.asked.sizes.get("eval")
        scale[name] = (*common, *_other_images(context, stated))
        surroundings = _Surroundings(
            column=column,
            metric=metric,
            context=context,
            margin=margin or frozen.get(name) or HALF_A_POINT,
            scale=common,
            sd=_pooled(plan, column, metric, by_cell),
            images=_images(kept, column, by_cell),
            rule=plan.options.rule,
            own_size=_own_size(plan, metric),
        )
        for row in plan.table.rows:
            found = by_cell.get((row.name, name), [])
            cells[row.name, name] = _cell(row, surroundings, found, costs.get((row.name, name)))
    return Collected(plan=plan, cells=cells, scale=scale)


@dataclass(frozen=True, kw_only=True)
class _Surroundings:
    """What the cells of one column share."""

    column: ColumnPlan
    metric: Quantity
    context: ColumnContext | None
    margin: Margin
    scale: tuple[str, ...]
    sd: NamedSd | None
    images: ImageEvidence | None
    rule: Rule
    own_size: tuple[str, ...]


def _cell(
    row: Row, column: _Surroundings, entries: Sequence[Entry], costing: Costing | None
) -> Cell:
    done = [e for e in entries if e.status == "done" and e.value is not None]
    values = {e.seed: column.metric.factor * (e.value or 0.0) for e in done}
    stale = sum(e.stale for e in done)
    n = column.context.n if column.context else None
    n = n or next((e.n for e in done if e.n), None)
    metric = column.metric
    step = grid.step_of(metric.name, n, factor=metric.factor, digits=metric.digits)
    cell = Cell(
        row=row,
        column=column.column.column,
        metric=column.metric,
        values=values,
        evidence=None,
        counted=_counted(column, costing),
        step=step,
        stale=stale,
        own_size=column.own_size,
        margin=column.margin,
    )
    if cell.column.cost is None:
        cell = replace(
            cell,
            collapsed=sum(e.collapsed for e in done),
            absent=_absent(row, column, entries),
            lacking=_lacking(entries, column),
        )
    printed = row.printed_in(column.column.column)
    if printed is None:
        return cell
    evidence = Evidence(
        printed=printed.padded(column.metric.digits),
        values=tuple(values.values()),
        seeds=tuple(values),
        margin=column.margin,
        basis=BASIS,
        step=step,
    )
    if column.column.column.cost is not None:
        return replace(cell, evidence=_of_cost(evidence, cell))
    own = column.column.asked.sizes.get("eval")
    counted = column.metric.name == "accuracy"
    return replace(
        cell,
        evidence=replace(
            evidence,
            n=n,
            printed_n=printed.images or own,
            # The last zeros of a number that was not given as text are not known.
            is_share=counted and printed.exact_decimals,
            # Of other images than the data set's own, the constant answer's share is not known.
            constants=_constants(column) if counted and printed.images in (None, own) else (),
            collapsed=cell.collapsed,
            absent=cell.absent,
            foreign=(*column.scale, *_other_images(column.context, printed.images or own)),
            lacking=cell.lacking,
            sd=column.sd,
            between_images=_of_images(done, column),
            remarks=_remarks(column, stale, len(done)),
        ),
    )


def _remarks(column: _Surroundings, stale: int, done: int) -> tuple[str, ...]:
    """Return what a reader should know of our runs, although it decides nothing."""
    remarks = []
    if column.rule == "best" and done:
        remarks.append("the best epoch is reported; the paper does not say which it reports")
    if stale:
        remarks.append(f"{stale} of {done} runs were made by other sources (†)")
    return tuple(remarks)


def _counted(column: _Surroundings, costing: Costing | None) -> float | None:
    """Return a cost that is computed; a time is measured."""
    if column.column.column.cost is None or costing is None or not column.metric.comparable:
        return None
    return column.metric.factor * costing.value


def _of_cost(evidence: Evidence, cell: Cell) -> Evidence:
    """Return the evidence on a published cost: a count is computed, a time is of a machine."""
    if cell.counted is not None:
        return replace(evidence, counted=cell.counted, foreign=cell.own_size)
    if cell.metric.comparable:
        return replace(evidence, absent="the row has no stages whose cost could be counted")
    return replace(evidence, foreign=("a time on another machine, of another code",))


def _own_size(plan: Plan, metric: Quantity) -> tuple[str, ...]:
    """Return why a count at the profile's size is not the paper's; empty for other quantities."""
    if not isinstance(metric, CostQuantity) or metric.size == "paper":
        return ()
    profile, reasons = plan.options.profile.name, []
    if profile != "paper":
        reasons.append(f"counted at the size of profile {profile!r}, not the paper's")
    if plan.options.overrides:
        reasons.append(f"settings changed by --set {' '.join(plan.options.overrides)}")
    return tuple(reasons)


def _absent(row: Row, column: _Surroundings, entries: Sequence[Entry]) -> str:
    """Return why a cell has no finished run, "" if it has one."""
    if any(e.status == "done" for e in entries):
        return ""
    if row.stages is None:
        return "the harness does not have this method"
    if not column.column.prepared:
        return f"the data set {column.column.asked.name!r} is not prepared"
    failed = sum(e.status == "failed" for e in entries)
    return f"{failed} of {len(entries)} runs failed, none finished" if failed else "no finished run"


def _scale(plan: Plan, column: ColumnPlan) -> tuple[str, ...]:
    """Return what is not the paper's in a column, but for the number of images."""
    profile, reasons = plan.options.profile, []
    if column.phantom:
        reasons.append(f"generated images ({column.used.name}) in place of {column.asked.name}")
    if profile.name != "paper":
        reasons.append(f"profile {profile.name!r}, not the paper's size and epochs")
    if column.split != "paper":
        reasons.append(f"split {column.split!r}, not the paper's sizes")
    if plan.options.overrides:
        reasons.append(f"settings changed by --set {' '.join(plan.options.overrides)}")
    return tuple(reasons)


def _constants(column: _Surroundings) -> tuple[int, ...]:
    """Return how many of the paper's images the constant answer can get right.

    That of an official division is known. The paper's own division of other images is not: the
    count then lies beside the expected one, and that of our division of the same size is added.
    """
    dataset, context = column.column.asked, column.context
    answer = constant(dataset) if sum(dataset.counts) else None
    if answer is None or answer.official:
        return () if answer is None else answer.counts
    counts = set(answer.counts)
    if context is not None and context.n == answer.n and context.majority is not None:
        counts.add(round(context.majority * answer.n))
    return tuple(sorted(counts))


def _images(
    kept: KeptPredictions, column: ColumnPlan, by_cell: Mapping[tuple[str, str], Sequence[Entry]]
) -> ImageEvidence | None:
    """Return what is kept of a column's finished runs, image by image; None if nothing is."""
    if not column.prepared:
        return None
    name = column.column.name
    done = [e for (_, c), runs in by_cell.items() if c == name for e in runs if e.status == "done"]
    try:
        return kept.of(name, done)
    except Damaged as damaged:
        warn(damaged)
        return None


def _lacking(entries: Sequence[Entry], column: _Surroundings) -> str:
    """Return why a finished run has no number, or has one that nothing can check any more."""
    unknown = next((e.lacking for e in entries if e.lacking), "")
    if unknown or column.images is None:
        return unknown
    reasons = {e.seed: column.images.lacking.get(e.key) for e in entries}
    wrong = {seed: reason for seed, reason in reasons.items() if reason}
    if not wrong:
        return ""
    seeds = ", ".join(map(str, wrong))
    return f"seed {seeds}: {next(iter(wrong.values()))}"


def _of_images(done: Sequence[Entry], column: _Surroundings) -> Interval | None:
    """Return the interval of the first run's number over the sampling of images, or of groups."""
    first = next((e for e in done if e.n and e.value is not None), None)
    if first is None or first.n is None or first.value is None:
        return None
    factor = column.metric.factor
    images = column.images
    if images is not None and not images.drawn and images.clusters is not None:
        if first.key not in images.numbers or images.units < 2:
            return None
        interval = variance.cluster_interval(images.numbers[first.key], images.clusters)
    elif column.metric.name == "accuracy":
        interval = intervals.wilson(round(first.value * first.n), first.n)
    else:
        return None
    return Interval(factor * interval.low, factor * interval.high)


def _pooled(
    plan: Plan,
    column: ColumnPlan,
    metric: Quantity,
    by_cell: Mapping[tuple[str, str], Sequence[Entry]],
) -> NamedSd | None:
    """Return the spread over seeds of the column's rows that have several, None if none has."""
    squares, freedom, rows = 0.0, 0, 0
    for values in _several(plan, column, metric, by_cell):
        squares += (len(values) - 1) * intervals.sd(values) ** 2
        freedom += len(values) - 1
        rows += 1
    if not freedom or not squares:
        return None
    return NamedSd(
        value=math.sqrt(squares / freedom),
        source=f"the {rows} rows of {column.column.name} with several seeds, pooled",
    )


def _several(
    plan: Plan,
    column: ColumnPlan,
    metric: Quantity,
    by_cell: Mapping[tuple[str, str], Sequence[Entry]],
) -> Iterator[list[float]]:
    for row in plan.table.rows:
        entries = by_cell.get((row.name, column.column.name), [])
        values = [metric.factor * e.value for e in entries if e.value is not None]
        if len(values) > 1:
            yield values
