"""Compare the cells that a page of verdicts is made from with the table beside it.

Values, collapsed runs, sizes and scale are those of the table's JSON file, which the records hold.
What is in no such file cannot be compared, and has to fit: a remark on missing predictions names
seeds that are finished, an interval over groups of images holds the value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from harness.data import registry as data_registry
from harness.report import check_table
from harness.report.check_table import Column, Entry, Table, equal
from harness.spec.costs import COSTS
from harness.stats import grid, intervals
from harness.verdict import facts
from harness.verdict.cell import Cell, Gathered, stated_images
from harness.verdict.collect import BASIS
from harness.verdict.constant import constant
from harness.verdict.values import Evidence, NamedSd

_SEEDS = re.compile(r"seed ([0-9]+(?:, [0-9]+)*): .")
"""Beginning of what is said of finished runs whose predictions are missing or do not fit."""

_NO_METHOD = "the row has no stages whose cost could be counted"


def differences(
    gathered: Gathered, table: Table, *, seeds: Sequence[int], narrowed: bool
) -> Iterator[str]:
    """Yield a line for each fact about a cell that the table contradicts.

    Args:
        gathered: the cells of the page.
        table: beside it.
        seeds: that the page shows; the table may have others.
        narrowed: whether the page is that of a part of the table.
    """
    columns = {column.name: column for column in table.columns}
    rows = {row.name: row for row in table.rows}
    for row in table.rows:
        for name, shown in row.cells.items():
            where = f"row {row.name}, column {name}"
            cell = gathered.cells.get((row.name, name))
            if cell is None and not narrowed:
                yield f"{where}: the table has this cell, the page's cells lack it"
            if cell is not None and shown.printed is not None and cell.evidence is None:
                yield f"{where}: the paper prints {shown.printed}, but it has no verdict"
    for (row_name, name), cell in gathered.cells.items():
        where = f"row {row_name}, column {name}"
        found = rows[row_name].cells.get(name) if row_name in rows else None
        if found is None or name not in columns:
            if cell.values and cell.evidence is None:
                yield f"{where}: the table has no such cell"
            continue
        yield from (
            f"{where}: {line}" for line in _cell(cell, found, columns[name], {*seeds}, gathered)
        )
    for name in dict.fromkeys(column for _, column in gathered.cells):
        if name in columns:
            yield from _scale(gathered, columns[name], table)


def own(gathered: Gathered) -> Iterator[str]:
    """Yield a line for each fact about a cell that other facts on the page contradict."""
    by_column: dict[str, list[Cell]] = {}
    for cell in gathered.cells.values():
        by_column.setdefault(cell.column.name, []).append(cell)
    for name, cells in by_column.items():
        # Rows without an answer have no values, and none that has one of several is left out.
        pooled = facts.pooled(name, [[*cell.values.values()] for cell in cells])
        for cell in cells:
            yield from (
                f"row {cell.row.name}, column {name}: {line}"
                for line in _own(cell, pooled, gathered.scale.get(name, ()))
            )


def _own(cell: Cell, pooled: NamedSd | None, scale: Sequence[str]) -> Iterator[str]:
    runs, evidence = len(cell.values), cell.evidence
    if cell.absent and runs:
        yield f"it says {cell.absent!r}, and has {runs} values"
    if not (cell.absent or runs or cell.lacking or cell.column.cost):
        yield "it has no values, and says of no run why"
    if cell.collapsed > runs:
        yield f"{cell.collapsed} of {runs} runs are said to collapse"
    if evidence is None:
        return
    for what, (stated, expected) in _copied(evidence, cell).items():
        if not equal(stated, expected):
            yield f"{what} is {stated!r}, its cell gives {expected!r}"
    if cell.column.cost is None:
        if not _same_sd(evidence.sd, pooled):
            yield f"the spread of other rows is {evidence.sd!r}, their values give {pooled!r}"
        yield from _foreign(evidence, scale)
        yield from _share(evidence, cell)


def _copied(evidence: Evidence, cell: Cell) -> dict[str, tuple[object, object]]:
    """Return what is stated of a published number, with what its cell gives."""
    facts_of: dict[str, tuple[object, object]] = {
        "values": (evidence.values, tuple(cell.values.values())),
        "seeds": (evidence.seeds, tuple(cell.values)),
        "margin": (evidence.margin, cell.margin),
        "basis": (evidence.basis, BASIS),
        "step": (evidence.step, cell.step),
    }
    if cell.column.cost is not None:
        return facts_of | _of_cost(evidence, cell)
    return facts_of | {
        "collapsed": (evidence.collapsed, cell.collapsed),
        "absent": (evidence.absent, cell.absent),
        "lacking": (evidence.lacking, cell.lacking),
        "counted": (evidence.counted, None),
        "step, by its images": (cell.step, _step(cell, evidence)),
    }


def _step(cell: Cell, evidence: Evidence) -> float:
    metric = cell.metric
    return grid.step_of(metric.name, evidence.n, factor=metric.factor, digits=metric.digits)


def _same_sd(stated: NamedSd | None, expected: NamedSd | None) -> bool:
    if stated is None or expected is None:
        return stated is expected
    return stated.source == expected.source and equal(stated.value, expected.value)


def _foreign(evidence: Evidence, scale: Sequence[str]) -> Iterator[str]:
    """Yield that a number is kept from comparison by something that is not so."""
    other = facts.other_images(evidence.n, evidence.printed_n)
    common = tuple(text for text in scale if not text.startswith("evaluated on "))
    # Of data that are not prepared the number of images is not known.
    if evidence.foreign not in ((*common, *other), common if evidence.absent else None):
        yield (
            f"not the paper's is {list(evidence.foreign)}, its column's scale gives"
            f" {[*common, *other]}"
        )


def _share(evidence: Evidence, cell: Cell) -> Iterator[str]:
    """Yield what is wrong of a number as a share of images."""
    counted = cell.metric.name == "accuracy"
    if evidence.is_share != (counted and evidence.printed.exact_decimals):
        yield f"it is{'' if evidence.is_share else ' not'} taken as a share of images"
    if evidence.constants and not counted:
        yield "it has constant answers, but is no accuracy"
    if evidence.printed.images is not None and evidence.printed_n != evidence.printed.images:
        yield (
            f"published on {evidence.printed_n} images, the number says {evidence.printed.images}"
        )
    between, values = evidence.between_images, evidence.values
    if between is None:
        return
    known = (
        intervals.wilson(round(values[0] * evidence.n / 100), evidence.n)
        if (counted and values and evidence.n)
        else None
    )
    wilson = known is not None and equal(
        (between.low, between.high), (100 * known.low, 100 * known.high)
    )
    # Over groups of images it needs their numbers, which no page holds; the value lies inside.
    inside = any(between.low <= value <= between.high for value in values[:1])
    if not (wilson or (inside and math.isfinite(between.high - between.low))):
        yield f"the interval of images [{between.low}, {between.high}] is not of its value"


def _of_cost(evidence: Evidence, cell: Cell) -> dict[str, tuple[object, object]]:
    """Return what is stated of a published cost, with what its cell gives."""
    plain = Evidence(
        printed=evidence.printed,
        values=evidence.values,
        seeds=evidence.seeds,
        margin=evidence.margin,
        basis=evidence.basis,
        step=evidence.step,
    )
    expected = facts.of_cost(plain, cell)
    names = ("counted", "absent", "foreign", "collapsed", "lacking", "sd", "is_share", "constants")
    return {name: (getattr(evidence, name), getattr(expected, name)) for name in names}


def _cell(
    cell: Cell, found: check_table.Cell, column: Column, seeds: set[int], gathered: Gathered
) -> Iterator[str]:
    """Yield what a cell of the table contradicts."""
    facts_of: dict[str, tuple[object, object]] = {
        "metric": (cell.metric.name, column.metric),
        "data set": (cell.column.dataset, column.asked_for),
    }
    evidence = cell.evidence
    printed = None if evidence is None else evidence.printed.value
    facts_of["published number"] = printed, found.printed
    if cell.metric.name in COSTS:
        if cell.counted is not None:
            facts_of["cost"] = cell.counted, found.value
        elif evidence is not None and evidence.absent == _NO_METHOD:
            facts_of["cost"] = None, found.value
    else:
        done = [e for e in found.seeds if e.status == "done" and e.seed in seeds]
        valued = [e for e in done if e.value is not None]
        facts_of["factor"] = cell.metric.factor, column.factor
        facts_of["digits"] = cell.metric.digits, column.digits
        if evidence is None:  # those of published numbers are compared by themselves
            facts_of["values"] = dict(cell.values), {e.seed: e.value for e in valued}
        facts_of["collapsed runs"] = cell.collapsed, sum(e.collapsed for e in valued)
        facts_of["runs of other sources"] = cell.stale, sum(e.stale for e in valued)
        facts_of["whether a run is finished"] = not cell.absent, bool(done)
        yield from _lacking(cell, done, valued)
        if evidence is not None:
            n = column.n or next((e.n for e in valued if e.n), None)
            facts_of["images"] = evidence.n, n
            if evidence.printed.images is None and column.printed_n is not None:
                facts_of["published images"] = evidence.printed_n, column.printed_n
            yield from _constants(cell, evidence, column, gathered)
    for what, (stated, expected) in facts_of.items():
        if isinstance(stated, dict) and isinstance(expected, dict):
            same = stated.keys() == expected.keys() and all(
                equal(stated[key], expected[key]) for key in stated
            )
        else:
            same = equal(stated, expected)
        if not same:
            yield f"{what} is {stated!r}, the table says {expected!r}"


def _lacking(cell: Cell, done: Sequence[Entry], valued: Sequence[Entry]) -> Iterator[str]:
    known = next((e.lacking for e in done if e.lacking), "")
    if known and cell.lacking != known:
        yield f"lacking is {cell.lacking!r}, the table says {known!r}"
    if known or not cell.lacking:
        return
    found = _SEEDS.match(cell.lacking)
    finished = {str(e.seed) for e in done}
    if found is None or not {*found[1].split(", ")} <= finished:
        yield f"lacking is {cell.lacking!r}, which names no finished run of the table"


def _constants(cell: Cell, evidence: Evidence, column: Column, gathered: Gathered) -> Iterator[str]:
    """Yield constant answers that are not those of a data set that ships."""
    dataset = data_registry.shipped().get(column.asked_for)
    if dataset is None or cell.metric.name != "accuracy":
        return
    answer = constant(dataset) if sum(dataset.counts) else None
    images = evidence.printed.images
    expected: set[int] = set()
    if answer is not None and images in (None, dataset.sizes.get("eval")):
        expected = {*answer.counts}
    stated = {*evidence.constants}
    # That of our own division of the same size is added where it is not official.
    own = bool(expected) and answer is not None and not answer.official and evidence.n == answer.n
    if not (expected <= stated and len(stated - expected) <= own):
        yield f"constant answers are {sorted(stated)}, the data set gives {sorted(expected)}"


def _scale(gathered: Gathered, column: Column, table: Table) -> Iterator[str]:
    """Yield that a column's scale is not what the table says of it."""
    expected = facts.scale(
        used=column.dataset,
        asked=column.asked_for,
        profile=table.context.profile,
        split=column.split,
        overrides=table.context.overrides,
    )
    own_column = next(c for c in gathered.table.columns if c.name == column.name)
    of_images = stated_images(gathered.table, own_column)
    images = facts.other_images(column.n, of_images or column.printed_n)
    stated = gathered.scale.get(column.name, ())
    if stated != (*expected, *images):
        yield (
            f"column {column.name}: not the paper's is {list(stated)}, the table gives"
            f" {[*expected, *images]}"
        )
    metric = COSTS.get(column.metric)
    if metric is not None:
        sizes = facts.own_size(metric, table.context.profile, table.context.overrides)
        for (row, name), cell in gathered.cells.items():
            if name == column.name and cell.own_size != sizes:
                yield f"row {row}, column {name}: its size is {list(cell.own_size)}, not {sizes}"
