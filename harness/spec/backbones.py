"""Backbones (ViT, Swin, ResNet) and their sizes at each scale.

A new backbone is one ``Backbone`` value with a size for each scale. A method names the backbone of
its model, and only the size of that backbone is part of the keys of its stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from msgspec import Meta

from harness import ranges
from harness.errors import UserError, unknown

SizeT = TypeVar("SizeT")
"""Type of a backbone's size, a frozen dataclass."""

Pixels = Annotated[int, Meta(ge=1, le=4096)]
"""Side of an image or a patch in pixels."""

Channels = Annotated[int, Meta(ge=1, le=65536)]
"""Channels of tokens or feature maps."""

Blocks = Annotated[int, Meta(ge=1, le=1000)]
"""Number of blocks or of attention heads."""


@dataclass(frozen=True, kw_only=True)
class Backbone(Generic[SizeT]):
    """An encoder architecture with its size at each scale.

    Attributes:
        name: a short name that never changes.
        sizes: the size, a frozen dataclass, by the name of the scale ("smoke", "laptop", "paper").
        patched: whether the size has a field ``patch`` that must divide the image's side.
    """

    name: str
    sizes: Mapping[str, SizeT] = field(hash=False)
    patched: bool = False


@dataclass(frozen=True, kw_only=True)
class VitSize:
    """Size of a vision transformer and of the decoder that masked autoencoders add.

    Attributes:
        patch: side of a patch, in pixels.
        width: channels of the encoder's tokens, D.
        depth: number of encoder blocks.
        heads: attention heads per encoder block.
        decoder_width: channels of the decoder's tokens.
        decoder_depth: number of decoder blocks.
        decoder_heads: attention heads per decoder block.
    """

    key_name: ClassVar[str] = "vit"

    patch: Pixels
    width: Channels
    depth: Blocks
    heads: Blocks
    decoder_width: Channels
    decoder_depth: Blocks
    decoder_heads: Blocks

    def __post_init__(self) -> None:
        ranges.check(self)
        for prefix in ("", "decoder_"):
            width, heads = getattr(self, f"{prefix}width"), getattr(self, f"{prefix}heads")
            # Sines and cosines of both directions share the channels of a position.
            for factor, of in ((heads, f"{prefix}heads"), (4, "sines and cosines, two each")):
                _check_multiple(f"vit.{prefix}width", width, factor, of)


@dataclass(frozen=True, kw_only=True)
class SwinSize:
    """Size of a Swin transformer, whose width doubles and grid halves from stage to stage.

    Attributes:
        patch: side of a patch, in pixels.
        width: channels of the first stage.
        depths: number of blocks of each stage.
        heads: attention heads of each stage.
        window: side of an attention window, in tokens.
    """

    key_name: ClassVar[str] = "swin"

    patch: Pixels
    width: Channels
    depths: Annotated[tuple[Blocks, ...], Meta(min_length=1)]
    heads: Annotated[tuple[Blocks, ...], Meta(min_length=1)]
    window: Annotated[int, Meta(ge=1, le=1024)]

    def __post_init__(self) -> None:
        ranges.check(self)
        if len(self.heads) != len(self.depths):
            raise UserError(
                f"swin.heads is {ranges.said(self.heads)} and swin.depths"
                f" {ranges.said(self.depths)}; give one number of heads per stage."
            )
        for stage, heads in enumerate(self.heads):
            _check_multiple(f"swin.width * 2**{stage}", self.width * 2**stage, heads, "heads")

    def check_grid(self, image_size: int) -> None:
        """Check that the grid of patches can be halved from stage to stage in whole windows.

        Raises:
            UserError: it cannot; the message names the grid.
        """
        # Each patch merging halves the grid. The window must divide the grid, unless it covers the
        # grid of the last stage.
        grid = image_size // self.patch
        halvings = len(self.depths) - 1
        last = grid // 2**halvings
        if grid % 2**halvings or not last or (last > self.window and grid % self.window):
            raise UserError(
                f"A Swin grid of {grid} x {grid} patches (images of {image_size} px, swin.patch"
                f" {self.patch}) cannot be halved {halvings} times in windows of {self.window};"
                " change the image size or the window."
            )


@dataclass(frozen=True, kw_only=True)
class ResNetSize:
    """Size of a ResNet with bottleneck blocks.

    Attributes:
        layers: number of blocks of each stage.
        width: channels of the first stage's bottleneck (ResNet50: 64).
    """

    key_name: ClassVar[str] = "resnet"

    layers: tuple[Blocks, Blocks, Blocks, Blocks]
    width: Annotated[int, Meta(ge=1, le=8192)]

    def __post_init__(self) -> None:
        ranges.check(self)


def _check_multiple(name: str, value: int, factor: int, of: str) -> None:
    """Check that a width can be shared evenly."""
    if value % factor:
        raise UserError(f"{name} is {value}; it must be a multiple of {factor} ({of}).")


VIT = Backbone(
    name="vit",
    patched=True,
    sizes={
        "smoke": VitSize(
            patch=4,
            width=48,
            depth=2,
            heads=3,
            decoder_width=32,
            decoder_depth=1,
            decoder_heads=2,
        ),
        "laptop": VitSize(
            patch=8,
            width=96,
            depth=4,
            heads=3,
            decoder_width=64,
            decoder_depth=1,
            decoder_heads=4,
        ),
        # ViT-B/16 with the decoder of MAE.
        "paper": VitSize(
            patch=16,
            width=768,
            depth=12,
            heads=12,
            decoder_width=512,
            decoder_depth=8,
            decoder_heads=16,
        ),
    },
)

SWIN = Backbone(
    name="swin",
    patched=True,
    sizes={
        "smoke": SwinSize(patch=2, width=16, depths=(1, 1, 1, 1), heads=(1, 2, 4, 8), window=2),
        "laptop": SwinSize(patch=4, width=32, depths=(1, 1, 2, 1), heads=(1, 2, 4, 8), window=4),
        # Swin-T.
        "paper": SwinSize(patch=4, width=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24), window=7),
    },
)

RESNET = Backbone(
    name="resnet",
    sizes={
        "smoke": ResNetSize(layers=(1, 1, 1, 1), width=8),
        "laptop": ResNetSize(layers=(1, 1, 1, 1), width=16),
        # ResNet50.
        "paper": ResNetSize(layers=(3, 4, 6, 3), width=64),
    },
)

BACKBONES: Mapping[str, Backbone[Any]] = {b.name: b for b in (VIT, SWIN, RESNET)}
"""The shipped backbones by name."""


@dataclass(frozen=True, kw_only=True)
class BackboneSizes:
    """The sizes of all backbones at one scale, with the image size.

    Attributes:
        image_size: side of the model's input, in pixels.
        scale: name of the size to take of each backbone ("smoke", "laptop", "paper").
        given: sizes that replace those of the scale, by the backbone's name.
        only: name of the one backbone whose size may be read; None for any.

    Raises:
        UserError: the patch size of a shipped backbone does not divide the image size.
    """

    image_size: Pixels
    scale: str = ""
    given: Mapping[str, Any] = field(default_factory=dict, hash=False)
    only: str | None = None

    def __post_init__(self) -> None:
        ranges.check(self)
        ranges.check_all(self.given)
        for backbone in BACKBONES.values():
            if self._has(backbone):
                self._check(backbone)

    def _has(self, backbone: Backbone[Any]) -> bool:
        return backbone.name in self.given or self.scale in backbone.sizes

    def _check(self, backbone: Backbone[Any]) -> None:
        if not backbone.patched:
            return
        patch = self._size(backbone).patch
        if self.image_size % patch:
            raise UserError(
                f"Image size {self.image_size} is not a multiple of the {backbone.name} patch size"
                f" {patch}; choose a multiple of {patch}."
            )

    def _size(self, backbone: Backbone[SizeT]) -> SizeT:
        if backbone.name in self.given:
            size: SizeT = self.given[backbone.name]
            return size
        if self.scale not in backbone.sizes:
            raise unknown(f"scale of the backbone {backbone.name!r}", self.scale, backbone.sizes)
        return backbone.sizes[self.scale]

    def of(self, backbone: Backbone[SizeT]) -> SizeT:
        """Return the size of a backbone.

        Raises:
            UserError: the backbone has no size at this scale, or its patch does not divide the
                image.
            ValueError: it is not the backbone that the method declares.
        """
        if self.only not in (None, backbone.name):
            raise ValueError(
                f"the method declares the backbone {self.only!r} and is built on"
                f" {backbone.name!r}; declare what it is built on, which is part of its key"
            )
        self._check(backbone)
        return self._size(backbone)

    def restricted(self, backbone: Backbone[Any] | None) -> BackboneSizes:
        """Return the same sizes, of which only one backbone's (None: no one's) may be read."""
        return replace(self, only="" if backbone is None else backbone.name)

    @property
    def vit(self) -> VitSize:
        """The vision transformer's size."""
        return self.of(VIT)

    @property
    def swin(self) -> SwinSize:
        """The Swin transformer's size."""
        return self.of(SWIN)

    @property
    def resnet(self) -> ResNetSize:
        """The ResNet's size."""
        return self.of(RESNET)

    @property
    def grid(self) -> int:
        """Patches of the vision transformer along one side of the image; L = grid squared."""
        return self.image_size // self.vit.patch
