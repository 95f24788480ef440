"""Whether masks find lesions: the patches that a mask hides against those that a lesion touches.

All numbers are of augmented training images, as trained: weights, lesion masks and patches are
those of the crop. A patch is touched if any of its pixels is lesion. Images of which no patch is
touched, or every one, count in no number: they have no lesion to find, or no place without one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.methods.msmae.masking import Masks


def coverage(masks: Tensor, patch: int) -> Tensor:
    """Return the share of every patch that is lesion, (B, L), from masks (B, 1, H, W) in {0, 1}."""
    return nn.functional.avg_pool2d(masks, patch).flatten(1)


def auc(weights: Tensor, touched: Tensor) -> Tensor:
    """Return each image's area under the ROC curve of patch weights against touched patches, (B,).

    It is the probability that a touched patch is heavier than another one, where a tie counts half
    (Mann-Whitney); so constant weights give 0.5 exactly.

    Args:
        weights: (B, L).
        touched: (B, L) bool, in each row at least one patch and not all.
    """
    heavier = (weights[:, :, None] > weights[:, None, :]).double()
    ties = (weights[:, :, None] == weights[:, None, :]).double()
    pairs = touched[:, :, None] & ~touched[:, None, :]
    return ((heavier + ties / 2) * pairs).sum((1, 2)) / pairs.sum((1, 2))


def pointing(weights: Tensor, touched: Tensor) -> Tensor:
    """Return whether each image's heaviest patch is touched (the pointing game), (B,) in 0..1.

    Among equally heavy patches one is drawn at random, so the share of them that is touched counts.
    """
    heaviest = weights == weights.amax(1, keepdim=True)
    return (heaviest & touched).sum(1) / heaviest.sum(1).double()


def none_of(touched: Tensor, chosen: int) -> Tensor:
    """Return the probability that a uniform draw of patches has no touched one, (B,).

    Of L patches, t of them touched, v are drawn: C(L - t, v) / C(L, v).

    Args:
        touched: (B, L) bool.
        chosen: v.
    """
    patches = torch.tensor(float(touched.shape[1]), dtype=torch.double)
    other = patches - touched.sum(1).double().cpu()
    chance = (
        torch.lgamma(other + 1)
        - torch.lgamma((other - chosen).clamp(min=0) + 1)
        - torch.lgamma(patches + 1)
        + torch.lgamma(patches - chosen + 1)
    ).exp()
    return torch.where(other >= chosen, chance, torch.zeros_like(chance))


def of_weights(weights: Tensor, touched: Tensor, *, name: str = "") -> dict[str, Tensor]:
    """Return how well weights (B, L) point at touched patches, by figure, each (B,)."""
    return {f"{name}auc": auc(weights, touched), f"{name}pointing": pointing(weights, touched)}


def of_masks(masks: Masks, touched: Tensor) -> dict[str, Tensor]:
    """Return what masks do to touched patches (B, L), by figure, each (B,).

    "masked" and "visible" are the shares of masked and of visible patches that are touched; chance
    is "touched", the share of all patches. "seen" is the share of touched patches that is visible;
    chance is "seen_chance". "unseen" says whether no touched patch is visible, and "unseen_chance"
    how probable that is under a uniform draw.
    """
    visible = masks.ids_keep.shape[1]
    count = touched.sum(1).double()
    seen = touched.gather(1, masks.ids_keep).sum(1).double()
    figures = {
        "visible": seen / visible,
        "seen": seen / count,
        "seen_chance": torch.full_like(count, visible / touched.shape[1]),
        "unseen": (seen == 0).double(),
        "unseen_chance": none_of(touched, visible),
    }
    if masks.masked:
        figures["masked"] = touched.gather(1, masks.ids_mask).double().mean(1)
    return figures


class Tally:
    """Means of figures over images, collected batch by batch."""

    def __init__(self) -> None:
        """Begin without images."""
        self._values: dict[str, list[Tensor]] = {}

    def add(self, figures: dict[str, Tensor]) -> None:
        """Add the figures of a batch's images, each (B,)."""
        for name, values in figures.items():
            self._values.setdefault(name, []).append(values.double().cpu())

    def figures(self) -> dict[str, float]:
        """Return the mean of every figure as "lesion/NAME", and the number of images.

        Figures without an image are left out: a history holds no undefined numbers.
        """
        joined = {name: torch.cat(values) for name, values in self._values.items()}
        means = {f"lesion/{name}": float(v.mean()) for name, v in joined.items() if len(v)}
        count = len(joined.get("touched", ()))
        return {**means, "lesion/images": float(count)}


def of_batch(
    covered: Tensor, attention: Tensor, masked: tuple[Tensor, Masks] | None
) -> dict[str, Tensor]:
    """Return the figures of a batch's images that have touched patches and others.

    Args:
        covered: (B, L), see ``coverage``.
        attention: (B, L) weights by the encoder's present attention.
        masked: the weights (B, L) that masks follow, and the masks; None where nothing is masked.
    """
    touched = covered > 0
    rows = touched.any(1) & ~touched.all(1)
    touched = touched[rows]
    figures = {"touched": touched.double().mean(1)}
    figures |= of_weights(attention[rows], touched, name="attention_")
    if masked is not None:
        weights, masks = masked
        some = Masks(masks.order[rows], masks.masked, masks.thrown)
        figures |= of_weights(weights[rows], touched) | of_masks(some, touched)
    return figures
