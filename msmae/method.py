"""MSMAE: a masked autoencoder whose masks follow supervised attention, and its relatives' core."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from harness.augment.view import Augmentation
from harness.errors import UserError
from harness.methods.msmae import masking
from harness.methods.msmae.patches import normalise_patches, patchify
from harness.spec.backbones import VIT, Backbone, BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import EPOCHS
from harness.train.task import Batch, DatasetPass, StepContext, Task

if TYPE_CHECKING:
    from harness.methods.msmae.saliency import AttentionMaps

CLASS_HEAD = ("linear", "mlp")


@dataclass(frozen=True, kw_only=True)
class GuidedMasking:
    """Settings of attention-guided masking in pre-training.

    Attributes:
        mask_ratio: share of patches masked (paper, Table 4: 0.45).
        throw_ratio: share thrown, neither encoded nor reconstructed (Table 4: 0.30).
        random_ratio: share masked during the random epochs (unstated in the paper; 0.75 in the
            released code).
        random_epochs: epochs of uniform masking first (paper: 40; released code: 41).
        update_interval: epochs between looks (Table 4: 40).
        update_rule: "from-start" looks before epoch ``random_epochs`` and every interval after
            it; "released" after every epoch from 40 on whose number the interval divides, except
            the last.
        weights, crop, normalisation: see ``harness.methods.msmae.saliency.MapSettings``.
        reconstruction: "mse", as MAE and the released code; "l2", the norm of each patch's error
            (paper, eq. 1), both averaged over masked patches.
        normalise_pixels: targets normalised per patch (off in the released code).

    Raises:
        UserError: ratios or durations that cannot be.
    """

    mask_ratio: float = 0.45
    throw_ratio: float = 0.30
    random_ratio: float = 0.75
    random_epochs: int = field(default=40, metadata=EPOCHS)
    update_interval: int = field(default=40, metadata=EPOCHS)
    update_rule: Literal["from-start", "released"] = "from-start"
    weights: Literal["attention", "ones"] = "attention"
    crop: Literal["joint", "top-left"] = "joint"
    normalisation: Literal["mean-first", "per-head"] = "mean-first"
    reconstruction: Literal["mse", "l2"] = "mse"
    normalise_pixels: bool = False

    def __post_init__(self) -> None:
        masking.check_ratios(self.mask_ratio, self.throw_ratio)
        masking.check_ratios(self.random_ratio, 0.0)
        if self.update_interval < 1 or self.random_epochs < 0:
            raise UserError(
                f"update_interval is {self.update_interval} and random_epochs is"
                f" {self.random_epochs}; allowed: at least 1 and at least 0."
            )

    def looks_before(self, epoch: int) -> bool:
        """Whether the maps are renewed before an epoch (0-based)."""
        if self.update_rule == "from-start":
            since = epoch - self.random_epochs
            return since >= 0 and since % self.update_interval == 0
        # After epoch e >= warm-up; the random epochs outlast the warm-up by one.
        done = epoch - 1
        return done >= max(self.random_epochs - 1, 0) and done % self.update_interval == 0


@dataclass(frozen=True, kw_only=True)
class MSMAE(GuidedMasking):
    """MSMAE's pre-training (paper, section 3.2; Table 4).

    Attributes:
        classification_weight: lambda of eq. 3.
        head: "linear" on [CLS] (released code) or "mlp" with one hidden layer (paper, eq. 2).
        softmax: "once", or "twice": the released code feeds probabilities to a loss that applies
            the softmax again, which bounds it to ln(1 + (K - 1) / e) .. ln(e + K - 1).
    """

    key_name: ClassVar[str] = "msmae"
    backbone: ClassVar[Backbone[Any]] = VIT

    classification_weight: float = 0.1
    head: Literal["linear", "mlp"] = "linear"
    softmax: Literal["once", "twice"] = "once"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classification_weight < 0:
            raise UserError(
                f"classification_weight is {self.classification_weight}; it must be at least 0."
            )

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the pre-training task for the classes of a data set."""
        return MaskedAutoencoder(backbones, guidance=self, head=_head(self, dataset, backbones))


def _head(settings: MSMAE, dataset: Dataset, backbones: BackboneSizes) -> ClassHead:
    width, classes = backbones.vit.width, len(dataset.classes)
    layers: nn.Module = nn.Linear(width, classes)
    if settings.head == "mlp":
        layers = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, classes))
    return ClassHead(layers, settings.classification_weight, settings.softmax)


class ClassHead(nn.Module):
    """Classify [CLS] during pre-training (paper, eq. 2)."""

    def __init__(self, layers: nn.Module, weight: float, softmax: str) -> None:
        """Initialise the layers as MAE does."""
        super().__init__()
        self.layers = layers
        self.loss_weight = weight
        self.softmax = softmax
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)

    def forward(self, cls: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of [CLS] tokens (B, D) and labels (B,)."""
        return classification_loss(self.layers(cls).float(), labels, softmax=self.softmax)


def classification_loss(logits: Tensor, labels: Tensor, *, softmax: str) -> Tensor:
    """Return the cross-entropy of logits (B, K) float32 under one softmax, or under two."""
    if softmax == "twice":
        logits = logits.softmax(1)
    return nn.functional.cross_entropy(logits, labels)


class MaskedAutoencoder(Task):
    """The core that MAE, AMT and MSMAE share: encode visible patches, reconstruct masked ones.

    Args:
        backbones: the profile's sizes.
        guidance: guided masking; None masks ``mask_ratio`` of the patches uniformly throughout.
        mask_ratio: without guidance, the share masked.
        normalise_pixels: without guidance, see ``GuidedMasking``.
        head: the classification head of MSMAE.
    """

    def __init__(
        self,
        backbones: BackboneSizes,
        *,
        guidance: GuidedMasking | None,
        mask_ratio: float = 0.75,
        normalise_pixels: bool = False,
        head: ClassHead | None = None,
    ) -> None:
        """Build encoder and decoder at the profile's size."""
        from harness.methods.msmae.decoder import Decoder
        from harness.methods.msmae.vit import VisionTransformer

        super().__init__()
        self.augmentations = (Augmentation(),)
        self.needs_whole = None
        self.patch = backbones.vit.patch
        self.grid = backbones.grid
        self.guidance = guidance
        self.random_ratio = guidance.random_ratio if guidance else mask_ratio
        self.normalise_pixels = guidance.normalise_pixels if guidance else normalise_pixels
        self.reconstruction = guidance.reconstruction if guidance else "mse"
        self.encoder = VisionTransformer(backbones.vit, backbones.image_size)
        self.decoder = Decoder(backbones.vit, self.grid)
        self.head = head
        self.maps = _maps(guidance, backbones) if guidance else None

    def before_epoch(self, epoch: int, look: DatasetPass) -> None:
        """Renew the attention maps when the schedule says so."""
        if self.guidance and self.maps and self.guidance.looks_before(epoch):
            self.maps.renew(look, self.encoder)

    def draw_masks(self, batch: Batch, at: StepContext) -> masking.Masks:
        """Draw the step's masks, on the batch's device."""
        size = (len(batch.labels), self.grid**2)
        if self._guided(at) and self.maps is not None:
            weights = self.maps.patch_weights(batch)
            return masking.weighted(weights, self._ratios(at), at.generator)
        drawn = masking.uniform(size, self._ratios(at), at.generator)
        order = drawn.order.to(batch.images.device, non_blocking=True)
        return masking.Masks(order, drawn.masked, drawn.thrown)

    def draw(self, batch: Batch, at: StepContext) -> Tensor:
        """Draw the orders of patches (B, L) that make the step's masks."""
        return self.draw_masks(batch, at).order

    def _masks(self, batch: Batch, at: StepContext) -> masking.Masks:
        if batch.drawn is None:
            return self.draw_masks(batch, at)
        return masking.Masks(batch.drawn, *masking.counts(self.grid**2, *self._ratios(at)))

    def _guided(self, at: StepContext) -> bool:
        return self.guidance is not None and at.epoch >= self.guidance.random_epochs

    def _ratios(self, at: StepContext) -> tuple[float, float]:
        if self.guidance is not None and self._guided(at):
            return self.guidance.mask_ratio, self.guidance.throw_ratio
        return self.random_ratio, 0.0

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return the reconstruction loss and, with a head, the classification loss (eq. 3)."""
        images = batch.images[0]
        masks = self._masks(batch, at)
        encoded = self.encoder.norm(self.encoder(images, masks.ids_keep))
        predicted = self.decoder(encoded, masks).float()
        target = self.target(images, masks)
        losses = {"reconstruction": reconstruction_loss(predicted, target, self.reconstruction)}
        total = losses["reconstruction"]
        if self.head is not None:
            losses["classification"] = self.head(encoded[:, 0], batch.labels)
            total = total + self.head.loss_weight * losses["classification"]
        return {"total": total, **losses}

    def features(self, images: Tensor) -> Tensor:
        """Return the mean of the patch tokens after the final norm (B, D), from all patches."""
        tokens: Tensor = self.encoder.norm(self.encoder(images))[:, 1:]
        return tokens.mean(1)

    def target(self, images: Tensor, masks: masking.Masks) -> Tensor:
        """Return the masked patches' pixels (B, masked, P * P * 3)."""
        ids = masks.ids_mask[..., None]
        patches = patchify(images, self.patch)
        patches = patches.gather(1, ids.expand(-1, -1, patches.shape[2]))
        return normalise_patches(patches) if self.normalise_pixels else patches

    def get_extra_state(self) -> dict[str, Any]:
        """Keep the attention maps across a kill."""
        return self.maps.state() if self.maps else {}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the attention maps back."""
        if self.maps:
            self.maps.restore(state, self.decoder.mask_token.device)


def _maps(guidance: GuidedMasking, backbones: BackboneSizes) -> AttentionMaps:
    from harness.methods.msmae.saliency import AttentionMaps, MapSettings

    settings = MapSettings(
        weights=guidance.weights, crop=guidance.crop, normalisation=guidance.normalisation
    )
    return AttentionMaps(settings, backbones.image_size, backbones.vit.patch)


def reconstruction_loss(predicted: Tensor, target: Tensor, kind: str) -> Tensor:
    """Compare masked patches (B, masked, P * P * 3), averaged over images and masked patches.

    "mse": mean squared error of a patch (MAE, released code). "l2": Euclidean norm of a patch's
    error (paper, eq. 1).
    """
    error = predicted - target
    if kind == "mse":
        return error.square().mean()
    norms: Tensor = torch.linalg.vector_norm(error, dim=2)
    return norms.mean()
