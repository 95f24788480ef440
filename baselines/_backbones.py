"""timm's Swin transformer and ResNet at a profile's size, with layer numbers for layer decay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from harness.methods.baselines._groups import Grouped
from harness.spec.backbones import ResNetSize, SwinSize
from harness.train.task import Layers

if TYPE_CHECKING:
    from timm.models.resnet import ResNet
    from timm.models.swin_transformer import SwinTransformer


def swin_transformer(
    size: SwinSize, image_size: int, *, classes: int, drop_path: float = 0.0
) -> SwinTransformer:
    """Build timm's Swin transformer at a profile's size.

    Raises:
        UserError: the grid cannot be halved between the stages or the window does not divide it.
    """
    from timm.models.swin_transformer import SwinTransformer

    size.check_grid(image_size)
    return SwinTransformer(
        img_size=image_size,
        patch_size=size.patch,
        num_classes=classes,
        embed_dim=size.width,
        depths=size.depths,
        num_heads=size.heads,
        window_size=size.window,
        drop_path_rate=drop_path,
    )


def residual_network(
    size: ResNetSize,
    *,
    classes: int,
    block_scale: Literal["zero", "one"] = "one",
    norm: type[nn.Module] = nn.BatchNorm2d,
) -> ResNet:
    """Build timm's ResNet with bottleneck blocks at a profile's size (width 64 is ResNet50's).

    Args:
        size: number of blocks and width.
        classes: outputs of the last layer; 0 for none.
        block_scale: initial scale (gamma) of the last BatchNorm of every block; at zero a block
            begins as its shortcut.
        norm: the normalisation layers.
    """
    from timm.models.resnet import Bottleneck, ResNet

    block: Any = Bottleneck
    network = ResNet(
        block,
        layers=size.layers,
        num_classes=classes,
        channels=(size.width, 2 * size.width, 4 * size.width, 8 * size.width),
        stem_width=size.width,
        zero_init_last=block_scale == "zero",
        norm_layer=norm,
    )
    if issubclass(norm, Grouped):
        return network  # the groups become channels, which must lie apart in memory
    # With the channels last, convolutions of a CPU and in half precision need no copies.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def swin_depths(size: SwinSize) -> Layers:
    """Return the layer numbers of timm's Swin: embedding 0, blocks from 1 on, norm and head last.

    Patch merging has the number of the block before it, as in SimMIM.
    """
    begins = [sum(size.depths[:stage]) for stage in range(len(size.depths))]  # blocks before each
    last = sum(size.depths) + 1

    def depth(name: str) -> int:
        parts = name.removeprefix("encoder.").split(".")
        if parts[0] == "patch_embed":
            return 0
        if parts[0] != "layers":
            return last
        # "layers.S.blocks.I..." is block I of stage S; timm puts the patch merging before a stage's
        # blocks, "layers.S.downsample...".
        begin = begins[int(parts[1])]
        return begin + 1 + int(parts[3]) if parts[2] == "blocks" else begin

    return Layers(last + 1, depth)


def resnet_depths(size: ResNetSize) -> Layers:
    """Return the layer numbers of timm's ResNet: stem 0, one per residual block, head last."""
    begins = [sum(size.layers[:stage]) for stage in range(len(size.layers))]  # blocks before each
    last = sum(size.layers) + 1

    def depth(name: str) -> int:
        parts = name.removeprefix("encoder.").split(".")
        if parts[0] in ("conv1", "bn1"):
            return 0
        if not parts[0].startswith("layer"):
            return last
        # "layerS.I..." is block I of stage S, counted from 1.
        return begins[int(parts[0].removeprefix("layer")) - 1] + 1 + int(parts[1])

    return Layers(last + 1, depth)
