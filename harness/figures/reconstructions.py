"""Reconstructions: the input, what masks leave of it, and what the pre-trained model predicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from harness import seed
from harness.augment.view import MEAN, STD, ImageRange
from harness.figures import models, pictures
from harness.figures.models import Model, Shown, Unusable
from harness.figures.pictures import Picture
from harness.figures.values import (
    Cell,
    Drawing,
    Made,
    Missing,
    Request,
    datasets,
    facts,
    file_name,
    of_run,
)
from harness.figures.values import caption as caption_of
from harness.train.task import Batch, StepContext

STEM = "reconstructions"

IMAGES = 2
"""Images of a figure."""

MASKED, THROWN = 128, 40
"""Greys of patches that are masked, and of those that are neither encoded nor predicted."""

SMALL = 1e-6
"""Added to the variance of patches before the root, as MAE does where it normalises patches."""


@runtime_checkable
class Reconstructs(Protocol):
    """A task that predicts the pixels of masked patches from the visible ones (MAE's kind)."""

    patch: int
    normalise_pixels: bool
    encoder: Any
    decoder: Any
    image_range: ImageRange

    def draw_masks(self, batch: Batch, at: StepContext) -> Any:
        """Return masks with ``ids_mask``, ``ids_throw`` and ``ids_keep``, each (B, ...)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What one model makes of n images.

    Attributes:
        masked: (n, S, S, 3) uint8, the visible patches on grey.
        predicted: (n, S, S, 3) uint8, with the predictions in their places.
        error: (n,) mean squared error over masked patches, in the model's range of pixels.
        counts: patches that are masked, thrown and visible.
    """

    masked: np.ndarray
    predicted: np.ndarray
    error: np.ndarray
    counts: tuple[int, int, int]


def make(request: Request) -> Made:
    """Yield a figure per data set."""
    for column in datasets(request.plan).values():
        if not request.images:
            yield Missing(name=STEM, why="it is made of images, which --no-images leaves out")
            return
        found = list(models.pretrained(request, column))
        for model in found:
            if isinstance(model, Unusable):
                yield Missing(name=STEM, why=f"{model.row} on {column.used.name}: {model.why}")
        usable = [m for m in found if isinstance(m, Model) and _reconstructs(m.task)]
        if not usable:
            if not any(isinstance(model, Unusable) for model in found):
                why = (
                    f"no row predicts masked patches of a vision transformer on {column.used.name}"
                )
                yield Missing(name=STEM, why=why)
            continue
        shown = models.images(request, column, IMAGES)
        made = [(model, predict(model, shown)) for model in usable]
        yield Drawing(
            name=file_name(request, STEM, column.used.name),
            caption=caption_of(
                request,
                "Masked images and their reconstructions after pre-training",
                (
                    "Masks are drawn as in the last epoch; grey patches are masked, dark ones are"
                    " neither encoded nor predicted. Visible patches are the image's own."
                    " Images are chosen by class and name alone, from those evaluated.",
                ),
                column=column,
                seeds=sorted({model.cell_run.seed for model in usable}),
            ),
            data={
                **facts(request, column),
                "images": list(shown.chosen.names),
                "rows": [
                    {
                        **of_run(model.cell_run, model.record.key, model.record.commit),
                        "patches": dict(
                            zip(("masked", "thrown", "visible"), one.counts, strict=True)
                        ),
                        "mean_squared_error": one.error.tolist(),
                    }
                    for model, one in made
                ],
            },
            rows=tuple(_csv(shown, made)),
            draw=lambda how, shown=shown, made=made: pictures.draw(  # type: ignore[misc]
                _grid(shown, made),
                ["Input", "Masked", "Predicted"],
                how,
                names=[model.label for model, _ in made for _ in shown.chosen.names],
            ),
        )


def _reconstructs(task: object) -> bool:
    return isinstance(task, Reconstructs) and hasattr(task.decoder, "mask_token")


def _grid(shown: Shown, made: Sequence[tuple[Model, Predicted]]) -> list[list[Picture]]:
    return [
        [Picture(image=image[i]) for image in (shown.pictures, one.masked, one.predicted)]
        for _, one in made
        for i in range(len(shown.chosen))
    ]


def _csv(shown: Shown, made: Sequence[tuple[Model, Predicted]]) -> Iterator[dict[str, Cell]]:
    for model, one in made:
        for image, error in zip(shown.chosen.names, one.error, strict=True):
            row = model.cell_run.row.name
            yield {"row": row, "image": image, "mean_squared_error": float(error)}


def predict(model: Model, shown: Shown) -> Predicted:
    """Mask images as the last epoch of a model's training does, and predict what is masked."""
    task: Any = model.task
    inputs = shown.inputs(model.task)
    models.masking_weights(model.task, inputs)  # guided masks follow the maps of these images
    epochs = model.cell_run.run.stages[0].recipe.epochs
    at = StepContext(
        epoch=epochs - 1,
        epochs=epochs,
        step=0,
        steps=1,
        generator=seed.generator("figures", STEM),
    )
    with torch.no_grad():
        masks = task.draw_masks(_batch(inputs, shown), at)
        encoded = task.encoder.norm(task.encoder(inputs, masks.ids_keep))
        predicted = task.decoder(encoded, masks).float()
    patches = cut(inputs, task.patch)
    true = _taken(patches, masks.ids_mask)
    if task.normalise_pixels:
        # Such a model predicts patches of mean 0 and variance 1; the true ones give both back.
        mean, variance = true.mean(-1, keepdim=True), true.var(-1, keepdim=True)
        predicted = predicted * (variance + SMALL).sqrt() + mean
    visible = _put(torch.full_like(patches, float("nan")), masks.ids_keep, patches)
    whole = _put(visible, masks.ids_mask, predicted, own=True)
    return Predicted(
        masked=_pixels(visible, masks.ids_mask, task),
        predicted=_pixels(whole, masks.ids_mask, task),
        error=(predicted - true).square().mean((1, 2)).numpy(),
        counts=(masks.ids_mask.shape[1], masks.ids_throw.shape[1], masks.ids_keep.shape[1]),
    )


def _batch(inputs: Tensor, shown: Shown) -> Batch:
    count = len(inputs)
    truth = None
    if shown.truth is not None:
        truth = torch.from_numpy(shown.truth).float()[None, :, None]
    return Batch(
        images=inputs[None],
        labels=torch.from_numpy(np.asarray(shown.chosen.labels, np.int64)),
        ids=torch.arange(count),
        boxes=torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, count, 4),
        flips=torch.zeros(1, count, dtype=torch.bool),
        masks=truth,
    )


def cut(images: Tensor, patch: int) -> Tensor:
    """Cut images (B, C, H, W) into patches (B, L, patch * patch * C), row by row, channel last."""
    b, c, h, w = images.shape
    grid = images.reshape(b, c, h // patch, patch, w // patch, patch)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, patch * patch * c)


def join(patches: Tensor, patch: int, channels: int = 3) -> Tensor:
    """Join patches (B, L, patch * patch * C) to square images (B, H, W, C); undoes ``cut``."""
    b, count, _ = patches.shape
    side = round(count**0.5)
    grid = patches.reshape(b, side, side, patch, patch, channels)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(b, side * patch, side * patch, channels)


def _taken(patches: Tensor, ids: Tensor) -> Tensor:
    return patches.gather(1, ids[..., None].expand(-1, -1, patches.shape[2]))


def _put(patches: Tensor, ids: Tensor, values: Tensor, *, own: bool = False) -> Tensor:
    """Return patches with others at some places: ``values`` itself, or its patches there."""
    where = ids[..., None].expand(-1, -1, patches.shape[2])
    return patches.scatter(1, where, values if own else values.gather(1, where))


def _pixels(patches: Tensor, masked: Tensor, task: Reconstructs) -> np.ndarray:
    """Return images (B, H, W, 3) uint8; what is not known becomes grey, what is thrown darker."""
    images = join(patches, task.patch)
    if task.image_range == "normalised":
        images = images * torch.tensor(STD) + torch.tensor(MEAN)
    empty = torch.full_like(patches, THROWN / 255)
    greys = empty.scatter(
        1,
        masked[..., None].expand(-1, -1, patches.shape[2]),
        torch.full_like(patches, MASKED / 255),
    )
    images = torch.where(images.isnan(), join(greys, task.patch), images)
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
