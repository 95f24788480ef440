"""Figure 6: accuracy with and without masks in fine-tuning, of rows that differ in these alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.canonical import digest
from harness.figures.values import Cell, Drawing, Made, Missing, Request, facts, file_name
from harness.figures.values import caption as caption_of
from harness.plan.plan import Plan
from harness.report import fold, looks, style
from harness.report.looks import Look
from harness.report.style import Style
from harness.spec.recipe import Stage
from harness.spec.table import Column, Row
from harness.stats import intervals
from harness.verdict.collect import Cell as Number
from harness.verdict.collect import collect

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two rows with the same pre-training, on one data set.

    Attributes:
        title: of the data set.
        column: the column that is shown.
        without, having: the row without masks in fine-tuning, and the one with them.
        looks: of both.
    """

    title: str
    column: Column
    without: Number
    having: Number
    looks: tuple[Look, Look]

    @property
    def sides(self) -> tuple[tuple[bool, Number], ...]:
        """Both rows, each with whether it has masks."""
        return ((False, self.without), (True, self.having))


def make(request: Request) -> Made:
    """Yield one figure of all pairs of rows on all data sets."""
    matched = pairs(request.plan)
    if not matched:
        yield Missing(
            name="6",
            why=f"{request.plan.name} has no two rows that differ in the masks of fine-tuning"
            " alone; table3 has: run `harness run table3` and `harness figures table3`",
        )
        return
    collected = collect(request.plan)
    look = looks.of_table(request.plan.whole)
    shown = []
    for column in request.plan.columns:
        if column.column.cost is not None or column.column.probe is not None:
            continue
        title = (
            f"{column.asked.title} ({column.used.name})"
            if column.phantom
            else (column.column.title or column.asked.title)
        )
        for first, second in matched:
            cells = [collected.cells[row.name, column.column.name] for row in (first, second)]
            if all(any(map(style.drawable, cell.values.values())) for cell in cells):
                shown.append(
                    Pair(
                        title=title,
                        column=column.column,
                        without=cells[0],
                        having=cells[1],
                        looks=(look[first.name], look[second.name]),
                    )
                )
    if not shown:
        yield Missing(name="6", why=f"no finished pair of rows; run `{request.again}`")
        return
    metrics = dict.fromkeys(pair.without.metric.title for pair in shown)
    sides = [cell for pair in shown for _, cell in pair.sides]
    published = any(_paper(cell) is not None for cell in sides)
    left_out = sum(not style.drawable(v) for cell in sides for v in cell.values.values())
    yield Drawing(
        name=file_name(request, "figure6"),
        caption=caption_of(
            request,
            f"{' and '.join(metrics)} with and without masks (SAM) in fine-tuning",
            (
                "Points: single seeds, open without masks and filled with them; lines: their mean;"
                " bars: Student's 95 % interval, with two seeds or more, an arrow where it leaves"
                " what is shown.",
                "Open diamonds: the paper's number." if published else "",
                style.left_out(left_out),
                f"Data: {', '.join(dict.fromkeys(pair.title for pair in shown))}.",
            ),
            paper="Figure 6",
        ),
        data={**facts(request), "pairs": [_values(pair) for pair in shown]},
        rows=tuple(_rows(shown)),
        draw=lambda how: draw(shown, how),
    )


def pairs(plan: Plan) -> list[tuple[Row, Row]]:
    """Return the rows without and with masks in fine-tuning whose stages before it are equal."""
    by_before: dict[str, dict[bool, Row]] = {}
    for row in plan.table.rows:
        chain = plan.chains.get(row.name, ())
        if len(chain) < 2:
            continue
        masks = masks_in(chain[-1])
        if masks is not None:
            # Rows of released code change more than the masks: their order of images, for one.
            before = digest([*chain[:-1], chain[-1].recipe])
            by_before.setdefault(before, {}).setdefault(masks, row)
    return [(both[False], both[True]) for both in by_before.values() if len(both) == 2]


def masks_in(stage: Stage) -> bool | None:
    """Whether a stage drops patches by masks; None for methods that have no such setting."""
    masks = getattr(stage.method, "masks", None)
    return masks if isinstance(masks, bool) else None


def _values(pair: Pair) -> dict[str, object]:
    return {
        "dataset": pair.column.dataset,
        "column": pair.column.name,
        "metric": pair.without.metric.name,
        "rows": [
            {
                "row": cell.row.name,
                "label": cell.row.label,
                "masks": masks,
                "seeds": list(cell.values),
                "values": list(cell.values.values()),
                "paper": _paper(cell),
            }
            for masks, cell in pair.sides
        ],
    }


def _paper(cell: Number) -> float | None:
    printed = None if cell.evidence is None else cell.evidence.printed.value
    return printed if printed is not None and style.drawable(printed) else None


def _rows(shown: Sequence[Pair]) -> Iterator[dict[str, Cell]]:
    for pair in shown:
        for masks, cell in pair.sides:
            for seed, value in cell.values.items():
                yield {
                    "column": pair.column.name,
                    "row": cell.row.name,
                    "masks": masks,
                    "seed": seed,
                    "value": value,
                    "paper": _paper(cell),
                }


def draw(shown: Sequence[Pair], how: Style) -> Figure:
    """Draw a panel per column, and in it two columns of points per pair of rows."""
    columns = list(dict.fromkeys(pair.column for pair in shown))
    most = max(sum(pair.column == column for pair in shown) for column in columns)
    across = max(1, min(len(columns), int(how.width / (0.5 + 0.5 * most))))
    down = -(-len(columns) // across)
    room = how.width / across - 0.45
    letters = max(5, round(14 * room / most))
    labels = {
        f"{p.without.row.name} / {p.having.row.name}": (
            f"{p.without.row.label} / {p.having.row.label}"
        )
        for p in shown
    }
    folded = fold.all_folded(list(labels.values()), letters, 4, names=list(labels))
    names = dict(zip(labels, folded, strict=True))
    tallest = max(name.count("\n") + 1 for name in folded)
    figure = style.new(how, (1.6 + 0.12 * tallest) * down + 0.2)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for number, (column, axis) in enumerate(zip(columns, axes, strict=False)):
        here = [pair for pair in shown if pair.column == column]
        _panel(axis, here)
        axis.set_title(fold.folded(here[0].title, round(12.5 * room), 3))
        axis.set_xticklabels([names[f"{p.without.row.name} / {p.having.row.name}"] for p in here])
        metric = here[0].without.metric.title
        if number % across == 0 or metric != shown[0].without.metric.title:
            axis.set_ylabel(metric)
    for axis in axes[len(columns) :]:
        axis.set_axis_off()
    _legend(figure, published=any(_paper(cell) is not None for p in shown for _, cell in p.sides))
    return figure


def _legend(figure: Figure, *, published: bool) -> None:
    """Say below what open and filled points are; their shapes and colours are those of rows."""
    from matplotlib.lines import Line2D

    def point(shape: str, colour: str, fill: str) -> Line2D:
        return Line2D([], [], marker=shape, color=colour, linestyle="", fillstyle=fill)  # type: ignore[arg-type]

    handles = [point("o", style.NEUTRAL, "none"), point("o", style.NEUTRAL, "full")]
    names = ["without masks", "with masks"]
    if published:
        handles.append(point("D", "black", "none"))
        names.append("paper")
    figure.legend(handles, names, loc="outside lower center", ncols=3, columnspacing=1.0)


def _panel(axis: Axes, shown: Sequence[Pair]) -> None:
    ends = [
        v for pair in shown for _, cell in pair.sides for v in (*_values_of(cell), _paper(cell))
    ]
    drawn = [v for v in ends if v is not None]
    space = 0.35 * (max(drawn) - min(drawn)) or 0.05 * abs(drawn[0]) or 1.0
    low, high = min(drawn) - space, max(drawn) + space
    metric = shown[0].without.metric
    if "%" in metric.title and min(drawn) >= 0 and max(drawn) <= metric.factor:
        low, high = max(low, 0.0), min(high, metric.factor)
    for number, pair in enumerate(shown):
        for look, (masks, cell) in zip(pair.looks, pair.sides, strict=True):
            x = number + (0.17 if masks else -0.17)
            _column(axis, x, cell, look, filled=masks, limits=(low, high))
            if (paper := _paper(cell)) is not None:
                axis.plot([x], [paper], "D", color="black", fillstyle="none", markersize=4)
    axis.set_xticks(range(len(shown)))
    axis.set(xlim=(-0.5, len(shown) - 0.5), ylim=(low, high))
    axis.grid(visible=True, axis="y")


def _column(
    axis: Axes, x: float, cell: Number, look: Look, *, filled: bool, limits: tuple[float, float]
) -> None:
    """Draw the values of a row with their mean and interval, beside the seeds' points."""
    values = _values_of(cell)
    mean = intervals.mean(values)
    axis.plot([x - 0.09, x + 0.09], [mean, mean], color=look.colour, linewidth=1.6)
    if len(values) > 1:
        interval = intervals.t_interval(values)
        ends = [max(interval.low, limits[0]), min(interval.high, limits[1])]
        axis.plot([x, x], ends, color=look.colour, linewidth=0.8)
        beyond = [
            *([(limits[0], "v")] if interval.low < limits[0] else []),
            *([(limits[1], "^")] if interval.high > limits[1] else []),
        ]
        for end, arrow in beyond:
            axis.plot([x], [end], arrow, color=look.colour, markersize=3, clip_on=False)
    axis.plot(
        [x + 0.13] * len(values),
        values,
        look.marker,
        color=look.colour,
        markersize=3.2,
        markeredgewidth=0.7,
        fillstyle="full" if filled else "none",
        clip_on=False,
    )


def _values_of(cell: Number) -> list[float]:
    return [value for value in cell.values.values() if style.drawable(value)]
