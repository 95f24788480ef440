"""Minimal batch size of methods that use BatchNorm or negatives within the batch."""

from __future__ import annotations

from harness.errors import UserError
from harness.spec.recipe import Recipe

NEGATIVES = "each image's negatives are the others of the batch"
"""Why such a batch cannot be split, see ``harness.train.task.Task.needs_whole``."""


def need_two(recipe: Recipe, reason: str) -> None:
    """Check that a batch has at least two images.

    Args:
        recipe: the recipe whose ``batch_size`` is checked.
        reason: what needs two images, in words ("BatchNorm").

    Raises:
        UserError: the batch has one image.
    """
    if recipe.batch_size < 2:
        raise UserError(
            f"recipe.batch_size is {recipe.batch_size}, but {reason} needs other images in the"
            " batch; choose at least 2."
        )
