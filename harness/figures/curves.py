"""Learning curves: loss and metric of every stage over its epochs, with the seeds as a band."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.evaluate import registry
from harness.figures.values import (
    Cell,
    Drawing,
    Made,
    Missing,
    Request,
    cell_runs,
    datasets,
    facts,
    file_name,
    unfinished,
)
from harness.figures.values import caption as caption_of
from harness.plan.columns import ColumnPlan
from harness.report import fold, looks, style
from harness.report.looks import Look
from harness.report.style import Style
from harness.stats import intervals
from harness.store.record import Records

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEM = "curves"

FAR = 4.0
"""Ratio of first losses from which rows are drawn relative to their first epoch."""

PHASES = {"pretrain": "pre-training", "finetune": "fine-tuning", "supervised": "supervised"}
"""Names of phases in headings."""

PANEL = 1.45
"""Height of a panel in inches."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A stage that was trained, of one seed.

    Attributes:
        seed: of the run.
        key: of the stage.
        commit: that it was trained at.
        history: figures by epoch.
    """

    seed: int
    key: str
    commit: str
    history: tuple[dict[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """The stages of one row, or of rows that share them, by seed."""

    rows: tuple[str, ...]
    label: str
    stages: tuple[Trained, ...]

    look: Look

    def points(self, name: str) -> list[tuple[int, tuple[float, ...]]]:
        """Return epochs (from 1) at which all seeds have a figure, and its values by seed.

        Epochs with a value that cannot be drawn are left out.
        """
        columns = zip(*(s.history for s in self.stages), strict=False)
        every = [tuple(h[name] for h in c if name in h) for c in columns]
        return [
            (e, v)
            for e, v in enumerate(every, 1)
            if len(v) == len(self.stages) and all(map(style.drawable, v))
        ]

    def too_large(self, name: str) -> int:
        """Return how many values of a figure are too large to be drawn."""
        every = [h[name] for s in self.stages for h in s.history if name in h]
        return sum(not style.drawable(v) and not math.isnan(v) for v in every)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A figure of one phase.

    Attributes:
        phase: of the stages.
        name: in the histories.
        title: of the panel.
        lines: a row, or rows that share stages, each.
        factor: from the value in a history to that drawn: 100 for a share in percent.
    """

    phase: str
    name: str
    title: str
    lines: tuple[Line, ...]
    factor: float = 1.0


def make(request: Request) -> Made:
    """Yield the learning curves of each data set."""
    for column in datasets(request.plan).values():
        by_phase = lines(request, column)
        if not by_phase:
            rows = list(cell_runs(request.plan, column))
            yield unfinished(request, STEM, rows, column.used.name)
            continue
        shown = panels(by_phase)
        left_out = style.left_out(
            sum(
                line.too_large(name)
                for of_phase in by_phase.values()
                for name in ("loss/total", _metric(of_phase))
                for line in of_phase
                if name
            )
        )
        if left_out:
            yield Missing(name=STEM, why=f"{column.used.name}: {left_out.rstrip('.')}")
        if shown:
            yield _drawing(request, column, shown, left_out)


def lines(request: Request, column: ColumnPlan) -> dict[str, list[Line]]:
    """Return the finished stages by phase; stages that rows share are one line of all of them."""
    records = Records(request.plan.options.runs)
    look = looks.of_table(request.plan.whole)
    found: dict[str, dict[tuple[str, ...], Line]] = {}
    for row, runs in cell_runs(request.plan, column).items():
        for number, stage in enumerate(runs[0].run.stages, 1):
            stages = []
            for cell_run in runs:
                record = records.finished(cell_run.run.key(number))
                if record is not None:
                    history = tuple(dict(epoch) for epoch in record.finished.history)
                    stages.append(
                        Trained(
                            seed=cell_run.seed,
                            key=record.key,
                            commit=record.commit,
                            history=history,
                        )
                    )
            if not stages:
                continue
            same = found.setdefault(stage.phase, {})
            keys, label = tuple(s.key for s in stages), fold.clean(runs[0].row.label)
            before = same.get(keys)
            rows = (row,) if before is None else (*before.rows, row)
            label = label if before is None else f"{before.label}; {label}"
            line = Line(rows=rows, label=label, stages=tuple(stages), look=looks.shared(look, rows))
            same[keys] = line
    return {phase: list(same.values()) for phase, same in found.items()}


def panels(by_phase: dict[str, list[Line]]) -> tuple[Panel, ...]:
    """Return the panels: of every phase the loss, and the metric where it has one."""
    drawn = []
    for phase, shown in by_phase.items():
        for name in ("loss/total", _metric(shown)):
            having = tuple(line for line in shown if name and line.points(name))
            if name and having:
                what, factor = _quantity(name)
                title = f"{PHASES.get(phase, phase)}: {what}"
                drawn.append(
                    Panel(phase=phase, name=name, title=title, lines=having, factor=factor)
                )
    return tuple(drawn)


def _quantity(name: str) -> tuple[str, float]:
    """Return the title of a figure of histories, and the factor from its value to the title's."""
    if name == "loss/total":
        return "loss", 1.0
    metric = registry.known().get(name.removeprefix("eval/"))
    if metric is None:
        return name.removeprefix("eval/").replace("_", " "), 1.0
    return metric.title, metric.factor


def _metric(shown: Sequence[Line]) -> str | None:
    """Return the metric of evaluations that is drawn: the accuracy, else the first."""
    names = {
        name: None
        for line in shown
        for s in line.stages
        for epoch in s.history
        for name in epoch
        if name.startswith("eval/")
    }
    return "eval/accuracy" if "eval/accuracy" in names else next(iter(names), None)


def is_relative(panel: Panel) -> bool:
    """Whether a panel shows losses divided by that of the first epoch: they are far apart."""
    first = [intervals.mean(line.points(panel.name)[0][1]) for line in panel.lines]
    return panel.name == "loss/total" and min(first) > 0 and max(first) / min(first) > FAR


def _drawing(
    request: Request, column: ColumnPlan, shown: tuple[Panel, ...], left_out: str
) -> Drawing:
    several = len(request.plan.seeds) > 1
    band = "Lines: mean over the seeds; band: lowest to highest seed." if several else ""
    relative = ""
    if any(is_relative(panel) for panel in shown):
        relative = (
            "Losses are divided by that of the first epoch where methods' losses are different"
            " quantities."
        )
    selected = column.split == "clean"
    where = "selection" if selected else "reported"
    return Drawing(
        name=file_name(request, STEM, column.used.name),
        caption=caption_of(
            request,
            f"Learning curves: {request.plan.table.title}",
            (
                band,
                relative,
                f"Metrics are of the {where} images after the epochs that were evaluated.",
                left_out,
            ),
            column=column,
        ),
        data={**facts(request, column), "panels": [values(panel) for panel in shown]},
        rows=tuple(csv_rows(shown)),
        draw=lambda how: draw(shown, how),
    )


def values(panel: Panel) -> dict[str, Any]:
    """Return a panel as JSON values: every stage by epoch, unrounded and never relative.

    Values are those of the histories; times the factor they are those drawn.
    """
    return {
        "phase": panel.phase,
        "figure": panel.name,
        "title": panel.title,
        "relative": is_relative(panel),
        "factor": panel.factor,
        "lines": [
            {
                "rows": list(line.rows),
                "label": line.label,
                "stages": [
                    {
                        "seed": s.seed,
                        "key": s.key,
                        "commit": s.commit,
                        "values": [epoch.get(panel.name) for epoch in s.history],
                    }
                    for s in line.stages
                ],
            }
            for line in panel.lines
        ],
    }


def csv_rows(shown: Sequence[Panel]) -> Iterator[dict[str, Cell]]:
    """Yield a line per panel, row, seed and epoch."""
    for panel in shown:
        for line in panel.lines:
            for s in line.stages:
                for number, epoch in enumerate(s.history, 1):
                    yield {
                        "phase": panel.phase,
                        "figure": panel.name,
                        "row": line.rows[0],
                        "seed": s.seed,
                        "epoch": number,
                        "value": epoch.get(panel.name),
                        "key": s.key,
                    }


def draw(shown: Sequence[Panel], how: Style) -> Figure:
    """Draw the panels in two columns, and the names of the rows below."""
    across = max(1, min(len(shown), round(how.width / 1.6)))
    down = -(-len(shown) // across)
    lines = {line.rows: line for panel in shown for line in panel.lines}
    columns = max(1, int(how.width / 1.6))
    below = 0.22 * -(-len(lines) // columns) + 0.1
    figure = style.new(how, PANEL * down + below)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for panel, axis in zip(shown, axes, strict=False):
        _panel(axis, panel, round(13 * (how.width / across - 0.4)))
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    handles: dict[str, Artist] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(str(label), handle)
    # Beside the line of an entry, a letter of 7 points takes about a fifteenth of an inch.
    letters = int(15 * (how.width / columns - 0.55))
    names = fold.all_folded(
        [line.label for line in lines.values()], letters, 2, names=list(map(", ".join, lines))
    )
    artists = [handles[_key(rows)] for rows in lines]
    figure.legend(artists, names, loc="outside lower center", ncols=columns, handlelength=2.6)
    return figure


def _key(rows: Sequence[str]) -> str:
    """Return the name of a line in the legend; unlike labels, these are all different."""
    return f"rows {', '.join(rows)}"  # without the underscore that would hide it


def _panel(axis: Axes, panel: Panel, letters: int) -> None:
    relative = is_relative(panel)
    for line in panel.lines:
        points = line.points(panel.name)
        factor = 1.0 / intervals.mean(points[0][1]) if relative else panel.factor
        epochs = [epoch for epoch, _ in points]
        means = [factor * intervals.mean(values) for _, values in points]
        look = {"color": line.look.colour, "linestyle": line.look.dashes}
        if len(epochs) == 1:
            look["marker"] = line.look.marker  # a line of one point cannot be seen
        axis.plot(epochs, means, label=_key(line.rows), **look)
        if len(line.stages) > 1:
            low = [factor * min(values) for _, values in points]
            high = [factor * max(values) for _, values in points]
            shade = line.look.colour
            axis.fill_between(epochs, low, high, color=shade, alpha=0.18, linewidth=0)
    title = f"{panel.title}, relative" if relative else panel.title
    axis.set_title(fold.folded(title, letters, 3))
    axis.set_xlabel("epoch")
    axis.locator_params(axis="x", integer=True)
    axis.grid(visible=True)
