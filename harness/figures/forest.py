"""Forest plot: every number of a table with its interval, beside the paper's and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.figures.values import Cell as CsvCell
from harness.figures.values import Drawing, Made, Missing, Request, facts, file_name
from harness.figures.values import caption as caption_of
from harness.report import fold, looks, style
from harness.report.looks import Look
from harness.report.style import Style
from harness.spec.quantity import Quantity
from harness.stats import intervals
from harness.stats.intervals import Interval
from harness.verdict.collect import Cell
from harness.verdict.table import TableVerdict, judge_plan
from harness.verdict.values import MEANINGS, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEM = "forest"

LINE, HEAD, TITLE = 0.19, 0.36, 0.14
"""Heights in inches of a line of a row, of a column's axis, and of a line of its title."""

WIDE = 5.0
"""Width in inches from which verdicts stand in one line."""

SHARE = 100.0
"""Factor of metrics that are shares in percent, and the most that they can be."""

SEEDS = 0.3
"""How far below a row's mean its single seeds are, in lines."""


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
        look: of the row.
    """

    row: str
    label: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float | None
    interval: Interval | None
    paper: float | None
    verdict: str
    look: Look


@dataclass(frozen=True, kw_only=True)
class Block:
    """A column with its rows.

    Attributes:
        column: its name.
        title: its data set and metric.
        items: its rows.
        least, most: values that its metric can have; infinite where it has no bound.
        left_out: values of ours that cannot be drawn.
    """

    column: str
    title: str
    items: tuple[Item, ...]
    least: float = -math.inf
    most: float = math.inf
    left_out: int = 0


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
    left_out = style.left_out(sum(block.left_out for block in shown))
    if left_out:
        yield Missing(name=STEM, why=left_out.rstrip("."))
    yield Drawing(
        name=file_name(request, STEM),
        caption=caption_of(
            request,
            f"Every number of {request.plan.name}: {request.plan.table.title}",
            (
                "Large points: mean over the seeds; bars: Student's 95 % interval of the mean, with"
                " two seeds or more, an arrow where it leaves the metric's range; small points"
                " below: single seeds.",
                "Open diamonds: the paper's number." if published else "",
                f"Words: {'; '.join(meanings)}." if meanings else "",
                left_out,
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
    look = looks.of_table(plan.whole)
    found = []
    for column in plan.columns:
        items, left_out = [], 0
        for row in plan.table.rows:
            cell = collected.cells[row.name, column.column.name]
            item = _item(cell, judged.get(cell.name), look[row.name])
            left_out += sum(not style.drawable(value) for value in cell.values.values())
            if item.mean is not None or item.paper is not None:
                items.append(item)
        if items:
            title = column.column.title or column.asked.title
            if column.phantom:
                title += f" ({column.used.name})"
            metric = collected.cells[plan.table.rows[0].name, column.column.name].metric
            least, most = _range(metric, items)
            found.append(
                Block(
                    column=column.column.name,
                    title=f"{title}: {metric.title}",
                    items=tuple(items),
                    least=least,
                    most=most,
                    left_out=left_out,
                )
            )
    return tuple(found)


def _range(metric: Quantity, items: Sequence[Item]) -> tuple[float, float]:
    """Return the values that a metric can have, unless some of a user's own lie beyond."""
    values = [v for item in items for v in (*item.values, item.paper) if v is not None]
    if metric.factor == SHARE and "%" in metric.title:
        least, most = 0.0, SHARE
    elif "kappa" in metric.name:
        least, most = -1.0, 1.0
    else:
        least, most = (0.0 if metric.better == "lower" else -math.inf), math.inf
    inside = all(least <= value <= most for value in values)
    return (least, most) if inside else (-math.inf, math.inf)


def _item(cell: Cell, verdict: Verdict | None, look: Look) -> Item:
    printed = None if verdict is None else verdict.evidence.printed.value
    every = {seed: value for seed, value in cell.values.items() if style.drawable(value)}
    values = tuple(every.values())
    if not values and cell.counted is not None:
        values = (cell.counted,)
    return Item(
        row=cell.row.name,
        label=cell.row.label,
        seeds=tuple(every),
        values=values,
        mean=intervals.mean(values) if values else None,
        interval=intervals.t_interval(values) if len(values) > 1 else None,
        paper=printed if printed is not None and style.drawable(printed) else None,
        verdict="" if verdict is None else verdict.text,
        look=look,
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
    letters, said = (round(5.5 * how.width), 13) if how.width < WIDE else (40, 40)
    titles = [fold.folded(block.title, round(12.5 * how.width), 3) for block in shown]
    texts = [_texts(block, letters, said) for block in shown]
    heights = [
        HEAD + TITLE * _lines(title) + LINE * sum(max(map(_lines, pair)) for pair in pairs)
        for title, pairs in zip(titles, texts, strict=True)
    ]
    beside = max(_inches(name) for pairs in texts for name, _ in pairs) + max(
        _inches(verdict) for pairs in texts for _, verdict in pairs
    )
    figure = style.new(how, sum(heights))
    axes = list(figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0])
    for block, pairs, axis in zip(shown, texts, axes, strict=True):
        _block(axis, block, pairs)
        # A number on the axis takes up to half an inch.
        bins = max(1, min(5, int((how.width - beside) / 0.45)))
        axis.locator_params(axis="x", nbins=bins, min_n_ticks=1)
    _head(figure, axes, titles)
    return figure


def _texts(block: Block, letters: int, said: int) -> list[tuple[str, str]]:
    """Return the name of each row and its verdict, folded."""
    names = fold.all_folded(
        [item.label for item in block.items], letters, 2, names=[item.row for item in block.items]
    )
    verdicts = [fold.folded(item.verdict, said, 2) for item in block.items]
    return list(zip(names, verdicts, strict=True))


def _inches(text: str) -> float:
    return max(fold.width(line, 7) for line in text.split("\n"))


def _lines(text: str) -> int:
    return text.count("\n") + 1


def _head(figure: Figure, axes: Sequence[Axes], titles: Sequence[str]) -> None:
    """Write titles from the left edge of the figure on: the axes are often narrower."""
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, loc="left")  # its height is part of the layout, its width is not
    figure.canvas.draw()
    figure.set_layout_engine("none")  # it would make room for where a title begins
    for axis, title in zip(axes, titles, strict=True):
        frame = axis.get_position()
        axis.set_title(title, loc="left", x=(0.01 - frame.x0) / frame.width)


def _block(axis: Axes, block: Block, texts: Sequence[tuple[str, str]]) -> None:
    places, place = [], 0.0
    for pair in texts:
        lines = max(map(_lines, pair))
        places.append(place + lines / 2)
        place += lines
    low, high = _limits(block)
    axis.set(xlim=(low, high), ylim=(place, 0), yticks=places)
    for item, y, (_, verdict) in zip(block.items, places, texts, strict=True):
        _ours(axis, item, y, (low, high))
        if item.paper is not None:
            axis.plot(
                [item.paper], [y], "D", color="black", markersize=4, fillstyle="none", clip_on=False
            )
        axis.axhline(y, color=style.FAINT, linewidth=0.4, zorder=0)
        if verdict:
            axis.text(
                1.06,
                y,
                verdict,
                transform=axis.get_yaxis_transform(),
                va="center",
                fontsize=6.5,
                color=style.NEUTRAL,
            )
    axis.set_yticklabels([name for name, _ in texts])
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _ours(axis: Axes, item: Item, y: float, limits: tuple[float, float]) -> None:
    """Draw the mean of a row with its interval, and its single seeds below it."""
    colour = item.look.colour
    if item.interval is not None:
        ends = (max(item.interval.low, limits[0]), min(item.interval.high, limits[1]))
        axis.plot(ends, [y, y], color=colour, linewidth=1.0, zorder=2)
        for end, beyond, arrow in (
            (limits[0], item.interval.low < limits[0], "<"),
            (limits[1], item.interval.high > limits[1], ">"),
        ):
            if beyond:
                axis.plot([end], [y], arrow, color=colour, markersize=3.5, clip_on=False)
    if len(item.values) > 1:
        axis.plot(
            item.values,
            [y + SEEDS] * len(item.values),
            item.look.marker,
            color=colour,
            markersize=2.2,
            markeredgewidth=0,
            clip_on=False,
        )
    if item.mean is not None:
        axis.plot([item.mean], [y], item.look.marker, color=colour, markersize=4.2, clip_on=False)


def _limits(block: Block) -> tuple[float, float]:
    """Return the ends of a column's axis: of all that is drawn, within the metric's range."""
    ends = [v for item in block.items for v in (*item.values, item.paper) if v is not None]
    ends += [v for i in block.items if i.interval for v in (i.interval.low, i.interval.high)]
    ends = [min(max(value, block.least), block.most) for value in ends if style.drawable(value)]
    low, high = min(ends), max(ends)
    space = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return max(low - space, block.least), min(high + space, block.most)
