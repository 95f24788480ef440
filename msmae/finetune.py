"""Classify with a vision transformer: fine-tuning with or without SAM, or from scratch.

Under mean pooling the [CLS] token's output is not used, so the last block's attention row of
[CLS] receives no gradient at all: the "supervised" maps of fine-tuning SAM then come from a row
that only pre-training has trained. With ``pool="class"`` it is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from harness.augment import mixup as mixing
from harness.augment.mixup import Mixing
from harness.augment.view import Augmentation, Evaluation
from harness.errors import UserError
from harness.methods.msmae import masking
from harness.spec.backbones import VIT, Backbone, BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.recipe import EPOCHS
from harness.train.task import Batch, DatasetPass, Layers, StepContext, Task

CROP_AND_FLIP = Augmentation()
"""The paper's (Appendix B)."""


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Settings of a ViT classifier (paper, section 3.3, Table 5 and Algorithm 1).

    Attributes:
        mask_ratio, throw_ratio: shares of patches left out in training, drawn by attention; both
            0 switch SAM off. Testing uses all patches.
        update_interval: epochs between looks, from epoch 0 on (Table 5: 20).
        weights, crop, normalisation: see ``harness.methods.msmae.saliency.MapSettings``.
        pool: "mean" of the patch tokens, then a new LayerNorm (Algorithm 1, released code); or
            "class": the [CLS] token after the pre-trained final norm (paper, eq. 8).
        label_smoothing: 0.1 in the released code.
        mixup, cutmix: alphas of ``harness.augment.mixup``, 0 for off (Table 5 has none). With SAM,
            the patches to keep are chosen by the maps of the images before mixing.
        drop_path: stochastic depth at the last block.
        head_std: spread of the head's initial weights.
        augmentation: of training images (Table 5).
        evaluation: how test images are prepared, see ``harness.train.task.Task``.
    """

    key_name: ClassVar[str] = "finetune"
    backbone: ClassVar[Backbone[Any]] = VIT

    mask_ratio: float = 0.0
    throw_ratio: float = 0.0
    update_interval: int = field(default=20, metadata=EPOCHS)
    weights: Literal["attention", "ones"] = "attention"
    crop: Literal["joint", "top-left"] = "joint"
    normalisation: Literal["mean-first", "per-head"] = "mean-first"
    pool: Literal["mean", "class"] = "mean"
    label_smoothing: float = 0.1
    mixup: float = 0.0
    cutmix: float = 0.0
    drop_path: float = 0.1
    head_std: float = 2e-5
    augmentation: Augmentation = CROP_AND_FLIP
    evaluation: Evaluation = "stretch"

    def __post_init__(self) -> None:
        masking.check_ratios(self.mask_ratio, self.throw_ratio)
        mixing.check(self.mixup, self.cutmix, self.label_smoothing)
        if self.update_interval < 1:
            raise UserError(f"update_interval is {self.update_interval}; it must be at least 1.")

    @property
    def masks(self) -> bool:
        """Whether training leaves patches out (SAM)."""
        return self.mask_ratio + self.throw_ratio > 0

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the classifier for the classes of a data set."""
        return Classifier(self, backbones, len(dataset.classes))


class Classifier(Task):
    """A ViT with a linear head; trained on visible patches, tested on all."""

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
        """Renew the attention maps with the model as it is now."""
        if self.settings.masks and epoch % self.settings.update_interval == 0:
            self.maps.renew(look, self.encoder)

    def draw(self, batch: Batch, at: StepContext) -> Tensor | None:
        """Draw the patches to keep (B, visible); None without SAM."""
        if not self.settings.masks:
            return None
        ratios = (self.settings.mask_ratio, self.settings.throw_ratio)
        weights = self.maps.patch_weights(batch)
        return masking.weighted(weights, ratios, at.generator).ids_keep

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return the label-smoothed cross-entropy on visible patches, of mixed images if any."""
        ids_keep = self.draw(batch, at) if batch.drawn is None else batch.drawn
        images, targets = mixing.mix(batch.images[0], batch.labels, self.mixing, at.generator)
        logits = self.classify(images, ids_keep).float()
        return {"total": mixing.loss(logits, targets, self.mixing)}

    def classify(self, images: Tensor, ids_keep: Tensor | None = None) -> Tensor:
        """Return logits (B, K) from the patches to keep, or from all."""
        tokens = self.encoder(images, ids_keep)
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
        """Take the encoder out of a pre-training state dict.

        Under mean pooling the pre-trained final norm is left behind, as in MAE.
        """
        dropped = ("norm.",) if self.settings.pool == "mean" else ()
        load_encoder(self.encoder, previous, dropped=dropped)

    def no_decay(self, name: str) -> bool:
        """Spare positions and [CLS] from weight decay (MAE fine-tuning)."""
        return name in ("encoder.pos_embed", "encoder.cls_token")

    def layers(self) -> Layers:
        """Depth 0: embedding; i + 1: block i; depth + 1: norm and head."""
        return Layers(self.depth + 2, self._layer)

    def _layer(self, name: str) -> int:
        if name.startswith("encoder.blocks."):
            return int(name.split(".")[2]) + 1
        embedding = ("encoder.cls_token", "encoder.pos_embed", "encoder.patch_embed.")
        return 0 if name.startswith(embedding) else self.depth + 1

    def get_extra_state(self) -> dict[str, Any]:
        """Keep the attention maps across a kill."""
        return self.maps.state()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the attention maps back."""
        self.maps.restore(state, self.head.weight.device)


def load_encoder(
    encoder: nn.Module,
    previous: Mapping[str, Tensor],
    *,
    dropped: tuple[str, ...] = (),
    fresh: tuple[str, ...] = (),
) -> None:
    """Load what a pre-training hands on: the ``encoder.`` part of its state dict, every key.

    Args:
        encoder: the module to fill.
        previous: the state dict of the stage before; decoders and heads are left behind.
        dropped: prefixes of the given keys that are left behind on purpose.
        fresh: prefixes of the encoder's own keys that start anew (its classifier).

    Raises:
        UserError: a key is missing, unexpected or of another shape.
    """
    given = {
        name.removeprefix("encoder."): value
        for name, value in previous.items()
        if name.startswith("encoder.")
    }
    given = {name: value for name, value in given.items() if not name.startswith(dropped)}
    own = encoder.state_dict()
    wanted = {name: value for name, value in own.items() if not name.startswith(fresh)}
    problems = [f"missing {name}" for name in sorted(wanted.keys() - given.keys())]
    problems += [f"unexpected {name}" for name in sorted(given.keys() - wanted.keys())]
    problems += [
        f"{name} is {tuple(given[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & given.keys())
        if given[name].shape != wanted[name].shape
    ]
    if problems:
        listed = "; ".join(problems[:5]) + (" ..." if len(problems) > 5 else "")
        raise UserError(
            f"The checkpoint is of another architecture ({len(problems)} keys do not fit:"
            f" {listed}). Pre-train with the same encoder and profile."
        )
    encoder.load_state_dict({**own, **given})
