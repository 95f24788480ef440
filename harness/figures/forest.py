"""Forest plot: every number of a table with its interval, beside the paper's and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.figures.values import Cell as CsvCell
from harness.figures.values import Drawing, Made, Missing, Request, facts, file_name
from harness.figures.values import caption as caption_of
from harness.report import style
from harness.report.style import Style
from harness.stats import intervals
from harness.stats.intervals import Interval
from harness.verdict.collect import Cell
from harness.verdict.table import TableVerdict, judge_plan
from harness.verdict.values import MEANINGS, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEM = "forest"

LINE, HEAD = 0.19, 0.62
"""Heights in inches of a row, and of a column's title and axis."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A row in a column, in the units of the table.

    Attributes:
        row, label: of the table.
        seeds: of ours.
        values: ours by seed, in their order.
        mean: of ours; None without a run.
        interval: Student's 95 % interval of the mean, with two or more.
        paper: the published number; None where there is none.
        verdict: on it; "" without one.
    """

    row: str
    label: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float | None
    interval: Interval | None
    paper: float | None
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Block:
    """A column with its rows."""

    column: str
    title: str
    items: tuple[Item, ...]


def make(request: Request) -> Made:
    """Yield the forest plot of a table."""
    verdict = judge_plan(request.plan)
    shown = blocks(verdict)
    if not shown:
        yield Missing(
            name=STEM,
            why=f"no finished run and no published number; run `{request.again}`",
        )
        return
    words = [item.verdict.partition(" (")[0] for b in shown for item in b.items]
    known = {word for word in words if word in MEANINGS}
    meanings = [f"{word}: {text}" for word, text in MEANINGS.items() if word in known]
    published = any(item.paper is not None for b in shown for item in b.items)
    yield Drawing(
        name=file_name(request, STEM),
        caption=caption_of(
            request,
            f"Every number of {request.plan.name}: {request.plan.table.title}",
            (
                "Dots: mean over the seeds; bars: Student's 95 % interval of the mean, with two"
                " seeds or more; small dots: single seeds.",
                "Open diamonds: the paper's number." if published else "",
                f"Words: {'; '.join(meanings)}." if meanings else "",
            ),
        ),
        data={**facts(request), "columns": [_values(block) for block in shown]},
        rows=tuple(_row(block, item) for block in shown for item in block.items),
        draw=lambda how: draw(shown, how),
    )


def blocks(verdict: TableVerdict) -> tuple[Block, ...]:
    """Return the columns that have a number of ours or the paper's, with these rows."""
    judged = {cell.name: one for cell, one in verdict.numbers}
    collected, plan = verdict.collected, verdict.plan
    found = []
    for column in plan.columns:
        items = []
        for row in plan.table.rows:
            cell = collected.cells[row.name, column.column.name]
            item = _item(cell, judged.get(cell.name))
            if item.mean is not None or item.paper is not None:
                items.append(item)
        if items:
            title = column.column.title or column.asked.title
            if column.phantom:
                title += f" ({column.used.name})"
            unit = collected.cells[plan.table.rows[0].name, column.column.name].metric.title
            found.append(
                Block(column=column.column.name, title=f"{title}: {unit}", items=tuple(items))
            )
    return tuple(found)


def _item(cell: Cell, verdict: Verdict | None) -> Item:
    values = tuple(cell.values.values())
    if not values and cell.counted is not None:
        values = (cell.counted,)
    return Item(
        row=cell.row.name,
        label=cell.row.label,
        seeds=tuple(cell.values),
        values=values,
        mean=intervals.mean(values) if values else None,
        interval=intervals.t_interval(values) if len(values) > 1 else None,
        paper=None if verdict is None else verdict.evidence.printed.value,
        verdict="" if verdict is None else verdict.text,
    )


def _values(block: Block) -> dict[str, object]:
    return {
        "column": block.column,
        "title": block.title,
        "rows": [
            {
                "row": item.row,
                "label": item.label,
                "seeds": list(item.seeds),
                "values": list(item.values),
                "mean": item.mean,
                "interval": item.interval and [item.interval.low, item.interval.high],
                "paper": item.paper,
                "verdict": item.verdict or None,
            }
            for item in block.items
        ],
    }


def _row(block: Block, item: Item) -> dict[str, CsvCell]:
    return {
        "column": block.column,
        "row": item.row,
        "label": item.label,
        "seeds": len(item.values),
        "mean": item.mean,
        "low": item.interval.low if item.interval else None,
        "high": item.interval.high if item.interval else None,
        "paper": item.paper,
        "verdict": item.verdict or None,
    }


def draw(shown: Sequence[Block], how: Style) -> Figure:
    """Draw the columns below one another; rows from top to bottom."""
    folds = 18 if how.width < 5 else 40
    heights = [HEAD + LINE * sum(_lines(item, folds) for item in block.items) for block in shown]
    figure = style.new(how, sum(heights))
    axes = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
    for block, axis in zip(shown, axes, strict=True):
        _block(axis, block, folds, round(13 * how.width))
    return figure


def _lines(item: Item, folds: int) -> int:
    return max(1, style.folded(item.label, folds, 2).count("\n") + 1)


def _block(axis: Axes, block: Block, folds: int, width: int) -> None:
    places, place = [], 0.0
    for item in block.items:
        high = _lines(item, folds)
        places.append(place + high / 2)
        place += high
    for item, y in zip(block.items, places, strict=True):
        if item.interval is not None:
            axis.plot([item.interval.low, item.interval.high], [y, y], color=style.PALETTE[0])
        if len(item.values) > 1:
            axis.plot(
                item.values,
                [y] * len(item.values),
                "o",
                color=style.PALETTE[0],
                alpha=0.4,
                markersize=2,
                markeredgewidth=0,
            )
        if item.mean is not None:
            axis.plot([item.mean], [y], "o", color=style.PALETTE[0], markersize=4)
        if item.paper is not None:
            axis.plot(
                [item.paper], [y], "D", color=style.PALETTE[1], markersize=4, fillstyle="none"
            )
        axis.axhline(y, color=style.FAINT, linewidth=0.4, zorder=0)
        if item.verdict:
            axis.text(
                1.02,
                y,
                item.verdict,
                transform=axis.get_yaxis_transform(),
                va="center",
                fontsize=6.5,
                color=style.NEUTRAL,
            )
    axis.set(ylim=(place, 0), yticks=places)
    axis.set_yticklabels([style.folded(item.label, folds, 2) for item in block.items])
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.margins(x=0.06)
    axis.set_title(style.folded(block.title, width, 2), loc="left")
    axis.locator_params(axis="x", nbins=5)
