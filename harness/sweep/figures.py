"""Figures of a sweep: heat map of accuracy over two dimensions, and accuracy over cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import shown
from harness.report import fold, json_files, style
from harness.report.labels import Named, place
from harness.report.style import Style
from harness.sweep.values import PART

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.sweep.values import Line, Sheet


HOW = Style(width=5.0)
"""Style of the figures of sweeps."""

OF_TRIALS = "validation accuracy (%)"
"""Name of what trials are compared by."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure of a study with its data.

    Attributes:
        name: after that of the study's page.
        caption: text below it.
        data: what is drawn, as JSON values.
        draw: draws it; within ``harness.report.style.applied``.
    """

    name: str
    caption: str
    data: Mapping[str, Any]
    draw: Callable[[], Figure]

    def files(self, stem: str) -> dict[str, bytes]:
        """Return the figure's files by name: pictures, NAME.json and NAME.txt."""
        name = f"{stem}-{self.name}"
        content = {"name": name, "caption": self.caption, **self.data}
        with style.applied(HOW):
            drawn = self.draw()
            made = {f"{name}.{form}": style.save(drawn, form) for form in style.FORMATS}
        return {
            **made,
            f"{name}.json": json_files.text(content).encode(),
            f"{name}.txt": f"{shown(self.caption)}\n".encode(),
        }


def pictures(sheet: Sheet) -> list[Picture]:
    """Return the figures for which a study has data."""
    made = []
    if sheet.heatmap and _drawn(sheet):
        made.append(_heatmap(sheet, sheet.heatmap))
    if any(t.front and t.macs is not None for t in _drawn(sheet)):
        made.append(_pareto(sheet))
    return made


def _drawn(sheet: Sheet) -> list[Line]:
    """Return the complete trials whose numbers can be drawn, best first."""
    return [
        trial
        for trial in sheet.complete
        if all(style.drawable(v) for v in (trial.accuracy, trial.macs) if v is not None)
    ]


def _left_out(sheet: Sheet) -> str:
    return style.left_out(len(sheet.complete) - len(_drawn(sheet)))


def _sentences(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def words(name: str) -> str:
    """Return the name of a dimension in words: "mask_ratio" is "mask ratio"."""
    return name.replace("_", " ").replace(".", ", ").strip() or name


def _values(trial: Line) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "values": dict(trial.values),
        "accuracy": trial.accuracy,
        "training_macs": trial.macs,
        "front": trial.front,
        "key": trial.key,
    }


def _heatmap(sheet: Sheet, over: tuple[str, str]) -> Picture:
    return Picture(
        name="heat",
        caption=_sentences(
            f"{sheet.title.rstrip('.')}: accuracy on the {PART} of the best complete trial for"
            f" every pair of {words(over[0])} and {words(over[1])}, in percent.",
            _left_out(sheet),
            f"Data: {sheet.dataset}.",
        ),
        data={
            "study": sheet.study,
            "across": over[0],
            "up": over[1],
            "trials": [_values(trial) for trial in sheet.complete],
        },
        draw=lambda: heatmap_figure(sheet),
    )


def _pareto(sheet: Sheet) -> Picture:
    return Picture(
        name="pareto",
        caption=_sentences(
            f"{sheet.title.rstrip('.')}: accuracy of trials on the {PART} over the cost of their"
            " training.",
            "Squares: the Pareto front, with the numbers of its trials.",
            "Cost: multiply-accumulates (thop-macs) of the forward passes of all training images"
            " of all stages and epochs.",
            _left_out(sheet),
            f"Data: {sheet.dataset}.",
        ),
        data={"study": sheet.study, "trials": [_values(trial) for trial in sheet.complete]},
        draw=lambda: pareto_figure(sheet),
    )


def heatmap_figure(sheet: Sheet) -> Figure:
    """Draw the accuracy of the best complete trial for every pair of values.

    Cells without a trial are empty. If a dimension has no levels, trials are drawn as points.
    """
    assert sheet.heatmap is not None
    across, up = sheet.heatmap
    figure = style.new(HOW, 3.4)
    axes = figure.add_subplot()
    levels = sheet.levels[across], sheet.levels[up]
    trials = _drawn(sheet)
    if levels[0] is not None and levels[1] is not None:
        mapped = _cells(axes, _best(trials, across, up), levels[0], levels[1])
    else:
        drawn = list(reversed(trials))  # the best last, above the others
        mapped = axes.scatter(
            [t.values[across] for t in drawn],
            [t.values[up] for t in drawn],
            c=[100 * (t.accuracy or 0.0) for t in drawn],
        )
    figure.colorbar(mapped, label=f"{OF_TRIALS}, best trial")  # type: ignore[arg-type]
    axes.set_xlabel(fold.folded(words(across), 50, 2))
    axes.set_ylabel(fold.folded(words(up), 36, 2))
    return figure


def _best(trials: Sequence[Line], across: str, up: str) -> dict[tuple[object, object], float]:
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


def pareto_figure(sheet: Sheet) -> Figure:
    """Draw accuracy over training cost, with the Pareto front."""
    figure = style.new(HOW, 3.4)
    axes = figure.add_subplot()
    known = [t for t in _drawn(sheet) if t.macs is not None]
    best = sorted((t for t in known if t.front), key=lambda t: t.macs or 0.0)
    for trials, look, label in ((known, "o", "trials"), (best, "s-", "Pareto front")):
        cost = [(t.macs or 0.0) / 1e12 for t in trials]
        accuracy = [100 * (t.accuracy or 0.0) for t in trials]
        axes.plot(cost, accuracy, look, label=label, alpha=0.7)
    axes.set_xlabel("FLOPs (T), training forwards of all stages")
    axes.set_ylabel(OF_TRIALS)
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
