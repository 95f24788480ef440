"""Evidence on every published number of a plan, from its records and counted costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.console import warn
from harness.data import registry as datasets
from harness.errors import Damaged
from harness.evaluate import registry
from harness.plan.columns import ColumnPlan
from harness.plan.plan import Plan
from harness.report import collect as report_collect
from harness.report.evidence import ImageEvidence, KeptPredictions
from harness.report.values import ColumnContext, Costing, Entry
from harness.spec.claim import HALF_A_POINT, Margin
from harness.spec.quantity import Quantity
from harness.spec.table import Row
from harness.stats import grid, intervals, variance
from harness.stats.intervals import Interval
from harness.store.result import Rule
from harness.verdict import facts
from harness.verdict.cell import Cell, Gathered, margins, stated_images
from harness.verdict.constant import constant
from harness.verdict.read import Read, read
from harness.verdict.values import Basis, Evidence, NamedSd

__all__ = ["Cell", "Collected", "collect", "margins"]

BASIS: Basis = "draw"
"""A paper that prints one number per cell prints one run's: it is itself a draw."""


@dataclass(frozen=True, kw_only=True)
class Collected(Gathered):
    """The cells of a plan; its table is the plan's."""

    plan: Plan


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
        n = context.n if context is not None else None
        # The sizes of a user's data set are nobody's published ones.
        known_sizes = column.asked.sizes if column.asked.name in datasets.shipped() else {}
        stated = stated_images(plan.table, column.column) or known_sizes.get("eval")
        scale[name] = (*common, *facts.other_images(n, stated))
        surroundings = _Surroundings(
            column=column,
            metric=metric,
            context=context,
            margin=margin or frozen.get(name) or HALF_A_POINT,
            scale=common,
            sd=facts.pooled(name, _by_row(plan, column, metric, by_cell)),
            images=_images(kept, column, by_cell),
            rule=plan.options.rule,
            own_size=facts.own_size(metric, plan.options.profile.name, plan.options.overrides),
        )
        for row in plan.table.rows:
            found = by_cell.get((row.name, name), [])
            cells[row.name, name] = _cell(row, surroundings, found, costs.get((row.name, name)))
    return Collected(plan=plan, table=plan.table, cells=cells, scale=scale)


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
        return replace(cell, evidence=facts.of_cost(evidence, cell))
    own = column.column.asked.sizes.get("eval")
    counted = column.metric.name == "accuracy"
    size = column.context.n if column.context is not None else None
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
            foreign=(*column.scale, *facts.other_images(size, printed.images or own)),
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
    reasons = facts.scale(
        used=column.used.name,
        asked=column.asked.name,
        profile=plan.options.profile.name,
        split=column.split,
        overrides=plan.options.overrides,
    )
    return reasons if plan.options.init is None else (*reasons, "started from given weights")


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


def _by_row(
    plan: Plan,
    column: ColumnPlan,
    metric: Quantity,
    by_cell: Mapping[tuple[str, str], Sequence[Entry]],
) -> list[list[float]]:
    """Return the values of each row of a column, in display units."""
    entries = [by_cell.get((row.name, column.column.name), []) for row in plan.table.rows]
    return [[metric.factor * e.value for e in of if e.value is not None] for of in entries]
