"""Measurement of a training's masks against the lesions, from one more pass over its images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from harness.methods.msmae import lesions
from harness.methods.msmae.masking import Masks
from harness.methods.msmae.saliency import AttentionMaps
from harness.methods.msmae.vit import VisionTransformer
from harness.train.task import AugmentedPass, Batch, DatasetPass, StepContext

Draw = Callable[[Batch, StepContext], tuple[Tensor, Masks]]
"""Returns the weights (B, L) that masks follow, and masks drawn by them."""


def figures(
    maps: AttentionMaps,
    encoder: VisionTransformer,
    look: DatasetPass,
    augmented: AugmentedPass,
    draw: Draw | None,
) -> dict[str, float]:
    """Return the figures of an epoch by name, see ``harness.methods.msmae.lesions``.

    Args:
        maps: the maps of the training, of which only the settings are read.
        encoder: whose present attention is measured, too: masks may follow an older one, or none.
        look: passes the training images through the encoder.
        augmented: augments them as in training.
        draw: None where nothing is masked.
    """
    patch = maps.image_size // maps.grid
    settings = replace(maps.settings, weights="attention", crop="joint")
    present = AttentionMaps(settings, maps.image_size, patch)
    present.renew(look, encoder)
    tally = lesions.Tally()
    for batch, at in augmented():
        assert batch.masks is not None, "loaded without masks"
        covered = lesions.coverage(batch.masks[0], patch)
        masked = None if draw is None else draw(batch, at)
        tally.add(lesions.of_batch(covered, present.patch_weights(batch), masked))
    return tally.figures()
