"""Figures of a sweep: heat map of accuracy over two dimensions, and accuracy over cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report import style
from harness.report.labels import Named, place
from harness.report.style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.sweep.values import Line, Sheet


HOW = Style(width=5.0)
"""Style of the figures of sweeps."""


def heatmap(sheet: Sheet) -> bytes:
    """Draw the accuracy of the best complete trial for every pair of values, as PNG.

    Cells without a trial are empty. If a dimension has no levels, trials are drawn as points.
    """
    with style.applied(HOW):
        return style.save(heatmap_figure(sheet), "png")


def heatmap_figure(sheet: Sheet) -> Figure:
    """Draw the heat map; within ``harness.report.style.applied``."""
    assert sheet.heatmap is not None
    across, up = sheet.heatmap
    figure = style.new(HOW, 3.4)
    axes = figure.add_subplot()
    levels = sheet.levels[across], sheet.levels[up]
    if levels[0] is not None and levels[1] is not None:
        best = _best(sheet.complete, across, up)
        mapped = _cells(axes, best, levels[0], levels[1])
    else:
        drawn = list(reversed(sheet.complete))  # the best last, above the others
        mapped = axes.scatter(
            [t.values[across] for t in drawn],
            [t.values[up] for t in drawn],
            c=[100 * (t.accuracy or 0.0) for t in drawn],
        )
    figure.colorbar(mapped, label="validation accuracy (%), best trial")  # type: ignore[arg-type]
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    return figure


def _best(trials: tuple[Line, ...], across: str, up: str) -> dict[tuple[object, object], float]:
    """Return the best accuracy (%) for each pair of values; trials are sorted, best first."""
    best: dict[tuple[object, object], float] = {}
    for trial in trials:
        best.setdefault((trial.values[across], trial.values[up]), 100 * (trial.accuracy or 0.0))
    return best


def _cells(
    axes: Axes,
    best: dict[tuple[object, object], float],
    across: tuple[float | int | str, ...],
    up: tuple[float | int | str, ...],
) -> object:
    grid = [[best.get((x, y), float("nan")) for x in across] for y in up]
    image = axes.imshow(grid, origin="lower", aspect="auto", cmap="cividis")
    axes.set_xticks(range(len(across)), [_text(v) for v in across])
    axes.set_yticks(range(len(up)), [_text(v) for v in up])
    middle = (min(best.values()) + max(best.values())) / 2
    for row, y in enumerate(up):
        for column, x in enumerate(across):
            if (x, y) in best:
                colour = "black" if best[x, y] > middle else "white"
                number = f"{best[x, y]:.1f}"
                axes.text(column, row, number, ha="center", va="center", color=colour)
    return image


def _text(value: float | int | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def pareto(sheet: Sheet) -> bytes:
    """Draw accuracy over training cost as PNG, with the Pareto front."""
    with style.applied(HOW):
        return style.save(pareto_figure(sheet), "png")


def pareto_figure(sheet: Sheet) -> Figure:
    """Draw the trials and the front; within ``harness.report.style.applied``."""
    figure = style.new(HOW, 3.4)
    axes = figure.add_subplot()
    known = [t for t in sheet.complete if t.macs is not None]
    best = sorted((t for t in known if t.front), key=lambda t: t.macs or 0.0)
    for trials, look, label in ((known, "o", "trials"), (best, "s-", "Pareto front")):
        cost = [(t.macs or 0.0) / 1e12 for t in trials]
        accuracy = [100 * (t.accuracy or 0.0) for t in trials]
        axes.plot(cost, accuracy, look, label=label, alpha=0.7)
    axes.set_xlabel("FLOPs (T multiply-accumulates, thop-macs), training forwards of all stages")
    axes.set_ylabel("validation accuracy (%)")
    axes.grid(visible=True)
    axes.legend(loc="lower right")
    named = [
        Named(
            x=(trial.macs or 0.0) / 1e12,
            y=100 * (trial.accuracy or 0.0),
            text=str(trial.number) if trial in best else "",
        )
        for trial in known
    ]
    place(axes, named)
    return figure
