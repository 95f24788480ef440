"""Figures 2, 5 and 12: attention and masking weights while pre-training goes on, by method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.data.parts import part_of
from harness.data.prepared import ImageStore, open_store
from harness.errors import Damaged
from harness.figures import models, pictures
from harness.figures.pictures import Picture
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
    of_run,
)
from harness.figures.values import caption as caption_of
from harness.plan.columns import ColumnPlan
from harness.plan.plan import CellRun
from harness.report.style import Style
from harness.spec.backbones import VIT
from harness.spec.recipe import backbone_of
from harness.store import maps as store
from harness.store.maps import Maps
from harness.store.record import Records
from harness.train.images import pictures_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

MOST_EPOCHS = 5
"""Epochs that are shown beside one another."""

IMAGES = {"5": 2, "12": 4}
"""Images of the figures of weights."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The maps that one row's pre-training kept.

    Attributes:
        cell_run: the run.
        commit: that it was trained at.
        maps: the maps.
    """

    cell_run: CellRun
    commit: str
    maps: Maps

    @property
    def key(self) -> str:
        """Key of the pre-training."""
        return self.cell_run.run.key(1)

    @property
    def label(self) -> str:
        """The row's label."""
        return self.cell_run.row.label


def kept(request: Request, column: ColumnPlan) -> Iterator[Kept | Missing]:
    """Yield the maps of every row's pre-trained vision transformer, of the first seed."""
    records = Records(request.plan.options.runs)
    seen: set[str] = set()
    lacking: list[str] = []
    for row, runs in cell_runs(request.plan, column).items():
        stage, key = runs[0].run.stages[0], runs[0].run.key(1)
        if stage.phase != "pretrain" or backbone_of(stage.method) != VIT or key in seen:
            continue
        seen.add(key)
        record = records.finished(key)
        try:
            found = store.read(request.plan.options.runs, key) if record else None
        except Damaged as damaged:
            yield Missing(name="", why=str(damaged).rstrip("."))
            found = None
        if record is None or found is None:
            lacking.append(row)
        else:
            yield Kept(cell_run=runs[0], commit=record.commit, maps=found)
    if lacking:
        yield Missing(
            name="",
            why=f"{column.used.name}: {', '.join(lacking)} kept no maps by epoch; run"
            f" `{request.again} --keep maps`, with --fresh or another --runs where they are"
            " finished",
        )


def figure_2(request: Request) -> Made:
    """Yield figure 2 of each data set: one image, methods below one another, epochs across."""
    for column in datasets(request.plan).values():
        found = list(kept(request, column))
        yield from (one for one in found if isinstance(one, Missing))
        rows = _alike([one for one in found if isinstance(one, Kept)])
        if not rows:
            continue
        shown = _images(request, column, rows[0], 1)
        epochs = _epochs(rows)
        values = {
            one.cell_run.row.name: np.stack(
                [one.maps.attention[_at(one.maps, epoch), 0].mean(axis=0) for epoch in epochs]
            )
            for one in rows
        }
        heads = [f"epoch {epoch + 1}" for epoch in epochs]
        yield _drawing(
            request,
            column,
            rows,
            {"image": shown.chosen.names[0], "epochs": [epoch + 1 for epoch in epochs]},
            (
                "2",
                "Attention of [CLS] to the patches in the encoder's last block while pre-training"
                " goes on",
                "One training image; mean of the heads, each map from its lowest (dark) to its"
                " highest value (bright), after the epochs named.",
            ),
            _Lines(
                values=values,
                request=request,
                shown=shown,
                heads=(["Image"] if request.images else []) + heads,
                names=[one.label for one in rows],
                maps=[list(values[one.cell_run.row.name]) for one in rows],
                images=[0] * len(rows),
            ),
        )


def figure_5(request: Request) -> Made:
    """Yield figure 5 of each data set: weights of guided methods, by epoch."""
    for column in datasets(request.plan).values():
        found = list(kept(request, column))
        yield from (one for one in found if isinstance(one, Missing))
        rows = _alike([one for one in found if isinstance(one, Kept) and one.maps.guided.any()])
        if not rows:
            if not any(isinstance(one, Missing) for one in found):
                why = f"no row on {column.used.name} masks by attention"
                yield Missing(name="5", why=why)
            continue
        shown = _images(request, column, rows[0], IMAGES["5"])
        epochs = _epochs(rows, guided=True)
        values = {
            one.cell_run.row.name: np.stack(
                [one.maps.weights[_at(one.maps, epoch), : len(shown.chosen)] for epoch in epochs]
            )
            for one in rows
        }
        count = len(shown.chosen)
        yield _drawing(
            request,
            column,
            rows,
            {"images": list(shown.chosen.names), "epochs": [epoch + 1 for epoch in epochs]},
            (
                "5",
                "Masking weights while pre-training goes on",
                "Training images; weights from 0 (dark) to 1 (bright) that masks followed in the"
                " epochs named, before they are cropped with the image.",
            ),
            _Lines(
                values=values,
                request=request,
                shown=shown,
                heads=(["Image"] if request.images else [])
                + [f"epoch {epoch + 1}" for epoch in epochs],
                names=[one.label for _ in range(count) for one in rows],
                maps=[
                    [map_[i] for map_ in values[one.cell_run.row.name]]
                    for i in range(count)
                    for one in rows
                ],
                images=[i for i in range(count) for _ in rows],
                fixed=True,
            ),
        )


def figure_12(request: Request) -> Made:
    """Yield figure 12 of each data set: weights in the last epoch, by method."""
    for column in datasets(request.plan).values():
        found = list(kept(request, column))
        yield from (one for one in found if isinstance(one, Missing))
        rows = _alike([one for one in found if isinstance(one, Kept)])
        if not rows:
            continue
        shown = _images(request, column, rows[0], IMAGES["12"])
        count = len(shown.chosen)
        values = {one.cell_run.row.name: one.maps.weights[-1, :count] for one in rows}
        yield _drawing(
            request,
            column,
            rows,
            {"images": list(shown.chosen.names)},
            (
                "12",
                "Masking weights in the last epoch of pre-training",
                "Training images; weights from 0 (dark) to 1 (bright); uniform masks have the same"
                " weight everywhere.",
            ),
            _Lines(
                values=values,
                request=request,
                shown=shown,
                heads=(["Image"] if request.images else []) + [one.label for one in rows],
                names=[],
                maps=[[values[one.cell_run.row.name][i] for one in rows] for i in range(count)],
                images=list(range(count)),
                fixed=True,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """Training images with their pictures (n, S, S, C) and true lesions (n, S, S), if any."""

    chosen: ImageStore
    pictures: np.ndarray
    truth: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class _Lines:
    """Lines of maps: the image of each, and its maps (L,) in the order of the headings.

    ``values`` has the same maps by name of the row.
    """

    request: Request
    values: dict[str, np.ndarray]
    shown: _Shown
    heads: Sequence[str]
    names: Sequence[str]
    maps: Sequence[Sequence[np.ndarray]]
    images: Sequence[int]
    fixed: bool = False

    def draw(self, how: Style) -> Canvas:
        """Draw the lines."""
        lines = []
        for number, line in zip(self.images, self.maps, strict=True):
            truth = self.shown.truth
            outline = None if truth is None else truth[number]
            first = [Picture(image=self.shown.pictures[number], outline=outline)]
            lines.append(
                [
                    *(first if self.request.images else []),
                    *(_picture(values, outline, fixed=self.fixed) for values in line),
                ]
            )
        return pictures.draw(lines, self.heads, how, names=self.names)


def _picture(values: np.ndarray, outline: np.ndarray | None, *, fixed: bool) -> Picture:
    if np.isnan(values).any():
        return Picture(blank="not by maps")
    side = round(values.size**0.5)
    return Picture(map=values.reshape(side, side), outline=outline, fixed=fixed)


def _alike(rows: list[Kept]) -> list[Kept]:
    """Return the rows that kept the same images as the first."""
    return [one for one in rows if one.maps.names == rows[0].maps.names]


def _images(request: Request, column: ColumnPlan, one: Kept, count: int) -> _Shown:
    """Return the first of the images that the maps are of."""
    options = request.plan.options
    train = part_of(
        open_store(options.data, column.used.name), column.split, options.profile, "trained_on"
    )
    where = {name: row for row, name in enumerate(train.names)}
    rows = np.asarray([where[name] for name in one.maps.names[:count]], np.int64)
    chosen = train.take(rows)
    size = options.profile.backbones.image_size
    return _Shown(
        chosen=chosen,
        pictures=pictures_of(chosen, size),
        truth=models.truth_of(chosen, size),
    )


def _epochs(rows: Sequence[Kept], *, guided: bool = False) -> list[int]:
    """Return up to five epochs that all rows kept, the first and the last among them."""
    common = set.intersection(*({int(e) for e in one.maps.epochs} for one in rows))
    if guided:
        begun = max(int(one.maps.epochs[one.maps.guided][0]) for one in rows)
        common = {epoch for epoch in common if epoch >= begun} or common
    ordered = sorted(common)
    count = min(MOST_EPOCHS, len(ordered))
    if count < 2:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / (count - 1))] for i in range(count)]


def _at(maps: Maps, epoch: int) -> int:
    return int(np.flatnonzero(maps.epochs == epoch)[0])


def _drawing(
    request: Request,
    column: ColumnPlan,
    rows: Sequence[Kept],
    what: dict[str, object],
    said: tuple[str, str, str],
    lines: _Lines,
) -> Drawing:
    """Return a figure; ``said`` is its number, its title and how to read it."""
    number, title, how_to_read = said
    outlined = lines.shown.truth is not None
    return Drawing(
        name=file_name(request, f"figure{number}", column.used.name),
        caption=caption_of(
            request,
            title,
            (how_to_read, "Outline: the true lesion." if outlined else ""),
            column=column,
            paper=f"Figure {number}",
            seeds=sorted({one.cell_run.seed for one in rows}),
        ),
        data={
            **facts(request, column),
            **what,
            "rows": [
                {
                    **of_run(one.cell_run, one.key, one.commit),
                    "maps": _listed(lines.values[one.cell_run.row.name]),
                }
                for one in rows
            ],
        },
        rows=tuple(_csv(lines.values)),
        draw=lines.draw,
    )


def _listed(values: np.ndarray) -> object:
    """Return numbers as lists; those that are not known as None."""
    if values.ndim > 1:
        return [_listed(part) for part in values]
    return [None if np.isnan(value) else float(value) for value in values]


def _csv(values: dict[str, np.ndarray]) -> Iterator[dict[str, Cell]]:
    for row, maps in values.items():
        for number, map_ in enumerate(maps.reshape(-1, maps.shape[-1])):
            for patch, value in enumerate(map_):
                known = None if np.isnan(value) else float(value)
                yield {"row": row, "map": number, "patch": patch, "value": known}
