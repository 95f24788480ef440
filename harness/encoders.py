"""Sizes of the backbones; a profile has one of each."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import UserError


@dataclass(frozen=True, kw_only=True)
class VitSize:
    """Size of a vision transformer and of the light decoder that masked autoencoders add."""

    patch: int
    width: int
    depth: int
    heads: int
    decoder_width: int
    decoder_depth: int
    decoder_heads: int


@dataclass(frozen=True, kw_only=True)
class SwinSize:
    """Size of a Swin transformer; widths double and the grid halves at each stage."""

    patch: int
    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int


@dataclass(frozen=True, kw_only=True)
class ResNetSize:
    """Size of a ResNet: bottleneck blocks per stage and the width of the first stage."""

    layers: tuple[int, ...]
    width: int


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """The backbones of a profile and the image size that they are built for.

    Raises:
        UserError: the patch size does not divide the image size.
    """

    image_size: int
    vit: VitSize
    swin: SwinSize
    resnet: ResNetSize

    def __post_init__(self) -> None:
        for name, patch in (("vit", self.vit.patch), ("swin", self.swin.patch)):
            if self.image_size <= 0 or self.image_size % patch:
                raise UserError(
                    f"Image size {self.image_size} is not a multiple of the {name} patch size"
                    f" {patch}; choose a multiple of {patch}."
                )

    @property
    def grid(self) -> int:
        """Patches along one side of the image; L = grid squared."""
        return self.image_size // self.vit.patch
