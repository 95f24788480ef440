"""Keeps attention and masking weights of a few training images while a stage is trained.

It only looks: it draws no random number, and passes run in evaluation mode without gradient, so
that the training's numbers are those without it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.data.chosen import choose
from harness.errors import Damaged
from harness.store import maps
from harness.store.maps import Maps
from harness.train.attending import Attends, class_attention
from harness.train.images import Images
from harness.train.loop import EpochCallback, look
from harness.train.task import Task


class MapKeeper:
    """Calls another callback after every epoch, and keeps maps after some."""

    def __init__(
        self, folder: Path, key: str, task: Task, train: Images, then: EpochCallback
    ) -> None:
        """Choose the images by class and name; nothing is computed yet.

        Args:
            folder: the run store.
            key: of the stage.
            task: that is trained; one whose encoder tells no attention keeps nothing.
            train: its training images.
            then: called first after every epoch.
        """
        self._folder, self._key, self._task, self._then = folder, key, task, then
        chosen = choose(train.names, train.labels.cpu().numpy(), maps.IMAGES)
        self._rows = torch.tensor(chosen, dtype=torch.int64)
        self._images = _some(train, self._rows)
        self._attends = isinstance(getattr(task, "encoder", None), Attends)

    def __call__(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        """Pass an epoch on, and add its maps to the file where it is one of those kept."""
        self._then(epoch, epochs, figures)
        if self._attends and epoch in maps.kept_epochs(epochs):
            maps.write(self._folder, self._key, self._with(epoch))

    def _with(self, epoch: int) -> Maps:
        """Return the maps kept before an epoch, with those of the epoch."""
        encoder: Any = self._task.encoder
        attention = (
            look(self._task, self._images, partial(class_attention, encoder)).float().cpu().numpy()
        )
        guided, weights = self._weights(attention.shape[-1])
        now = Maps(
            names=self._images.names,
            epochs=np.asarray([epoch]),
            attention=attention[None],
            weights=weights[None],
            guided=np.asarray([guided]),
        )
        try:
            kept = maps.read(self._folder, self._key)
        except Damaged:
            kept = None  # a picture less; the training goes on
        if (
            kept is None
            or kept.names != now.names
            or kept.attention.shape[1:] != now.attention.shape[1:]
        ):
            return now
        # A training that was resumed, or begun anew, repeats epochs.
        kept = kept.before(epoch)
        return Maps(
            names=now.names,
            epochs=np.concatenate([kept.epochs, now.epochs]),
            attention=np.concatenate([kept.attention, now.attention]),
            weights=np.concatenate([kept.weights, now.weights]),
            guided=np.concatenate([kept.guided, now.guided]),
        )

    def _weights(self, patches: int) -> tuple[bool, np.ndarray]:
        """Return whether masks follow maps now, and the weights (n, L) that they follow."""
        used = getattr(self._task, "maps", None)
        count = len(self._rows)
        if used is None:
            return False, np.ones((count, patches), np.float32)
        if getattr(getattr(used, "settings", None), "weights", "") in ("lesion", "inverse"):
            return False, np.full((count, patches), np.nan, np.float32)
        if used.maps is None:
            return False, np.ones((count, patches), np.float32)
        chosen = used.maps[self._rows.to(used.maps.device)]
        return True, chosen.flatten(1).float().cpu().numpy()


def _some(images: Images, rows: Tensor) -> Images:
    """Return some of the images, in the order of the rows."""
    device = images.labels.device
    return replace(
        images,
        pixels=images.pixels[rows.to(device)],
        labels=images.labels[rows.to(device)],
        sizes=images.sizes[rows],
        names=tuple(images.names[int(row)] for row in rows),
        masks=None,
        filled=images.filled_by(rows),
    )
