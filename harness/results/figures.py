"""The figures that a result can draw, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness import files
from harness.errors import UserError
from harness.figures import registry
from harness.figures.values import Figure, Missing, Request
from harness.plan.plan import Plan
from harness.report import style
from harness.report.plan_grid import Making, context_of
from harness.report.style import Style
from harness.store import maps, weights
from harness.store.record import Records


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A drawn figure; a notebook shows it.

    Attributes:
        name: of its file, without an ending.
        caption: text below it.
        svg: the picture.
    """

    name: str
    caption: str
    svg: str

    def _repr_svg_(self) -> str:
        """Return the picture for notebooks."""
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Write the picture and return its path."""
        files.write_text(Path(path), self.svg)
        return Path(path)


@dataclass(frozen=True, kw_only=True)
class FigureOf:
    """A figure that a result can draw.

    Attributes:
        name: the paper's number, or a word.
        title: what it shows.
        request: what it is drawn from.
    """

    name: str
    title: str
    request: Request

    def __repr__(self) -> str:
        """Return name and title."""
        return f"{self.name}: {self.title}"

    def draw(self, *, width: float = style.COLUMN, images: bool = True) -> tuple[Picture, ...]:
        """Draw it, one picture per data set; nothing is trained.

        Args:
            width: in inches.
            images: draw the data sets' own images, too.

        Raises:
            UserError: something that it needs was not kept; the message says what.
        """
        request, how = replace(self.request, images=images), Style(width=width)
        pictures, missing = [], []
        for made in registry.drawings(request, [self.name]):
            if isinstance(made, Missing):
                missing.append(made.why)
                continue
            with style.applied(how):
                svg = style.save(made.draw(how), "svg").decode()
            pictures.append(Picture(name=made.name, caption=" ".join(made.caption), svg=svg))
        if not pictures:
            raise UserError(f"Figure {self.name} cannot be drawn: {'; '.join(missing)}.")
        return tuple(pictures)


def available(plan: Plan, making: Making) -> Iterator[FigureOf]:
    """Yield the figures of which the run store has what they need, as far as files tell it."""
    request = Request(
        plan=plan,
        context=context_of(plan, making),
        experiment=making.experiment,
        device=making.device,
        again=making.command,
    )
    kept: dict[str, bool] = {}
    for figure in registry.FIGURES.values():
        if figure.needs not in kept:
            kept[figure.needs] = any(map(_has(figure, plan), _chains(plan)))
        if kept[figure.needs]:
            yield FigureOf(name=figure.name, title=figure.title, request=request)


def _chains(plan: Plan) -> Iterator[list[str]]:
    """Yield the keys of each run's stages."""
    for cell_run in plan.cell_runs:
        run = cell_run.run
        yield [run.key(count) for count in range(1, len(run.stages) + 1)]


def _has(figure: Figure, plan: Plan) -> Callable[[list[str]], bool]:
    """Return whether the files of a chain's stages are there of which a figure is made."""
    folder = plan.options.runs
    records = Records(folder)
    if figure.needs == registry.WEIGHTS:
        return lambda keys: len(keys) > 1 and weights.find(folder, keys[0]).exists()
    if figure.needs == registry.KEPT_MAPS:
        return lambda keys: any(maps.path_of(folder, key).exists() for key in keys)
    if figure.needs == registry.PREDICTIONS:
        return lambda keys: records.predictions_path(keys[-1]).exists()
    return lambda keys: records.path(keys[-1]).exists()
