"""Images that the released code never trains on.

On one GPU its sampler draws one permutation for all epochs, with seed 0 whatever ``--seed`` says,
and the incomplete last batch is dropped: the end of the permutation is never seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.data.prepared import ImageStore
from harness.spec.recipe import Recipe
from harness.train.images import epoch_order


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """Training images that a stage of the released code never sees.

    Attributes:
        stage: the stage ("pretrain").
        batch: images per batch.
        images: number of training images.
        names: names of the unseen images.
        by_class: their number by class.
    """

    stage: str
    batch: int
    images: int
    names: tuple[str, ...]
    by_class: Mapping[str, int]


def unseen(
    train: ImageStore, recipes: Mapping[str, Recipe], classes: Sequence[str]
) -> tuple[Unseen, ...]:
    """Return what stages with a fixed order never see; those with too few images are left out.

    The released code lists images by the folder of their class, then by name. The harness's own
    runs of it list them by name, so that as many, but other images are left out there.

    Args:
        train: the training images.
        recipes: of the released code's stages, by name.
        classes: names of the classes.
    """
    labels = train.labels.tolist()
    listing = sorted(range(len(train)), key=lambda i: (classes[labels[i]], train.names[i]))
    result = []
    for stage, recipe in recipes.items():
        if recipe.order != "fixed" or len(train) < recipe.batch_size:
            continue
        seen = epoch_order(len(train), recipe, "", 0).numpy().ravel()
        positions = np.setdiff1d(np.arange(len(train)), seen)
        rows = [listing[position] for position in positions]
        unseen_classes = [classes[labels[row]] for row in rows]
        result.append(
            Unseen(
                stage=stage,
                batch=recipe.batch_size,
                images=len(train),
                names=tuple(train.names[row] for row in rows),
                by_class={name: unseen_classes.count(name) for name in classes},
            )
        )
    return tuple(result)
