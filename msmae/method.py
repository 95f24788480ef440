"""MSMAE pre-training, and the masked autoencoder that MAE, AMT and MSMAE share."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from harness import ranges
from harness.augment.view import Augmentation
from harness.canonical import acts_where, as_before
from harness.methods.msmae import masking
from harness.methods.msmae.masking import Measure, Selection, Weights
from harness.methods.msmae.patches import normalise_patches, patchify
from harness.ranges import Epochs, EpochsOrNone, ShareBelowOne
from harness.spec.backbones import VIT, Backbone, BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import EPOCHS, Recipe
from harness.train.task import AugmentedPass, Batch, DatasetPass, StepContext, Task

if TYPE_CHECKING:
    from harness.methods.msmae.saliency import AttentionMaps

CLASS_HEAD = ("linear", "mlp")


@dataclass(frozen=True, kw_only=True)
class GuidedMasking:
    """Settings of attention-guided masking in pre-training.

    Attributes:
        mask_ratio: share of patches masked (paper, Table 4: 0.45).
        throw_ratio: share of patches thrown, neither encoded nor reconstructed (Table 4: 0.30).
        random_ratio: share masked during the epochs of uniform masking (not stated in the paper;
            0.75 in the released code).
        random_epochs: epochs of uniform masking at the start (paper: 40; released code: 41).
        update_interval: epochs between renewals of the attention maps (Table 4: 40).
        update_rule: when the maps are renewed: "from-start" before epoch ``random_epochs`` and
            every interval after it; "released" after every epoch from 40 on whose number is a
            multiple of the interval, except the last.
        weights, crop, normalisation: see ``harness.methods.msmae.saliency.MapSettings``.
        selection: "drawn" in proportion to the weights (paper, eq. 6), or the "highest" weights
            (AttMask), see ``harness.methods.msmae.masking.highest``.
        hints: share of the masked patches that "highest" shows instead (AttMask-Hint).
        measure: "lesions" records after every epoch how attention, weights and masks lie to the
            true lesions (``harness.methods.msmae.lesions``); it changes nothing in the training.
        reconstruction: the loss: "mse", as MAE and the released code; "l2", the Euclidean norm of
            each patch's error (paper, eq. 1); both averaged over masked patches.
        normalise_pixels: whether every target patch is normalised to mean 0 and variance 1 (off in
            the released code).

    Raises:
        UserError: a ratio or a duration is outside its range.
    """

    mask_ratio: ShareBelowOne = 0.45
    throw_ratio: ShareBelowOne = 0.30
    random_ratio: ShareBelowOne = 0.75
    random_epochs: EpochsOrNone = field(default=40, metadata=EPOCHS)
    update_interval: Epochs = field(default=40, metadata=EPOCHS)
    update_rule: Literal["from-start", "released"] = "from-start"
    weights: Weights = "attention"
    crop: Literal["joint", "top-left"] = "joint"
    normalisation: Literal["mean-first", "per-head"] = "mean-first"
    selection: Selection = field(default="drawn", metadata=as_before("drawn"))
    hints: ShareBelowOne = field(
        default=0.0, metadata={**as_before(0.0), **acts_where("selection", "highest")}
    )
    measure: Measure = field(default="nothing", metadata=as_before("nothing"))
    reconstruction: Literal["mse", "l2"] = "mse"
    normalise_pixels: bool = False

    def __post_init__(self) -> None:
        ranges.check(self)
        masking.check_ratios(self.mask_ratio, self.throw_ratio)

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Check how many patches are masked, thrown and visible at the profile's size."""
        del images
        patches = backbones.grid**2
        if self.random_epochs > 0:
            counted = masking.counts(patches, self.random_ratio, 0.0)
            masking.check_counts(patches, {"random_ratio": self.random_ratio}, counted)
        if self.random_epochs < recipe.epochs:
            given = {"mask_ratio": self.mask_ratio, "throw_ratio": self.throw_ratio}
            masking.check_counts(patches, given, masking.counts(patches, *given.values()))
            masking.check_hints(patches, (self.mask_ratio, self.throw_ratio), self.hints)

    @property
    def masks_for(self) -> str | None:
        """The setting that needs a data set with lesion masks; None if none does."""
        return masking.masks_for(self.weights, self.measure)

    def looks_before(self, epoch: int) -> bool:
        """Whether the attention maps are renewed before an epoch (0-based)."""
        if self.update_rule == "from-start":
            since = epoch - self.random_epochs
            return since >= 0 and since % self.update_interval == 0
        # The released code renews at the end of epoch e where e >= 40 and e % interval == 0, so
        # its first guided epoch is 41 and random_epochs is one more than its warm-up of 40.
        finished = epoch - 1
        first = max(self.random_epochs - 1, 0)
        return finished >= first and finished % self.update_interval == 0


@dataclass(frozen=True, kw_only=True)
class MSMAE(GuidedMasking):
    """MSMAE's pre-training (paper, section 3.2; Table 4).

    Attributes:
        classification_weight: weight λ of the classification loss (eq. 3).
        head: classifier on [CLS]: "linear" (released code) or "mlp" with one hidden layer (paper,
            eq. 2).
        softmax: "once", or "twice": the released code feeds probabilities to a loss that applies
            the softmax again, which keeps the loss of K classes between ln(1 + (K - 1) / e) and
            ln(e + K - 1).
    """

    key_name: ClassVar[str] = "msmae"
    backbone: ClassVar[Backbone[Any]] = VIT

    classification_weight: Annotated[float, Meta(ge=0, le=1e6)] = 0.1
    head: Literal["linear", "mlp"] = "linear"
    softmax: Literal["once", "twice"] = "once"

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the pre-training task for the classes of a data set."""
        return MaskedAutoencoder(
            backbones, guidance=self, head=_class_head(self, dataset, backbones)
        )


def _class_head(settings: MSMAE, dataset: Dataset, backbones: BackboneSizes) -> ClassHead:
    width, classes = backbones.vit.width, len(dataset.classes)
    layers: nn.Module = nn.Linear(width, classes)
    if settings.head == "mlp":
        layers = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, classes))
    return ClassHead(layers, settings.classification_weight, settings.softmax)


class ClassHead(nn.Module):
    """Classification head on the [CLS] token, used during pre-training (paper, eq. 2)."""

    def __init__(self, layers: nn.Module, weight: float, softmax: str) -> None:
        """Initialise the linear layers as MAE does: Xavier-uniform weights, zero biases."""
        super().__init__()
        self.layers = layers
        self.loss_weight = weight
        self.softmax = softmax
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)

    def forward(self, cls: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of [CLS] tokens (B, D) with labels (B,)."""
        return classification_loss(self.layers(cls).float(), labels, softmax=self.softmax)


def classification_loss(logits: Tensor, labels: Tensor, *, softmax: str) -> Tensor:
    """Return the mean cross-entropy of logits (B, K), with the softmax applied once or twice."""
    if softmax == "twice":
        # As the released code: cross_entropy below applies the second softmax to probabilities.
        logits = logits.softmax(1)
    return nn.functional.cross_entropy(logits, labels)


class MaskedAutoencoder(Task):
    """Encode the visible patches and reconstruct the masked ones (shared by MAE, AMT, MSMAE).

    Args:
        backbones: the profile's sizes.
        guidance: settings of attention-guided masking; None masks ``mask_ratio`` of the patches
            uniformly throughout.
        mask_ratio: share masked where ``guidance`` is None.
        normalise_pixels: see ``GuidedMasking``; read where ``guidance`` is None.
        rounding: number of patches that is rounded down, see ``masking.counts`` ("masked") and
            ``masking.counts_kept`` ("visible"); read where ``guidance`` is None.
        head: the classification head of MSMAE; None for methods without labels.
    """

    cast_once = True

    def __init__(
        self,
        backbones: BackboneSizes,
        *,
        guidance: GuidedMasking | None,
        mask_ratio: float = 0.75,
        normalise_pixels: bool = False,
        rounding: Literal["visible", "masked"] = "masked",
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
        self.rounding = "masked" if guidance else rounding
        self.normalise_pixels = guidance.normalise_pixels if guidance else normalise_pixels
        self.reconstruction = guidance.reconstruction if guidance else "mse"
        self.encoder = VisionTransformer(backbones.vit, backbones.image_size)
        self.decoder = Decoder(backbones.vit, self.grid)
        self.head = head
        self.maps = _attention_maps(guidance, backbones) if guidance else None

    def before_epoch(self, epoch: int, look: DatasetPass) -> None:
        """Renew the attention maps in the epochs that the update rule names."""
        if self.guidance and self.maps and self.guidance.looks_before(epoch):
            self.maps.renew(look, self.encoder)

    def after_epoch(
        self, epoch: int, look: DatasetPass, augmented: AugmentedPass
    ) -> dict[str, float]:
        """Measure attention, weights and masks against the lesions, where that is set."""
        del epoch
        if self.guidance is None or self.maps is None or self.guidance.measure == "nothing":
            return {}
        from harness.methods.msmae import measuring

        return measuring.figures(self.maps, self.encoder, look, augmented, self._measured_masks)

    def _measured_masks(self, batch: Batch, at: StepContext) -> tuple[Tensor, masking.Masks]:
        """Return the weights (B, L) that masks follow in this epoch, and masks drawn by them."""
        assert self.maps is not None
        size = (len(batch.labels), self.grid**2)
        guided = self._is_guided(at)
        weights = self.maps.patch_weights(batch) if guided else batch.images.new_ones(size)
        return weights, self.draw_masks(batch, at)

    @property
    def needs_masks(self) -> bool:
        """Whether a setting needs lesion masks."""
        return bool(self.guidance and self.guidance.masks_for)

    def draw_ahead(self, count: int, at: StepContext) -> Mapping[str, Tensor]:
        """Draw what the masks of a step need: permutations of patches, or noise for the weights."""
        size = (count, self.grid**2)
        if self.guidance and self.maps and self._is_guided(at):
            how = (self.guidance.selection, self.guidance.hints)
            return masking.noise(size, self._ratios(at), at.generator, *how)
        return {"order": masking.permutations(size, at.generator)}

    def crops_ahead(
        self, boxes: Sequence[Tensor], flips: Sequence[Tensor], at: StepContext
    ) -> Mapping[str, Tensor]:
        """Return what the weights of the patches need of the crops, where masks follow them."""
        if self.maps is None or not self._is_guided(at):
            return {}
        return self.maps.crops_ahead(boxes[0], flips[0])

    def draw_masks(self, batch: Batch, at: StepContext) -> masking.Masks:
        """Draw the masks of one step, on the device of the batch."""
        device = batch.images.device
        drawn = batch.ahead or self.draw_ahead(len(batch.labels), at)
        if self.guidance and self.maps and self._is_guided(at):
            weights = self.maps.patch_weights(batch)
            how = (self.guidance.selection, self.guidance.hints)
            return masking.select(weights, self._ratios(at), drawn, *how)
        return masking.Masks(drawn["order"].to(device, non_blocking=True), *self._counts(at))

    def draw(self, batch: Batch, at: StepContext) -> Tensor:
        """Draw the permutations of patches (B, L) that define the masks of one step."""
        return self.draw_masks(batch, at).order

    def _masks_of(self, batch: Batch, at: StepContext) -> masking.Masks:
        """Return the masks of a batch: those drawn for it before, or new ones."""
        if batch.drawn is None:
            return self.draw_masks(batch, at)
        return masking.Masks(batch.drawn, *self._counts(at))

    def _is_guided(self, at: StepContext) -> bool:
        """Whether masks follow attention in this epoch, which ends the uniform masking."""
        return self.guidance is not None and at.epoch >= self.guidance.random_epochs

    def _ratios(self, at: StepContext) -> tuple[float, float]:
        """Return the shares of patches masked and thrown in this epoch."""
        if self.guidance is not None and self._is_guided(at):
            return self.guidance.mask_ratio, self.guidance.throw_ratio
        return self.random_ratio, 0.0

    def _counts(self, at: StepContext) -> tuple[int, int]:
        """Return the numbers of patches masked and thrown in this epoch."""
        if self.rounding == "visible":
            return masking.counts_kept(self.grid**2, self.random_ratio)
        return masking.counts(self.grid**2, *self._ratios(at))

    def step_kind(self, at: StepContext) -> Hashable:
        """Return the numbers of patches masked and thrown: the shapes of a step."""
        return self._counts(at)

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return the reconstruction loss and, with a head, the classification loss (eq. 3)."""
        patches = patchify(batch.images[0], self.patch)  # for both, encoder and target
        masks = self._masks_of(batch, at)
        # (B, 1 + visible, D): only visible patches are encoded, then the final norm as in MAE.
        encoded = self.encoder.norm(self.encoder(patches, masks.ids_keep))
        predicted = self.decoder(encoded, masks).float()
        target = self.target(patches, masks)
        losses = {"reconstruction": reconstruction_loss(predicted, target, self.reconstruction)}
        total = losses["reconstruction"]
        if self.head is not None:
            # Eq. 3: total = reconstruction + λ * classification.
            losses["classification"] = self.head(encoded[:, 0], batch.labels)
            total = total + self.head.loss_weight * losses["classification"]
        return {"total": total, **losses}

    def features(self, images: Tensor) -> Tensor:
        """Return the mean of the patch tokens after the final norm (B, D), from all patches."""
        tokens: Tensor = self.encoder.norm(self.encoder(images))[:, 1:]
        return tokens.mean(1)

    def target(self, patches: Tensor, masks: masking.Masks) -> Tensor:
        """Return the true pixels of the masked patches (B, masked, P * P * 3), in mask order."""
        ids = masks.ids_mask[..., None]
        masked = patches.gather(1, ids.expand(-1, -1, patches.shape[2]))
        return normalise_patches(masked) if self.normalise_pixels else masked

    def get_extra_state(self) -> dict[str, Any]:
        """Return the attention maps, so that a checkpoint contains them."""
        return self.maps.state() if self.maps else {}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the attention maps from a checkpoint."""
        if self.maps:
            self.maps.restore(state, self.decoder.mask_token.device)


def _attention_maps(guidance: GuidedMasking, backbones: BackboneSizes) -> AttentionMaps:
    from harness.methods.msmae.saliency import AttentionMaps, MapSettings

    settings = MapSettings(
        weights=guidance.weights, crop=guidance.crop, normalisation=guidance.normalisation
    )
    return AttentionMaps(settings, backbones.image_size, backbones.vit.patch)


def reconstruction_loss(predicted: Tensor, target: Tensor, kind: str) -> Tensor:
    """Return the error of masked patches (B, masked, P * P * 3), averaged over patches and images.

    "mse": mean squared error of a patch (MAE, released code). "l2": Euclidean norm of a patch's
    error (paper, eq. 1).
    """
    if kind == "mse":
        return nn.functional.mse_loss(predicted, target)
    norms: Tensor = torch.linalg.vector_norm(predicted - target, dim=2)
    return norms.mean()
