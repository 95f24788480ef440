"""What a batch must hold for statistics or negatives within it."""

from __future__ import annotations

from harness.errors import UserError
from harness.spec.recipe import Recipe

NEGATIVES = "each image's negatives are the others of the batch"
"""Why a step cannot be taken in parts, see ``harness.train.task.Task.needs_whole``."""


def need_two(recipe: Recipe, reason: str) -> None:
    """Refuse a batch of one image.

    Args:
        recipe: whose batch it is.
        reason: what needs two images, in words ("BatchNorm").

    Raises:
        UserError: the batch holds one image.
    """
    if recipe.batch_size < 2:
        raise UserError(
            f"recipe.batch_size is {recipe.batch_size}, but {reason} needs other images in the"
            " batch; choose at least 2."
        )
