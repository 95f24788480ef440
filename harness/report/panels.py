"""Figures of segmentations: image, ground truth and every method's prediction, side by side.

The same inputs give the same bytes. Images are chosen by their names, never by any result.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness import files
from harness.data.chosen import choose
from harness.data.parts import part_of
from harness.data.prepared import ImageStore, open_store
from harness.errors import UserError
from harness.plan import outputs
from harness.plan.columns import ColumnPlan
from harness.plan.plan import Plan
from harness.report import fold, looks, notes, style
from harness.report.style import Style
from harness.report.values import Context
from harness.spec.table import Panels, file_name
from harness.store.predictions import DAMAGED
from harness.store.record import Records
from harness.train.images import pictures_of

SIDE = 1.0
"""Side of one picture in inches, in figures that are wide enough."""


def draw(
    images: np.ndarray | None,
    truth: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    path: Path,
    *,
    names: Sequence[str] = (),
) -> Path:
    """Draw a PNG with one row per image: the image, its ground truth, the predictions.

    Args:
        images: (n, H, W, 3) or (n, H, W, 1) uint8; None leaves them out, for data sets whose
            images may not be redistributed.
        truth: (n, h, w) bool.
        predictions: (n, h, w) bool by the method's label, in the order of the columns.
        path: the PNG file.
        names: the rows' titles, none or n.

    Raises:
        ValueError: arrays are not of the same n images.
        UserError: the file cannot be written.
    """
    columns = {"Ground truth": truth, **predictions}
    if images is not None:
        columns = {"Image": images, **columns}
    if len({len(column) for column in columns.values()}) > 1 or len(names) not in (0, len(truth)):
        sizes = ", ".join(f"{label} {len(column)}" for label, column in columns.items())
        raise ValueError(f"Arrays differ in their number of images: {sizes}, names {len(names)}.")
    how = Style(width=max(style.COLUMN, min(style.PAGE, SIDE * len(columns))))
    side = how.width / len(columns)
    with style.applied(how):
        figure = style.new(how, (side + 0.04) * len(truth) + 0.4)
        axes = figure.subplots(len(truth), len(columns), squeeze=False)
        heads = fold.all_folded(list(columns), round(14 * side))
        for number, column in enumerate(columns.values()):
            axes[0, number].set_title(heads[number], fontsize=7)
            for row, picture in enumerate(column):
                panel = axes[row, number]
                grey = picture.ndim == 3 and picture.shape[-1] == 1
                white = 255 if picture.dtype == np.uint8 else 1
                panel.imshow(picture[..., 0] if grey else picture, cmap="gray", vmin=0, vmax=white)
                style.bare(panel)
                if names and number == 0:
                    panel.set_ylabel(fold.folded(names[row], round(17 * side), 2), fontsize=6)
        content = style.save(figure, "png")
    files.write_bytes(path, content)
    return path


def pick(reported: ImageStore, count: int) -> ImageStore:
    """Return the evaluated images that are drawn, see ``choose``."""
    return reported.take(np.asarray(choose(reported.names, reported.labels, count), np.int64))


def compare(
    chosen: ImageStore,
    predictions: Mapping[str, Path],
    path: Path,
    *,
    rule: str = "last",
    with_images: bool = True,
) -> Path:
    """Draw evaluated images with the predictions that runs have stored.

    Args:
        chosen: the images, see ``pick``.
        predictions: the file of each method's run by label, see
            ``harness.evaluate.segmentation.SegmentationEvaluator.predictions``.
        path: the PNG file.
        rule: the epoch, "last" or "best".
        with_images: draw the data set's own images, too.

    Raises:
        UserError: a file lacks an image or holds no masks, or the PNG cannot be written.
    """
    if not predictions:
        raise UserError("No run has predictions yet; run the table first.")
    truth, predicted = masks(chosen, predictions, rule=rule)
    images = pictures_of(chosen, truth.shape[1]) if with_images else None
    return draw(images, truth, predicted, path, names=chosen.names)


def masks(
    chosen: ImageStore, predictions: Mapping[str, Path], *, rule: str = "last"
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the true masks (n, S, S) bool of images, and those that runs predict by label.

    Args:
        chosen: the images.
        predictions: at least one file, see ``compare``.
        rule: the epoch, "last" or "best".

    Raises:
        UserError: a file lacks an image or holds no masks.
    """
    read = {label: _read(file, chosen.names, rule) for label, file in predictions.items()}
    truth = next(iter(read.values()))[0]  # the same for every method
    return truth, {label: prediction for label, (_, prediction) in read.items()}


def _read(path: Path, names: Sequence[str], rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the truth and a run's predictions (n, H, W) bool of the named images."""
    from harness.evaluate.segmentation import unpack

    if not path.exists():
        raise UserError(f"The predictions {path} are missing; a new training makes them.")
    try:
        content = np.load(path)
    except (*DAMAGED, zipfile.BadZipFile) as error:
        raise UserError(f"The predictions {path} cannot be read (truncated?).") from error
    with content as arrays:
        if "truth" not in arrays:
            raise UserError(f"{path} holds no masks; only segmentations can be drawn.")
        position = {name: i for i, name in enumerate(arrays["names"].tolist())}
        missing = [name for name in names if name not in position]
        if missing:
            raise UserError(f"{path} has no prediction of {missing[0]!r}; it is of other images.")
        if rule not in arrays:
            raise UserError(
                f"{path} has no masks of the {rule} epoch: not every epoch was evaluated; leave"
                " --rule out, or train its row again with --rule best --fresh."
            )
        rows = [position[name] for name in names]
        side = int(arrays["side"])
        return unpack(arrays["truth"][rows], side), unpack(arrays[rule][rows], side)


def write(
    plan: Plan,
    context: Context,
    folder: Path,
    *,
    with_images: bool = True,
    tell: Callable[[str], None] = print,
) -> list[Path]:
    """Write a table's figures of segmentations, a PNG and its caption per data set; return paths.

    Predictions are those of the first seed at the epoch that the table reports.

    Args:
        plan: the table's plan.
        context: how the table is made.
        folder: folder of the files.
        with_images: draw the data set's own images, too.
        tell: receives a line that names the rows left out because they have no finished run.

    Raises:
        UserError: predictions are missing or hold no masks, or a PNG cannot be written.
    """
    panels = plan.table.panels
    if panels is None:
        return []
    paths = []
    for dataset, columns in outputs.by_dataset(plan).items():
        # One column is enough: columns of other metrics show the same runs, costs none.
        shown = next(c for c in columns if c.column.cost is None and c.column.probe is None)
        name = file_name(plan.figure_name.format(panels.name), dataset, plan.own)
        path = folder / f"{name}.png"
        found, missing = predictions(plan, shown)
        if missing:
            tell(f"{path.name} leaves out rows without a finished run: {', '.join(missing)}.")
        if found:
            compare(
                pick(_reported(plan, shown), panels.count),
                found,
                path,
                rule=plan.options.rule,
                with_images=with_images,
            )
            text = path.with_suffix(".txt")
            files.write_text(text, _caption(plan, panels, shown, context) + "\n")
            paths += [path, text]
    return paths


def predictions(plan: Plan, column: ColumnPlan) -> tuple[dict[str, Path], list[str]]:
    """Return the prediction files of finished rows by label, and the names of other rows."""
    records = Records(plan.options.runs)
    paths, missing = {}, []
    labels = looks.labels(plan.whole)
    for cell_run in plan.cell_runs:
        if cell_run.column != column.column or cell_run.seed != plan.seeds[0]:
            continue
        record = records.finished(cell_run.run.key())
        path = records.predictions_path(cell_run.run.key())
        if record is not None and path.exists():
            paths[labels[cell_run.row.name]] = path
        else:
            missing.append(cell_run.row.name)
    return paths, missing


def _reported(plan: Plan, column: ColumnPlan) -> ImageStore:
    """Return the evaluated images."""
    options = plan.options
    store = open_store(options.data, column.used.name)
    return part_of(store, column.split, options.profile, "reported")


def _caption(plan: Plan, panels: Panels, column: ColumnPlan, context: Context) -> str:
    """Return the figure's caption: headline, data set, seed and epoch."""
    figure = replace(plan.table, title=panels.title, source=panels.source)
    generated = " Generated images." if column.phantom else ""
    drawn = f"{column.used.title}, seed {plan.seeds[0]}, {context.rule} epoch.{generated}"
    return " ".join([*notes.headline(figure, context), drawn])
