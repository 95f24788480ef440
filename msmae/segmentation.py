"""Lesion segmentation with SETR on a ViT encoder, pre-trained or not (paper, section 4.4).

The released code changes its input and network in ways that the paper does not describe. Each of
these changes is a setting, and the defaults are what the paper describes.
``harness.methods.msmae.setr`` builds the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from harness import ranges
from harness.augment.masks import Nearest
from harness.augment.view import Augmentation, RotatingAugmentation, mean_and_std
from harness.canonical import as_before
from harness.errors import UserError
from harness.methods.msmae.finetune import load_encoder
from harness.methods.msmae.patches import upsamplings
from harness.spec.backbones import VIT, Backbone, BackboneSizes, Channels
from harness.spec.dataset import Dataset
from harness.spec.recipe import Recipe
from harness.train.task import Batch, StepContext, Task, nothing_drawn

WHOLE = (1.0, 1.0)
"""Scale of an augmentation without cropping: the box is the whole image at any aspect ratio."""

ROTATION = RotatingAugmentation(scale=WHOLE, flip=0.0, interpolation="bilinear")
"""Table 6's "random rotation", by quarter turns as in the released code; no crop, no flip."""

EVALUATION_BATCH = 8
"""Images per forward pass outside training: at 224 px the head's largest feature map takes 50 MB
per image."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Settings of SETR-PUP on a ViT (paper, Appendix C.1 and Table 6).

    ViT-B/16 at 224 px as described has 89 341 441 parameters. Encoder, 85 798 656: patches
    590 592, [CLS] 768, positions 151 296, 12 blocks of 7 087 872, final norm 1 536. Head,
    3 542 785: LayerNorm 1 536, four convolutions 1 769 472 + 3 * 589 824, their BatchNorms
    4 * 512, last convolution 257.

    As released it has 99 946 756: an encoder of 85 769 472 (less 12 * 2 304 biases and the final
    norm) and four heads of 3 544 321 (less the LayerNorm, more 1 024 biases and 2 048 for 3x3).

    Attributes:
        bce_weight: weight λ of the binary cross-entropy (eq. 9).
        dice_smooth: added to numerator and denominator of every image's Dice; it decides the loss
            of an image without lesion, which is undefined without it (released code: 1e-5).
        channels: width of the head; None: a third of the encoder's, 256 for ViT-B.
        final_norm: whether the pre-trained final norm acts on the last block (released: no).
        head_norm: whether SETR's LayerNorm stands before the head (released: no).
        final_conv: kernel size of the head's last convolution (SETR: "1x1", released: "3x3").
        conv_bias: whether convolutions before BatchNorm have biases, which BatchNorm cancels
            (released: yes).
        align_corners: whether bilinear upsampling aligns the corner pixels (SETR: no, released:
            yes).
        heads: "last", one head on the last block; or "four", heads on blocks 3, 5, 7 and 11 of
            12, of which only the last is computed, trained and tested (the released code computes
            all four and ignores three).
        qkv_bias: whether queries, keys and values have biases; if not, pre-trained ones are not
            loaded (released).
        input_scale: "once"; or "twice", which divides pixels by 255 again after normalisation
            (released).
        channel_order: "rgb"; or "bgr", reversed channels normalised by the statistics of RGB
            (released), also for grey images.
        threshold: probability above which a pixel counts as lesion.
        augmentation: how training images are transformed; a scale of (1, 1) crops nothing.
        head_init: initial weights of the head's convolutions: "mmseg" (SETR: normal of variance
            2 / (9 * channels) in the stages, biases 0; the last layer N(0, 0.01) with zero bias),
            or "torch" (released code, which initialises nothing itself: uniform of variance
            1 / (3 * fan-in), biases likewise). For ViT-B the standard deviations are 0.0295 and
            0.0100, or 0.0069 in the first stage and 0.0120 in all others. The paper does not say.
        image_resize: how images are brought to the size of the input, in training and evaluation:
            "antialiased" (PIL's bilinear kernel, or that of ``augmentation`` in training), or
            "opencv" (released code: OpenCV's bilinear kernel, which skips pixels where it shrinks
            an image). The paper does not say. The code resizes the original; here what it would
            resize is the stored image, which was antialiased to twice the input before.
        mask_resize: the point of a pixel at which a mask is looked up when it is resized, in
            training and evaluation: its "centre", or its upper left "corner" (released code:
            OpenCV's nearest neighbour, after the rotation). The paper does not say.
    """

    key_name: ClassVar[str] = "segment"
    backbone: ClassVar[Backbone[Any]] = VIT

    needs_masks: ClassVar[bool] = True

    bce_weight: Annotated[float, Meta(ge=0, le=1e6)] = 0.5
    dice_smooth: Annotated[float, Meta(ge=1e-12, le=1e6)] = 1e-5
    channels: Channels | None = None
    final_norm: bool = True
    head_norm: bool = True
    final_conv: Literal["1x1", "3x3"] = "1x1"
    conv_bias: bool = False
    align_corners: bool = False
    heads: Literal["last", "four"] = "last"
    qkv_bias: bool = True
    input_scale: Literal["once", "twice"] = "once"
    channel_order: Literal["rgb", "bgr"] = "rgb"
    threshold: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    augmentation: Augmentation = ROTATION
    head_init: Literal["mmseg", "torch"] = field(default="mmseg", metadata=as_before("mmseg"))
    image_resize: Literal["antialiased", "opencv"] = field(
        default="antialiased", metadata=as_before("antialiased")
    )
    mask_resize: Nearest = field(default="centre", metadata=as_before("centre"))

    def __post_init__(self) -> None:
        ranges.check(self)

    def check(self, *, recipe: Recipe, images: int, backbones: BackboneSizes) -> None:
        """Check that the patch size is a power of two, as the head's repeated doubling requires."""
        del recipe, images
        upsamplings(backbones.vit.patch)

    def ready(self) -> None:
        """Check that mmsegmentation and its requirements are installed."""
        # setr imports timm, which takes seconds: planning does not.
        from harness.methods.msmae.setr import require

        require()

    def build(self, dataset: Dataset, backbones: BackboneSizes) -> Task:
        """Build the segmenter of lesion and background; the data set's classes play no part."""
        del dataset
        return Segmenter(self, backbones)


class Segmenter(Task):
    """SETR with one output channel of logits, trained with Dice loss and cross-entropy."""

    cast_once = True
    draw_ahead = nothing_drawn

    def __init__(self, settings: Segment, backbones: BackboneSizes) -> None:
        """Build the network at the profile's size.

        Raises:
            UserError: mmseg is not installed, or the patch size is no power of two.
        """
        from harness.methods.msmae.setr import build_network

        super().__init__()
        augmentation = settings.augmentation
        if settings.image_resize == "opencv":
            augmentation = replace(augmentation, interpolation="opencv")
            self.evaluation = "stretch-opencv"
        self.augmentations = (augmentation,)
        self.nearest = settings.mask_resize
        self.needs_whole = None  # the loss is a mean over images; BatchNorm uses each part's own
        self.settings = settings
        self.threshold = settings.threshold
        self.depth = backbones.vit.depth
        self.network = build_network(settings, backbones)

    @property
    def encoder(self) -> nn.Module:
        """The ViT encoder, whose parameters pre-training and segmentation name alike."""
        backbone: nn.Module = self.network.backbone
        return backbone

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        """Return Dice loss + λ binary cross-entropy (eq. 9) against the first view's masks.

        Raises:
            UserError: the data set has no masks.
        """
        if batch.masks is None:
            raise UserError("Segmentation needs masks, and this data set has none; choose busi.")
        logits, masks = self.segment(batch.images[0]).float(), batch.masks[0]
        dice = dice_loss(logits, masks, smooth=self.settings.dice_smooth)
        bce = nn.functional.binary_cross_entropy_with_logits(logits, masks)
        return {"total": dice + self.settings.bce_weight * bce, "dice": dice, "bce": bce}

    def segment(self, images: Tensor) -> Tensor:
        """Return logits (B, 1, H, W) of images (B, 3, H, W), above 0 where lesion is likelier."""
        # In training BatchNorm's statistics are of all images given; in eval mode images are
        # independent and can be taken in parts.
        parts = [images] if self.training else images.split(EVALUATION_BATCH)
        return torch.cat([self.network(prepare(part, self.settings)) for part in parts])

    def draw_boxes(self, view: int, sizes: Tensor, ids: Tensor, at: StepContext) -> Tensor:
        """Return crop boxes (B, 4) of the augmentation; whole images where its scale is (1, 1)."""
        if self.settings.augmentation.scale == WHOLE:
            return torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64).repeat(len(sizes), 1)
        return super().draw_boxes(view, sizes, ids, at)

    def start_from(self, previous: Mapping[str, Tensor]) -> None:
        """Load the encoder's weights from a pre-training or a ViT classifier.

        Weights of parts that the settings switch off are not loaded. A classifier that pools the
        patch tokens has no final norm (its ``pool_norm`` acts on their mean), so the final norm
        then keeps its initial values.

        Raises:
            UserError: a key is missing, unexpected or of another shape.
        """
        dropped: tuple[str, ...] = ()
        if not self.settings.final_norm:
            dropped += ("norm.",)
        if not self.settings.qkv_bias:
            dropped += tuple(f"blocks.{i}.attn.qkv.bias" for i in range(self.depth))
        fresh = ("norm.",) if "pool_norm.weight" in previous else ()
        load_encoder(self.encoder, previous, dropped=dropped, fresh=fresh)

    def no_decay(self, name: str) -> bool:
        """Exempt position embeddings and [CLS] from weight decay unless the recipe decays all."""
        return name in ("network.backbone.pos_embed", "network.backbone.cls_token")


def prepare(images: Tensor, settings: Segment) -> Tensor:
    """Apply the released code's input changes, if set, to normalised images (B, 3, H, W)."""
    if settings.channel_order == "bgr":
        mean, std = mean_and_std(1, device=images.device).unbind()
        # Back to pixels in 0..1, channels reversed, then normalised by the wrong channel's values.
        images = ((images * std + mean).flip(1) - mean) / std
    return images / 255 if settings.input_scale == "twice" else images


def dice_loss(logits: Tensor, masks: Tensor, *, smooth: float) -> Tensor:
    """Return the soft Dice loss 1 - (2 I + s) / (P + T + s), averaged over images.

    I, P and T are an image's sums of probability times truth, of probabilities and of truth.
    mmseg's own Dice loss is inverted for one channel: it takes channel 0 as the background.

    Args:
        logits: (B, 1, H, W).
        masks: (B, 1, H, W) in {0, 1}.
        smooth: the constant s, above 0.
    """
    probabilities, truth = logits.sigmoid().flatten(1), masks.flatten(1)
    overlap = (probabilities * truth).sum(1)
    size = probabilities.sum(1) + truth.sum(1)
    loss: Tensor = 1 - (2 * overlap + smooth) / (size + smooth)
    return loss.mean()
