"""Rank rows only where tests tell them apart: best, second, or the ranks that stay open.

Two rows are separable if a paired test is significant after Holm's correction over all pairs of
the column. With several seeds it has to be so over both sources of variation, the seeds and the
images. With one seed only the trained models are compared, and no row is marked.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.report import same_run
from harness.report.evidence import ImageEvidence, Images
from harness.report.numbers import fixed
from harness.report.separation import Pair, Ties, rank_text
from harness.report.values import Cell, Entry, GridColumn, Note
from harness.spec.table import Table
from harness.stats import grid, intervals
from harness.stats.location import paired_t
from harness.stats.multiple import LEVEL, holm, significant

CLOSE = 1e-9
"""Difference between a value and that of a constant answer that rounding can make."""

TIES = "Ties"
"""First word of the labels of the lines below a table."""

COLLAPSED = "collapsed"
CONSTANT = "equal to a constant answer"
ONE_SEED = "these trained models; one seed says nothing of methods"


def of_column(
    cells: Mapping[str, Cell], column: GridColumn, images: Images | None, *, subtable: str = ""
) -> Ties | None:
    """Test every pair of the complete rows of a column.

    Args:
        cells: the column's cells by row name, of rows that are ranked among one another.
        column: the column.
        images: gives the kept predictions of runs; None tests over seeds alone.
        subtable: title of the small table that the rows are.

    Returns:
        None for costs, which are not ranked, and where no row is complete.
    """
    complete = {name: cell for name, cell in cells.items() if cell.state == "complete"}
    if column.context.column.cost is not None or not complete:
        return None
    unranked = {
        name: why for name, cell in complete.items() if (why := _constant(cell, column)) is not None
    }
    ranked = {name: cell for name, cell in complete.items() if name not in unranked}
    runs = [entry for cell in ranked.values() for entry in cell.entries]
    evidence = images(column, runs) if images is not None and len(ranked) > 1 else None
    pairs = _pairs(ranked, column, evidence)
    seeds = tuple(entry.seed for entry in next(iter(complete.values())).entries)
    tested = evidence is not None and any(pair.images_p is not None for pair in pairs)
    between, within = _spreads(list(ranked.values()))
    return Ties(
        column=column.name,
        heading=column.heading,
        subtable=subtable,
        rows=tuple(ranked),
        unranked=unranked,
        pairs=pairs,
        seeds=seeds,
        images=evidence.n if evidence is not None and tested else None,
        groups=_groups(evidence) if tested else None,
        between=between,
        within=within,
        untested=sum(pair.images_p is None for pair in pairs),
        lacking=_lacking(ranked, evidence),
    )


def _constant(cell: Cell, column: GridColumn) -> str | None:
    """Return why a cell is not ranked: its models answer one thing, or as well as that."""
    if any(entry.collapsed for entry in cell.entries):
        return COLLAPSED
    context = column.context
    answers = [v for v in (context.majority, *context.constants.values()) if v is not None]
    if any(all(_is(entry.value, answer) for entry in cell.entries) for answer in answers):
        return CONSTANT
    return None


def _is(value: float | None, answer: float) -> bool:
    return value is not None and abs(value - answer) <= CLOSE


def _pairs(
    ranked: Mapping[str, Cell], column: GridColumn, evidence: ImageEvidence | None
) -> tuple[Pair, ...]:
    """Test every pair; a pair that cannot be tested counts as one that is equal."""
    names = list(itertools.combinations(ranked, 2))
    tests = []
    for first, second in names:
        entries = ranked[first].entries, ranked[second].entries
        images_p = None if evidence is None else evidence.p(*entries)
        tests.append((_over_seeds(*entries, column), images_p))
    ps = [_larger(*test) for test in tests]
    adjusted = holm([1.0 if p is None else p for p in ps])
    return tuple(
        _pair(pair, ranked, column, test, (p, corrected))
        for pair, test, p, corrected in zip(names, tests, ps, adjusted, strict=True)
    )


def _pair(
    names: tuple[str, str],
    ranked: Mapping[str, Cell],
    column: GridColumn,
    test: tuple[float | None, float | None],
    p: tuple[float | None, float],
) -> Pair:
    first, second = names
    difference = (ranked[first].value or 0.0) - (ranked[second].value or 0.0)
    higher, lower = (first, second) if difference > 0 else (second, first)
    winner = higher if column.metric.better == "higher" else lower
    return Pair(
        first=first,
        second=second,
        difference=difference,
        seeds_p=test[0],
        images_p=test[1],
        p=p[0],
        adjusted=p[1],
        better=winner if significant(p[1]) and difference else None,
    )


def _over_seeds(
    first: Sequence[Entry], second: Sequence[Entry], column: GridColumn
) -> float | None:
    """Return the p value of the paired t test over seeds; None with one seed."""
    if len(first) < 2:
        return None
    a, b = ({e.seed: e.value for e in runs if e.value is not None} for runs in (first, second))
    # Two shares of n images differ by a multiple of 1 / n, so that few seeds can differ alike by
    # chance; the standard error must not be zero then.
    metric = column.metric
    step = grid.step_of(metric.name, column.context.n, factor=metric.factor, digits=metric.digits)
    step /= metric.factor  # values of runs are in the metric's own unit
    least = grid.least_sd_of_differences(step, step)
    seeds = sorted(a)
    return paired_t([a[s] for s in seeds], [b[s] for s in seeds], least=least).p


def _larger(seeds_p: float | None, images_p: float | None) -> float | None:
    known = [p for p in (seeds_p, images_p) if p is not None]
    return max(known) if known else None


def _spreads(ranked: Sequence[Cell]) -> tuple[float | None, float | None]:
    """Return the standard deviations between rows and between seeds, in display units.

    One-way analysis of variance: the means of S seeds vary by within² / S even where all methods
    are the same, so that is taken off.
    """
    means = [cell.value for cell in ranked if cell.value is not None]
    sds = [cell.sd for cell in ranked]
    if len(means) < 2 or any(sd is None for sd in sds):
        return None, None
    within = math.fsum(sd * sd for sd in sds if sd is not None) / len(sds)
    chance = within / len(ranked[0].entries)
    between = max(0.0, intervals.sd(means) ** 2 - chance)
    return math.sqrt(between), math.sqrt(within)


def _groups(evidence: ImageEvidence | None) -> int | None:
    return None if evidence is None or evidence.clusters is None else evidence.units


def _lacking(
    ranked: Mapping[str, Cell], evidence: ImageEvidence | None
) -> dict[str, tuple[str, ...]]:
    """Return the rows whose predictions cannot be used, by the reason."""
    reasons: dict[str, tuple[str, ...]] = {}
    for name, cell in ranked.items():
        found = [] if evidence is None else [evidence.lacking.get(e.key) for e in cell.entries]
        for why in dict.fromkeys(why for why in found if why is not None):
            reasons[why] = (*reasons.get(why, ()), name)
    return reasons


def mark(cells: Mapping[str, Cell], ties: Ties | None) -> dict[str, Cell]:
    """Return the cells, by row name, with rank, open ranks and the remark that shows them."""
    marked = dict(cells)
    if ties is None or len(ties.rows) < 2:
        return marked
    told_apart = any(pair.better for pair in ties.pairs)
    for name in ties.rows:
        low, high = ties.place(name)
        remark = rank_text(low, high)
        cell = cells[name]
        marked[name] = replace(
            cell,
            rank="best" if name == ties.best else "second" if name == ties.second else None,
            ranks=(low, high),
            # Where nothing is separable, the note says so once instead of every cell.
            remarks=(*cell.remarks, remark) if told_apart else cell.remarks,
        )
    return marked


def notes(table: Table, found: Sequence[Ties], columns: Sequence[GridColumn]) -> tuple[Note, ...]:
    """Return one line per column and small table that has rows to compare."""
    labels = {row.name: same_run.label(table, row) for row in table.rows}
    digits = {column.name: column.metric.digits for column in columns}
    return tuple(
        Note(label=_label(ties), text=_text(ties, digits[ties.column], labels))
        for ties in found
        if len(ties.rows) > 1 or ties.unranked
    )


def _label(ties: Ties) -> str:
    where = f"{ties.subtable}, {ties.heading}" if ties.subtable else ties.heading
    return f"{TIES}, {where}"


def _text(ties: Ties, digits: int, labels: Mapping[str, str]) -> str:
    parts = []
    if len(ties.rows) > 1:
        apart = sum(pair.better is not None for pair in ties.pairs)
        rows = len(ties.rows)
        if apart:
            text = f"{apart} of {len(ties.pairs)} pairs of {rows} rows are separable"
        else:
            text = f"no two of {rows} rows are separable: rank 1–{rows} for each"
        parts.append(f"{text}{_tests(ties)}")
        if not ties.of_methods:
            parts.append(ONE_SEED)
        parts.append(_spread(ties, digits))
    if ties.untested:
        parts.append(_untested(ties, labels))
    if ties.unranked:
        listed = "; ".join(f"{labels[name]} ({why})" for name, why in ties.unranked.items())
        parts.append(f"not ranked: {listed}")
    return "; ".join(parts)


def _untested(ties: Ties, labels: Mapping[str, str]) -> str:
    text = "images were not resampled"
    if ties.untested < len(ties.pairs):
        text += f" for {ties.untested} of {len(ties.pairs)} pairs"
    reasons = [
        f"{', '.join(labels[name] for name in names)}: {why}" for why, names in ties.lacking.items()
    ]
    return f"{text} ({'; '.join(reasons) or 'no predictions are kept'})"


def _tests(ties: Ties) -> str:
    over = [f"{len(ties.seeds)} seeds"] if ties.of_methods else []
    if ties.images is not None:
        grouped = "" if ties.groups is None else f" in {ties.groups} groups"
        over.append(f"{ties.images} images{grouped}")
    return f" (paired over {' and over '.join(over)}; Holm, {LEVEL:g})" if over else ""


def _spread(ties: Ties, digits: int) -> str:
    if ties.between is None or ties.within is None:
        return "spread of methods over spread of seeds: unknown"
    between, within = (fixed(sd, digits) for sd in (ties.between, ties.within))
    ratio = "unknown, the seeds do not vary" if ties.ratio is None else fixed(ties.ratio, 1)
    return f"spread of methods over spread of seeds: {ratio} (sd {between} over {within})"
