"""ViT classifier: fine-tuning with or without the supervised attention masks (SAM), or scratch.

Under mean pooling the [CLS] token's output is not used, so the [CLS] row of the last block's
attention gets exactly zero gradient: the attention maps that guide SAM in fine-tuning then come
from a row that only pre-training has trained. With ``pool="class"`` that row is trained.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta
from torch import Tensor, nn

from harness import ranges
from harness.augment import mixup as mixing
from harness.augment.mixup import Mixing
from harness.augment.view import Augmentation, Evaluation
from harness.canonical import acts_where, as_before
from harness.errors import UserError
from harness.methods.msmae import masking
from harness.methods.msmae.masking import Measure, Selection, Weights
from harness.ranges import Epochs, ShareBelowOne
from harness.spec.backbones import VIT, Backbone, BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import EPOCHS, Recipe
from harness.train.task import AugmentedPass, Batch, DatasetPass, Layers, StepContext, Task

CROP_AND_FLIP = Augmentation()
"""Random resized crop and horizontal flip (paper, Appendix B)."""


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Settings of a ViT classifier (paper, section 3.3, Table 5 and Algorithm 1).

    Attributes:
        mask_ratio, throw_ratio: shares of patches left out in training, drawn by attention; both
            0 switch SAM off. Testing uses all patches.
        update_interval: epochs between renewals of the attention maps, from epoch 0 on (Table 5:
            20).
        weights, crop, normalisation: see ``harness.methods.msmae.saliency.MapSettings``.
        selection, hints, measure: see ``harness.methods.msmae.method.GuidedMasking``; hints are
            among the patches to keep.
        pool: what the head reads: "mean" of the patch tokens, then a new LayerNorm (Algorithm 1,
            released code); or "class", the [CLS] token after the pre-trained final norm (paper,
            eq. 8).
        label_smoothing: share of the target spread over all classes (released code: 0.1).
        mixup, cutmix: alphas of the Beta distributions in ``harness.augment.mixup``, 0 for off
            (Table 5 has none). With SAM, the patches to keep are chosen by the maps of the images
            before mixing.
        drop_path: rate of stochastic depth at the last block, rising linearly from 0.
        head_std: standard deviation of the head's initial weights.
        augmentation: how training images are cropped, flipped and coloured (Table 5).
        evaluation: how test images are prepared, see ``harness.train.task.Task``.
    """

    key_name: ClassVar[str] = "finetune"
    backbone: ClassVar[Backbone[Any]] = VIT

    mask_ratio: ShareBelowOne = 0.0
    throw_ratio: ShareBelowOne = 0.0
    update_interval: Epochs = field(default=20, metadata=EPOCHS)
    weights: Weights = "attention"
    crop: Literal["joint", "top-left"] = "joint"
    normalisation: Literal["mean-first", "per-head"] = "mean-first"
    selection: Selection = field(default="drawn", metadata=as_before("drawn"))
    hints: ShareBelowOne = field(
        default=0.0, metadata={**as_before(0.0), **acts_where("selection", "highest")}
    )
    measure: Measure = field(default="nothing", metadata=as_before("nothing"))
    pool: Literal["mean", "class"] = "mean"
    label_smoothing: ShareBelowOne = 0.1
    mixup: mixing.AlphaOrOff = 0.0
    cutmix: mixing.AlphaOrOff = 0.0
    drop_path: ShareBelowOne = 0.1
    head_std: Annotated[float, Meta(ge=1e-9, le=10)] = 2e-5
    augmentation: Augmentation = CROP_AND_FLIP
    evaluation: Evaluation = "stretch"

    def __post_init__(self) -> None:
        ranges.check(self)
        masking.check_ratios(self.mask_ratio, self.throw_ratio)
        mixing.check(self.mixup, self.cutmix, self.label_smoothing)

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Check how many patches stay visible at the profile's size."""
        del recipe, images
        if self.masks:
            patches = backbones.grid**2
            given = {"mask_ratio": self.mask_ratio, "throw_ratio": self.throw_ratio}
            counted = masking.counts(patches, *given.values())
            must_mask = self.mask_ratio > 0
            masking.check_counts(patches, given, counted, must_mask=must_mask)
            masking.check_hints(patches, (self.mask_ratio, self.throw_ratio), self.hints)

    @property
    def masks_for(self) -> str | None:
        """The setting that needs a data set with lesion masks; None if none does."""
        return masking.masks_for(self.weights, self.measure, masking=self.masks)

    @property
    def masks(self) -> bool:
        """Whether training drops patches by attention (SAM)."""
        return self.mask_ratio + self.throw_ratio > 0

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the classifier for the classes of a data set."""
        return Classifier(self, backbones, len(dataset.classes))


class Classifier(Task):
    """A ViT with a linear head, trained on the visible patches and tested on all patches."""

    cast_once = True

    def __init__(self, settings: Finetune, backbones: BackboneSizes, classes: int) -> None:
        """Build the encoder at the profile's size and a new head."""
        from harness.methods.msmae.saliency import AttentionMaps, MapSettings
        from harness.methods.msmae.vit import VisionTransformer, norm_layer

        super().__init__()
        self.augmentations = (settings.augmentation,)
        self.evaluation = settings.evaluation
        self.mixing = Mixing(
            classes=classes,
            mixup=settings.mixup,
            cutmix=settings.cutmix,
            label_smoothing=settings.label_smoothing,
        )
        self.needs_whole = self.mixing.ties
        self.settings = settings
        size = backbones.vit
        self.depth = size.depth
        self.encoder = VisionTransformer(
            size, backbones.image_size, train_positions=True, drop_path=settings.drop_path
        )
        self.pool_norm: nn.Module = nn.Identity()
        if settings.pool == "mean":
            # MAE's global pooling: the pre-trained final norm is removed and a new norm acts on
            # the pooled (B, D) features instead.
            self.encoder.norm = nn.Identity()
            self.pool_norm = norm_layer(size.width)
        self.head = nn.Linear(size.width, classes)
        nn.init.trunc_normal_(self.head.weight, std=settings.head_std)
        nn.init.zeros_(self.head.bias)
        maps = MapSettings(
            weights=settings.weights, crop=settings.crop, normalisation=settings.normalisation
        )
        self.maps = AttentionMaps(maps, backbones.image_size, size.patch)

    def before_epoch(self, epoch: int, look: DatasetPass) -> None:
        """Recompute the attention maps from the current weights, as often as set."""
        if self.settings.masks and epoch % self.settings.update_interval == 0:
            self.maps.renew(look, self.encoder)

    def draw_ahead(self, count: int, at: StepContext) -> Mapping[str, Any]:
        """Draw what the masks and the mixing of a step need."""
        return {**self._noise(count, at), "mixing": mixing.draw(self.mixing, at.generator)}

    def crops_ahead(
        self, boxes: Sequence[Tensor], flips: Sequence[Tensor], at: StepContext
    ) -> Mapping[str, Tensor]:
        """Return what the weights of the patches need of the crops; nothing without SAM."""
        del at
        return self.maps.crops_ahead(boxes[0], flips[0]) if self.settings.masks else {}

    def _noise(self, count: int, at: StepContext) -> Mapping[str, Tensor]:
        """Draw what the masks of a step need; nothing without SAM."""
        settings = self.settings
        if not settings.masks:
            return {}
        size, ratios = (count, self.maps.grid**2), (settings.mask_ratio, settings.throw_ratio)
        return masking.noise(size, ratios, at.generator, settings.selection, settings.hints)

    def draw(self, batch: Batch, at: StepContext) -> Tensor | None:
        """Return the indices of the patches to keep (B, visible); None without SAM."""
        if not self.settings.masks:
            return None
        return self._draw_masks(self.maps.patch_weights(batch), batch, at).ids_keep

    def _draw_masks(self, weights: Tensor, batch: Batch, at: StepContext) -> masking.Masks:
        """Draw the masks of one step by the weights of the patches (B, L)."""
        settings = self.settings
        ratios, how = (settings.mask_ratio, settings.throw_ratio), settings.selection
        noise = self._noise(len(weights), at) if batch.ahead is None else batch.ahead
        return masking.select(weights, ratios, noise, how, settings.hints)

    def after_epoch(
        self, epoch: int, look: DatasetPass, augmented: AugmentedPass
    ) -> dict[str, float]:
        """Measure attention, weights and masks against the lesions, where that is set."""
        del epoch
        if self.settings.measure == "nothing":
            return {}
        from harness.methods.msmae import measuring

        draw = self._measured_masks if self.settings.masks else None
        return measuring.figures(self.maps, self.encoder, look, augmented, draw)

    def _measured_masks(self, batch: Batch, at: StepContext) -> tuple[Tensor, masking.Masks]:
        """Return the weights (B, L) that masks follow, and masks drawn by them."""
        weights = self.maps.patch_weights(batch)
        return weights, self._draw_masks(weights, batch, at)

    @property
    def needs_masks(self) -> bool:
        """Whether a setting needs lesion masks."""
        return self.settings.masks_for is not None

    def step_kind(self, at: StepContext) -> Hashable | None:
        """Return one kind for all steps; None where images are mixed, by other numbers each."""
        del at
        return None if self.mixing.mixes else "alike"

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return the label-smoothed cross-entropy of visible patches, with images mixed if set."""
        # Patches are drawn before mixing: the maps belong to the unmixed images.
        ids_keep = self.draw(batch, at) if batch.drawn is None else batch.drawn
        ahead = batch.ahead
        drawn = mixing.draw(self.mixing, at.generator) if ahead is None else ahead["mixing"]
        images, targets = mixing.mix(batch.images[0], batch.labels, self.mixing, drawn)
        logits = self.classify(images, ids_keep).float()
        return {"total": mixing.loss(logits, targets, self.mixing)}

    def classify(self, images: Tensor, ids_keep: Tensor | None = None) -> Tensor:
        """Return logits (B, K) of images (B, 3, H, W), from the patches to keep or from all."""
        tokens = self.encoder(images, ids_keep)  # (B, 1 + visible, D)
        if self.settings.pool == "mean":
            features = self.pool_norm(tokens[:, 1:].mean(1))
        else:
            features = self.encoder.norm(tokens)[:, 0]
        logits: Tensor = self.head(features)
        return logits

    def predict(self, images: Tensor) -> Tensor:
        """Return logits (B, K) from all patches (paper, section 3.3)."""
        return self.classify(images)

    def start_from(self, previous: Mapping[str, Tensor]) -> None:
        """Load the encoder's weights from the state dict of a pre-training.

        Under mean pooling the pre-trained final norm is not loaded, as in MAE.
        """
        dropped = ("norm.",) if self.settings.pool == "mean" else ()
        load_encoder(self.encoder, previous, dropped=dropped)

    def no_decay(self, name: str) -> bool:
        """Exempt position embeddings and [CLS] from weight decay (as in MAE's fine-tuning)."""
        return name in ("encoder.pos_embed", "encoder.cls_token")

    def layers(self) -> Layers:
        """Return depths for layer decay: 0 embedding, i + 1 block i, depth + 1 norm and head."""
        return Layers(self.depth + 2, self._layer_of)

    def _layer_of(self, name: str) -> int:
        if name.startswith("encoder.blocks."):
            return int(name.split(".")[2]) + 1
        embedding = ("encoder.cls_token", "encoder.pos_embed", "encoder.patch_embed.")
        return 0 if name.startswith(embedding) else self.depth + 1

    def get_extra_state(self) -> dict[str, Any]:
        """Return the attention maps, so that a checkpoint contains them."""
        return self.maps.state()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the attention maps from a checkpoint."""
        self.maps.restore(state, self.head.weight.device)


def load_encoder(
    encoder: nn.Module,
    previous: Mapping[str, Tensor],
    *,
    dropped: tuple[str, ...] = (),
    fresh: tuple[str, ...] = (),
) -> None:
    """Load the ``encoder.`` part of a pre-training's state dict; keys must match exactly.

    Args:
        encoder: the module whose weights are replaced.
        previous: the state dict of the stage before; its decoders and heads are ignored.
        dropped: prefixes of keys in ``previous`` that are ignored on purpose.
        fresh: prefixes of the encoder's own keys that keep their new initial values, for
            instance its classifier.

    Raises:
        UserError: a key is missing, unexpected or of another shape.
    """
    pretrained = {
        name.removeprefix("encoder."): value
        for name, value in previous.items()
        if name.startswith("encoder.")
    }
    pretrained = {name: value for name, value in pretrained.items() if not name.startswith(dropped)}
    initial = encoder.state_dict()
    expected = {name: value for name, value in initial.items() if not name.startswith(fresh)}
    problems = [f"missing {name}" for name in sorted(expected.keys() - pretrained.keys())]
    problems += [f"unexpected {name}" for name in sorted(pretrained.keys() - expected.keys())]
    problems += [
        f"{name} is {tuple(pretrained[name].shape)}, not {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & pretrained.keys())
        if pretrained[name].shape != expected[name].shape
    ]
    if problems:
        listed = "; ".join(problems[:5]) + (" ..." if len(problems) > 5 else "")
        raise UserError(
            f"The checkpoint is of another architecture ({len(problems)} keys do not fit:"
            f" {listed}). Pre-train with the same encoder and profile."
        )
    encoder.load_state_dict({**initial, **pretrained})
