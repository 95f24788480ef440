"""Training and evaluation images in memory, on the task's device, as one uint8 tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from harness import seed
from harness.augment import central_crop, masks, view
from harness.augment.masks import Nearest
from harness.augment.view import Evaluation, ImageRange
from harness.data.prepared import ImageStore
from harness.errors import UserError
from harness.spec.profile import OVERSAMPLING, Profile
from harness.spec.recipe import Recipe
from harness.train import pixels
from harness.train.ahead import Packed, packed
from harness.train.pixels import Pixels, StoredPixels
from harness.train.task import Batch, StepContext, Task

SAMPLER_SEED = 0
"""Seed of torch's DistributedSampler in every stage of the released code."""

EVALUATION_BATCH = 256
"""Images per forward pass without gradient."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """A part of a data set in a device's memory; S is ``OVERSAMPLING`` times ``size``.

    Attributes:
        pixels: (N, C, S, S) uint8, C = 1 or 3, on the device, or in the store's file.
        labels: (N,) int64 on the device.
        sizes: (N, 2) int64 original height and width, on the CPU.
        names: the N file names without suffix.
        size: side of the model's input.
        masks: (N, 1, S, S) uint8 in {0, 1}, on the device; None where no stage needs them.
        filled: (N, 2) shares of S that the images' height and width fill, on the CPU; None
            where all are stored at S x S.
    """

    pixels: Pixels
    labels: Tensor
    sizes: Tensor
    names: tuple[str, ...]
    size: int
    masks: Tensor | None = None
    filled: Tensor | None = None

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def stretched(self, batch_size: int = EVALUATION_BATCH) -> Iterator[Tensor]:
        """Yield batches (B, 3, H, W) of all images in order, each whole image resized."""
        return self.evaluated("stretch", batch_size)

    def evaluated(
        self,
        transform: Evaluation,
        batch_size: int = EVALUATION_BATCH,
        *,
        image_range: ImageRange = "normalised",
    ) -> Iterator[Tensor]:
        """Yield batches (B, 3, H, W) of all images in order under an evaluation transform."""
        rows = torch.arange(len(self)).split(batch_size)
        for whole, chosen in zip(self.pixels.split(batch_size), rows, strict=True):
            filled = _moved(self.filled_by(chosen), whole.device)
            if transform == "centre-crop":
                yield central_crop.crop(
                    whole, self.sizes[chosen], self.size, filled, image_range=image_range
                )
            else:
                settings = view.STRETCH if transform == "stretch" else view.STRETCH_OPENCV
                yield view.stretch(
                    whole, self.size, filled, settings=settings, image_range=image_range
                )

    def filled_by(self, rows: Tensor) -> Tensor | None:
        """Return the shares of S (B, 2) that the images of rows (B,) fill, all on the CPU.

        None where all are S x S.
        """
        return None if self.filled is None else self.filled[rows]

    def truth(self, nearest: Nearest = "centre") -> np.ndarray:
        """Return the reference masks at the size of the model's input, (N, H, W) bool."""
        assert self.masks is not None, "loaded without masks"
        filled = _moved(self.filled, self.masks.device)
        resized = masks.whole(self.masks, self.size, filled, nearest=nearest)
        return resized[:, 0].bool().cpu().numpy()


def load(
    store: ImageStore, profile: Profile, device: torch.device, *, with_masks: bool = False
) -> Images:
    """Load a part of a prepared data set onto the device, at ``OVERSAMPLING`` x the input size.

    Raises:
        UserError: ``with_masks`` is set, but there are no masks or all are empty.
    """
    size = profile.backbones.image_size
    return Images(
        pixels=pixels.load(store, size * OVERSAMPLING, device),
        labels=torch.from_numpy(np.asarray(store.labels, dtype=np.int64)).to(device),
        sizes=torch.from_numpy(np.asarray(store.sizes, dtype=np.int64)),
        names=store.names,
        size=size,
        masks=_load_masks(store, size).to(device) if with_masks else None,
        filled=_filled(store, size),
    )


def _moved(filled: Tensor | None, device: torch.device) -> Tensor | None:
    return None if filled is None else filled.to(device, non_blocking=True)


def _filled(store: ImageStore, size: int) -> Tensor | None:
    """Return the shares of the loaded arrays' sides that the images fill, (n, 2) float32."""
    side = min(size * OVERSAMPLING, store.images.shape[1])
    extents = store.extents(side)
    return None if bool((extents == side).all()) else torch.from_numpy(extents / side).float()


def masks_of(store: ImageStore, size: int) -> np.ndarray:
    """Return the reference masks of a part at the size of the model's input, (n, size, size)."""
    return masks.whole(_load_masks(store, size), size, _filled(store, size))[:, 0].bool().numpy()


def pictures_of(store: ImageStore, size: int) -> np.ndarray:
    """Return the images of a part stretched to (n, size, size, 3 or 1) uint8, for figures."""
    whole = torch.from_numpy(store.load(size * OVERSAMPLING)).permute(0, 3, 1, 2)
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(len(whole), 4)
    no_flips = torch.zeros(len(whole), dtype=torch.bool)
    boxes = view.within(box, _filled(store, size))
    stretched = view.cut(whole, boxes, no_flips, size, confine=True).round().clamp(0, 255)
    return stretched.permute(0, 2, 3, 1).to(torch.uint8).numpy()


def _load_masks(store: ImageStore, size: int) -> Tensor:
    loaded = torch.from_numpy(store.load_masks(size * OVERSAMPLING))[:, None]
    if not bool(loaded.any()):
        raise UserError(
            f"All {len(loaded)} masks of a part of {store.dataset!r} are empty ({store.names[0]} to"
            f" {store.names[-1]}); nothing can be learnt or measured on them. Prepare it again."
        )
    return loaded


def epoch_order(count: int, recipe: Recipe, stream: str, epoch: int) -> Tensor:
    """Return the row numbers of an epoch's batches, (steps, B); an incomplete last one is dropped.

    "reshuffled" draws a new permutation every epoch, so that another remainder is dropped each
    time. "fixed" repeats one permutation, so that the images of its remainder are never trained on
    (released code: a distributed sampler without ``set_epoch``), see ``Recipe.permutation``.

    Raises:
        UserError: there are fewer images than one batch.
    """
    batch = recipe.batch_size
    if count < batch:
        raise UserError(
            f"recipe.batch_size is {batch}, but there are only {count} training images; choose"
            f" at most {count}."
        )
    fixed = recipe.order == "fixed"
    if fixed and recipe.permutation == "of-all-stages":
        generator = seed.numbered(SAMPLER_SEED)
    else:
        generator = seed.generator(stream, "order", 0 if fixed else epoch)
    order = torch.randperm(count, generator=generator)
    steps = count // batch
    return order[: steps * batch].view(steps, batch)


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What is drawn for one step, of V views of B images, and made ready on the CPU.

    Attributes:
        rows: (B,) int64, of the images.
        boxes: V crops (B, 4) float32, as fractions of the images.
        flips: V times (B,) bool.
        views: V times what the augmentation takes besides.
        stored: (B, C, S, S) uint8, where the images are read from a file; None where they are on
            the device.
        filled: (B, 2), see ``Images.filled_by``.
        task: what ``Task.draw_ahead`` and ``Task.crops_ahead`` returned; None where the task is not
            asked.
    """

    moves: ClassVar[bool] = True

    rows: Tensor
    boxes: tuple[Tensor, ...]
    flips: tuple[Tensor, ...]
    views: tuple[view.Drawn, ...]
    stored: Tensor | None = None
    filled: Tensor | None = None
    task: Mapping[str, Any] | None = None


def draw(
    task: Task,
    train: Images,
    rows: Tensor,
    at: StepContext,
    *,
    ahead: bool,
    prepares: bool = False,
) -> Draws:
    """Draw the augmentations of the rows (B,), on the CPU.

    Boxes, flips and colour come from ``at.generator`` in this order, view after view, then what
    the task draws, so that the draws are the same on every device.

    Args:
        task: whose views and draws they are.
        train: the training images.
        rows: of the step.
        at: the step.
        ahead: whether the task draws, too, see ``Task.draw_ahead``.
        prepares: whether what follows from the crops is made here, too, where the task draws: on a
            device it takes many small kernels, and the thread that draws ahead has time.
    """
    sizes, filled = train.sizes[rows], train.filled_by(rows)
    boxes, flips, views = [], [], []
    for number, settings in enumerate(task.augmentations):
        boxes.append(task.draw_boxes(number, sizes, rows, at).float())
        flips.append(torch.rand(len(rows), generator=at.generator) < settings.flip)
        views.append(view.draw(settings, len(rows), train.size, at.generator))
    made = dict(task.draw_ahead(len(rows), at)) if ahead else None
    if made is not None and prepares:
        whole = train.pixels
        sides = (whole.side if isinstance(whole, StoredPixels) else whole.shape[-1], train.size)
        for number, settings in enumerate(task.augmentations):
            box, kernel = view.within(boxes[number], filled), settings.interpolation
            crop = view.axes(box, flips[number], sides, kernel, confine=True)
            views[number] = replace(views[number], crop=crop)
        made |= task.crops_ahead(boxes, flips, at)
    return Draws(
        rows=rows,
        boxes=tuple(boxes),
        flips=tuple(flips),
        views=tuple(views),
        stored=train.pixels.read(rows) if isinstance(train.pixels, StoredPixels) else None,
        filled=filled,
        task=made,
    )


def draw_batch(task: Task, train: Images, rows: Tensor, at: StepContext) -> Batch:
    """Draw and apply the augmentations of the rows (B,) to give a batch of V views, see ``draw``.

    What the task itself draws is left to it.
    """
    draws = draw(task, train, rows, at, ahead=False)
    return cut_batch(task, train, packed(draws, train.pixels.device))


def cut_batch(task: Task, train: Images, drawn: Draws | Packed) -> Batch:
    """Apply what was drawn for a step, on the device of the images, to give a batch of V views."""
    draws: Draws = drawn.on(train.pixels.device) if isinstance(drawn, Packed) else drawn
    ids = draws.rows
    # On a CPU, images that are only cropped go from the array to the batch a few at a time.
    device = train.pixels.device
    crops_alone = device.type == "cpu" and all(map(view.only_cropped, draws.views))
    whole = draws.stored  # (B, C, S, S) uint8
    rows = None  # all of them
    if whole is None:
        held = train.pixels
        if isinstance(held, Tensor) and crops_alone:
            whole, rows = held, ids
        else:
            # ``index_select`` copies whole images; indexing copies byte by byte on a CPU.
            whole = held.index_select(0, ids) if isinstance(held, Tensor) else held[ids]
    truth = None
    if task.needs_masks:
        assert train.masks is not None, "loaded without masks"
        truth = train.masks.index_select(0, ids)  # (B, 1, S, S)
    images, targets = [], []
    each = zip(task.augmentations, draws.boxes, draws.flips, draws.views, strict=True)
    for settings, box, flip, changes in each:
        stored = view.within(box, draws.filled)
        if crops_alone:
            sides = (whole.shape[-1], train.size)
            kernel = settings.interpolation
            taps = changes.crop or view.axes(stored, flip, sides, kernel, confine=True)
            images.append(view.crops(whole, rows, taps, task.image_range))
        else:
            changed = view.augment(whole, stored, flip, train.size, settings, changes)
            images.append(view.finish(changed, changes, task.image_range))
        if truth is not None:
            # Masks take the same box, flip and rotation as their image, but no colour.
            where = (stored, flip, train.size, changes.turns)
            targets.append(masks.cut(truth, *where, nearest=task.nearest))
    return Batch(
        images=_stacked(images),
        labels=train.labels[ids],
        ids=ids,
        boxes=_stacked(draws.boxes),
        flips=_stacked(draws.flips),
        masks=_stacked(targets) if targets else None,
        ahead=draws.task,
    )


def _stacked(views: Sequence[Tensor]) -> Tensor:
    """Return V tensors as one, (V, ...), in order in memory; a single one is not copied."""
    return views[0][None].contiguous() if len(views) == 1 else torch.stack(list(views))
