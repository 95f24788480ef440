"""Supervised training, SimCLR and MoCo v3 on any network of timm (ViT, Swin, ResNet, ConvNeXt).

A network is named as in ``timm.create_model`` and built at the profile's image size, with timm's
own initialisation. Everything else is as in the methods on the paper's networks: recipes, views,
losses and heads. ``on_backbone`` puts a method onto a network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta
from torch import Tensor, nn

from harness import ranges
from harness.augment import mixup as mixing
from harness.augment.mixup import Mixing
from harness.augment.view import Augmentation, Evaluation, ImageRange
from harness.errors import UserError
from harness.methods.baselines import mocov3, simclr
from harness.methods.baselines._batch import need_two
from harness.methods.baselines._momentum import frozen_copy
from harness.methods.baselines._nets import (
    TimmSize,
    build_net,
    check_net,
    depths_of,
    exempt_of,
    timm_backbone,
)
from harness.methods.baselines.mocov3 import MoCoV3, MomentumContrast
from harness.methods.baselines.simclr import SimCLR, TwoViews
from harness.methods.baselines.supervised import ResNet50, Supervised, Swin
from harness.methods.msmae.finetune import CROP_AND_FLIP, Finetune, load_encoder
from harness.ranges import Share, ShareBelowOne, Temperature
from harness.spec.backbones import Backbone, BackboneSizes, Channels
from harness.spec.dataset import Dataset
from harness.spec.recipe import PER_STEP, Method, Recipe, Stage
from harness.train.task import Task, nothing_drawn


@dataclass(frozen=True, kw_only=True)
class TimmClassifier:
    """Settings of a classifier on a network of timm, trained from scratch or fine-tuned.

    Attributes:
        net: name of the network.
        label_smoothing: share of the target spread over all classes.
        mixup, cutmix: alphas of the Beta distributions in ``harness.augment.mixup``, 0 for off.
        drop_path: rate of stochastic depth at the last block.
        head_std: standard deviation of the last layer's initial weights (its biases are 0); None
            keeps timm's initialisation.
        decay_head: whether weight decay and LARS's adaptation act on the last layer's weights.
        frozen: whether only the last layer is trained and the rest stays in eval mode.
        augmentation: how training images are cropped, flipped and coloured.
        evaluation: how test images are prepared, see ``harness.train.task.Task``.
        image_range: range of the images, see ``ResNet50``.
    """

    key_name: ClassVar[str] = "timm-classifier"

    net: str = "resnet18"
    label_smoothing: ShareBelowOne = 0.1
    mixup: mixing.AlphaOrOff = 0.0
    cutmix: mixing.AlphaOrOff = 0.0
    drop_path: ShareBelowOne = 0.0
    head_std: Annotated[float, Meta(ge=0, le=10)] | None = None
    decay_head: bool = True
    frozen: bool = False
    augmentation: Augmentation = CROP_AND_FLIP
    evaluation: Evaluation = "stretch"
    image_range: ImageRange = "normalised"

    def __post_init__(self) -> None:
        ranges.check(self)
        mixing.check(self.mixup, self.cutmix, self.label_smoothing)

    @property
    def backbone(self) -> Backbone[TimmSize]:
        """The network."""
        return timm_backbone(self.net)

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Check that timm has the network at this size, and that BatchNorm has two images."""
        del images
        check_net(self.net, backbones.image_size, self.drop_path)
        if not self.frozen:
            need_two(recipe, f"{self.net} (BatchNorm)")

    def check_previous(self, previous: Method) -> None:
        """Check that the encoder was pre-trained on the same network and range of images."""
        net = getattr(previous, "net", None)
        if net != self.net:
            raise UserError(
                f"method.net is {self.net!r}, but the stage before is trained on"
                f" {net or 'a network of the harness'!r}; set both:"
                f" --set method.backbone=timm:{self.net}."
            )
        trained_on: str = getattr(previous, "image_range", "normalised")
        if trained_on != self.image_range:
            raise UserError(
                f"method.image_range is {self.image_range!r}, but the encoder is pre-trained on"
                f" images of the range {trained_on!r}; set both alike."
            )

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the classifier for the classes of a data set."""
        return NetClassifier(self, backbones, len(dataset.classes))


class NetClassifier(Supervised):
    """A network of timm with its own last layer, trained with label-smoothed cross-entropy."""

    cast_once = True
    draw_ahead = Supervised.draw_ahead

    def __init__(self, settings: TimmClassifier, backbones: BackboneSizes, classes: int) -> None:
        """Build the network at the profile's image size."""
        Task.__init__(self)
        name = backbones.of(settings.backbone).name
        encoder = build_net(
            name, backbones.image_size, classes=classes, drop_path=settings.drop_path
        )
        self.classifier = f"{encoder.pretrained_cfg['classifier']}."
        if settings.head_std is not None:
            last = encoder.get_classifier()
            nn.init.normal_(last.weight, std=settings.head_std)
            nn.init.zeros_(last.bias)
        self.augmentations = (settings.augmentation,)
        self.evaluation = settings.evaluation
        self.image_range = settings.image_range
        self.encoder = encoder
        self.mixing = Mixing(
            classes=classes,
            mixup=settings.mixup,
            cutmix=settings.cutmix,
            label_smoothing=settings.label_smoothing,
        )
        self.needs_whole = self.mixing.ties
        self.depths = depths_of(encoder)
        self.exempt = exempt_of(encoder)
        self.frozen = False
        self.undecayed: tuple[str, ...] = () if settings.decay_head else (self.classifier,)
        if settings.frozen:
            self.freeze()

    def freeze(self) -> None:
        """Freeze all but the last layer; the frozen part stays in eval mode permanently."""
        self.frozen = True
        for name, parameter in self.encoder.named_parameters():
            parameter.requires_grad = name.startswith(self.classifier)
        self.encoder.eval()

    def start_from(self, previous: Mapping[str, Tensor]) -> None:
        """Load the encoder's weights from a pre-training; the last layer keeps its own."""
        load_encoder(self.encoder, previous, fresh=(self.classifier,))

    def no_decay(self, name: str) -> bool:
        """Exempt what timm exempts from weight decay, and the head if set."""
        inner = name.removeprefix("encoder.")
        return inner in self.exempt or inner.startswith(self.undecayed)


@dataclass(frozen=True, kw_only=True)
class TimmSimCLR:
    """Settings of SimCLR pre-training on a network of timm; see ``SimCLR`` for the fields.

    Attributes:
        net: name of the network. Its initialisation is timm's.
    """

    key_name: ClassVar[str] = "timm-simclr"

    net: str = "resnet18"
    temperature: Temperature = 0.1
    head: Literal["released", "lightly", "paper"] = "released"
    reduction: Literal["mean", "sum"] = "mean"
    head_layers: Literal[2, 3] | None = None
    image_range: ImageRange = "unit"

    def __post_init__(self) -> None:
        ranges.check(self)

    @property
    def backbone(self) -> Backbone[TimmSize]:
        """The network."""
        return timm_backbone(self.net)

    @property
    def layers(self) -> int:
        """Number of linear layers of the projection head."""
        return self.head_layers or (3 if self.head == "released" else 2)

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Check that timm has the network at this size, and that a batch has a negative."""
        del images
        check_net(self.net, backbones.image_size)
        need_two(recipe, "SimCLR (negatives)")

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the pre-training task; labels play no part."""
        del dataset
        return NetViews(self, backbones)


class NetViews(TwoViews):
    """A network of timm with a projection head, trained with the NT-Xent loss."""

    cast_once = True
    draw_ahead = nothing_drawn

    def __init__(self, settings: TimmSimCLR, backbones: BackboneSizes) -> None:
        """Build the network at the profile's image size; head widths keep SimCLR's ratios."""
        from lightly.models.modules.heads import SimCLRProjectionHead

        Task.__init__(self)
        self.augmentations = (simclr.VIEW, simclr.VIEW)
        self.factor = 2.0 if settings.reduction == "sum" else 1.0
        self.image_range = settings.image_range
        self.encoder = build_net(backbones.of(settings.backbone).name, backbones.image_size)
        width = self.encoder.num_features
        self.projector = SimCLRProjectionHead(
            width,
            width,
            max(1, width // 16),
            num_layers=settings.layers,
            batch_norm=settings.head != "paper",
        )
        if settings.head == "released":
            # The shift starts at zero; without a gradient it stays zero.
            self.projector.layers[-1].bias.requires_grad = False
        self.temperature = settings.temperature
        self.exempt = exempt_of(self.encoder)

    def no_decay(self, name: str) -> bool:
        """Exempt what timm exempts from weight decay."""
        return name.removeprefix("encoder.") in self.exempt


@dataclass(frozen=True, kw_only=True)
class TimmMoCoV3:
    """Settings of MoCo v3 pre-training on a network of timm; see ``MoCoV3`` for the fields.

    Attributes:
        net: name of the network. Its initialisation is timm's, and its features are those that
            timm pools: [CLS] of a ViT, else a mean.
        freeze_patches: whether a patch embedding, where the network has one, keeps its initial
            weights.
    """

    key_name: ClassVar[str] = "timm-mocov3"

    net: str = "vit_tiny_patch16_224"
    temperature: Temperature = 0.2
    momentum: Share = field(default=0.99, metadata=PER_STEP)
    hidden: Channels | None = None
    output: Channels | None = None
    freeze_patches: bool = True

    def __post_init__(self) -> None:
        ranges.check(self)

    @property
    def backbone(self) -> Backbone[TimmSize]:
        """The network."""
        return timm_backbone(self.net)

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Check that timm has the network at this size, and that a batch has a negative."""
        del images
        check_net(self.net, backbones.image_size)
        need_two(recipe, "MoCo v3 (BatchNorm, negatives)")

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the pre-training task; labels play no part."""
        del dataset
        return NetContrast(self, backbones)


class NetContrast(MomentumContrast):
    """MoCo v3 on a network of timm: projector, predictor, and momentum copies."""

    cast_once = True
    draw_ahead = nothing_drawn

    def __init__(self, settings: TimmMoCoV3, backbones: BackboneSizes) -> None:
        """Build the networks at the profile's image size."""
        Task.__init__(self)
        self.augmentations = mocov3.VIEWS
        self.momentum, self.temperature = settings.momentum, settings.temperature
        network = build_net(backbones.of(settings.backbone).name, backbones.image_size)
        self.encoder = network
        width = network.num_features
        hidden = settings.hidden or round(4096 * width / 768)
        output = settings.output or round(256 * width / 768)
        if settings.freeze_patches and hasattr(self.encoder, "patch_embed"):
            self.encoder.patch_embed.requires_grad_(requires_grad=False)
        self.projector = mocov3.head((width, hidden, hidden, output))
        self.predictor = mocov3.head((output, hidden, output))
        self.momentum_encoder = frozen_copy(self.encoder)
        self.momentum_projector = frozen_copy(self.projector)
        self.exempt = exempt_of(self.encoder)

    def pool(self, encoder: Any, images: Tensor) -> Tensor:
        """Return timm's pooled features (B, D)."""
        features: Tensor = encoder(images)
        return features

    def no_decay(self, name: str) -> bool:
        """Exempt what timm exempts from weight decay, where the recipe exempts anything."""
        return name.removeprefix("encoder.") in self.exempt


def on_backbone(method: Method, net: str) -> Method:
    """Return a method's settings on a network of timm.

    Raises:
        UserError: the method cannot take it.
    """
    if isinstance(method, TimmClassifier | TimmSimCLR | TimmMoCoV3):
        return dataclasses.replace(method, net=net)
    kind = type(method)
    given = {field.name: getattr(method, field.name) for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if isinstance(method, SimCLR):
        return TimmSimCLR(net=net, **_common(TimmSimCLR, given))
    if isinstance(method, MoCoV3):
        return TimmMoCoV3(net=net, **_common(TimmMoCoV3, given))
    masks = isinstance(method, Finetune) and method.masks
    if isinstance(method, Finetune | Swin | ResNet50) and not masks:
        return TimmClassifier(net=net, **_common(TimmClassifier, given))
    name = getattr(kind, "key_name", kind.__name__)
    what = "with masks in fine-tuning (SAM)" if masks else "of masked patches or crops"
    raise UserError(
        f"The method {name!r}, {what}, cannot be put on timm's {net}: it is built on the harness's"
        " own encoder, which takes a part of an image's patch tokens or gives attention to them."
        " Allowed: supervised classifiers, simclr and mocov3; choose those with --rows."
    )


def _common(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a type has, too."""
    return {f.name: given[f.name] for f in dataclasses.fields(kind) if f.name in given}


def on(stages: tuple[Stage, ...], net: str) -> tuple[Stage, ...]:
    """Return a chain of stages on a network of timm: ``on(simclr.stages(), "convnext_tiny")``.

    Raises:
        UserError: a method cannot take it.
    """
    return tuple(
        dataclasses.replace(stage, method=on_backbone(stage.method, net)) for stage in stages
    )
