"""Figure 6: accuracy with and without masks in fine-tuning, of rows that differ in these alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.canonical import digest
from harness.figures.values import Cell, Drawing, Made, Missing, Request, facts, file_name
from harness.figures.values import caption as caption_of
from harness.plan.plan import Plan
from harness.report import style
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
    """

    title: str
    column: Column
    without: Number
    having: Number

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
            if all(cell.values for cell in cells):
                shown.append(
                    Pair(title=title, column=column.column, without=cells[0], having=cells[1])
                )
    if not shown:
        yield Missing(name="6", why=f"no finished pair of rows; run `{request.again}`")
        return
    metric = shown[0].without.metric.title
    yield Drawing(
        name=file_name(request, "figure6"),
        caption=caption_of(
            request,
            f"{metric} with and without masks (SAM) in fine-tuning",
            (
                "Dots: single seeds; lines: their mean; bars: Student's 95 % interval, with two"
                " seeds or more. Open diamonds: the paper's number, where it prints one.",
                f"Data: {', '.join(dict.fromkeys(pair.title for pair in shown))}.",
            ),
            paper="Figure 6",
        ),
        data={**facts(request), "pairs": [_values(pair) for pair in shown]},
        rows=tuple(_rows(shown)),
        draw=lambda how: draw(shown, metric, how),
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
    return None if cell.evidence is None else cell.evidence.printed.value


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


def draw(shown: Sequence[Pair], metric: str, how: Style) -> Figure:
    """Draw a panel per data set, and in it two columns of dots per pair of rows."""
    titles = list(dict.fromkeys(pair.title for pair in shown))
    across = max(1, min(len(titles), round(how.width / 1.5)))
    down = -(-len(titles) // across)
    figure = style.new(how, 1.9 * down + 0.2)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for title, axis in zip(titles, axes, strict=False):
        of_title = [pair for pair in shown if pair.title == title]
        _panel(axis, of_title, round(16 * how.width / across))
        axis.set_ylabel(metric)
    for axis in axes[len(titles) :]:
        axis.set_axis_off()
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3)
    return figure


def _panel(axis: Axes, shown: Sequence[Pair], width: int) -> None:
    for number, pair in enumerate(shown):
        for masks, cell in pair.sides:
            x = number + (0.17 if masks else -0.17)
            colour = style.colour(int(masks))
            values = list(cell.values.values())
            mean = intervals.mean(values)
            label = ("with masks" if masks else "without masks") if number == 0 else None
            axis.plot(
                [x] * len(values),
                values,
                style.marker(int(masks)),
                color=colour,
                alpha=0.5,
                markersize=3,
                markeredgewidth=0,
                label=label,
            )
            axis.plot([x - 0.09, x + 0.09], [mean, mean], color=colour, linewidth=1.6)
            if len(values) > 1:
                interval = intervals.t_interval(values)
                axis.plot([x, x], [interval.low, interval.high], color=colour, linewidth=0.8)
            if (paper := _paper(cell)) is not None:
                axis.plot(
                    [x],
                    [paper],
                    "D",
                    color="black",
                    fillstyle="none",
                    markersize=4,
                    label="paper" if number == 0 and not masks else None,
                )
    names = [f"{pair.without.row.label} / {pair.having.row.label}" for pair in shown]
    room = max(6, width // max(len(shown), 1))
    axis.set_xticks(range(len(shown)), [style.folded(name, room, 4) for name in names])
    axis.set_xlim(-0.5, len(shown) - 0.5)
    axis.set_title(style.folded(shown[0].title, width, 2))
    axis.grid(visible=True, axis="y")
