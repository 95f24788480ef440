"""SETR with progressive upsampling (PUP), built by mmsegmentation around this project's ViT.

This is the only module that imports mmseg, mmengine and mmcv, and only when a network is built,
because importing them takes seconds. The encoder is ``harness.methods.msmae.vit.VisionTransformer``
registered as a backbone, so that pre-trained weights load under their own names. With mmseg's ViT
every key would have to be renamed, and its attention cannot drop the biases of queries, keys and
values without that of the output projection.
"""

from __future__ import annotations

import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.methods.msmae.patches import upsamplings
from harness.methods.msmae.vit import VisionTransformer
from harness.spec.backbones import BackboneSizes, VitSize

BACKBONE = "MSMAEBackbone"
"""Name of the encoder in mmseg's registry of models."""

PACKAGES = ("mmengine", "mmcv", "mmseg", "ftfy", "regex")
"""Packages that must be installed; mmseg imports the last two without declaring them."""

INSTALL = 'pip install "mmengine>=0.10.7" "mmcv-lite>=2.1,<2.2" "mmsegmentation>=1.2.2" ftfy regex'
"""Command that installs them, as shown in error messages."""


class NetworkSettings(Protocol):
    """The settings that shape the network, a part of ``segmentation.Segment``."""

    @property
    def channels(self) -> int | None:
        """Channels of the head's convolutions; None: a third of the encoder's width."""
        ...

    @property
    def heads(self) -> Literal["last", "four"]:
        """Which blocks have a head: the last, or four of them."""
        ...

    @property
    def head_norm(self) -> bool:
        """Whether a LayerNorm stands before the head."""
        ...

    @property
    def final_norm(self) -> bool:
        """Whether the encoder's final norm acts on the last block."""
        ...

    @property
    def final_conv(self) -> Literal["1x1", "3x3"]:
        """Kernel size of the head's last convolution."""
        ...

    @property
    def conv_bias(self) -> bool:
        """Whether convolutions before BatchNorm have biases."""
        ...

    @property
    def align_corners(self) -> bool:
        """Whether bilinear upsampling aligns the corner pixels."""
        ...

    @property
    def qkv_bias(self) -> bool:
        """Whether queries, keys and values have biases."""
        ...

    @property
    def head_init(self) -> Literal["mmseg", "torch"]:
        """Whose initialisation the head's convolutions have."""
        ...


class Backbone(VisionTransformer):
    """A ViT that returns the patch tokens of chosen blocks as feature maps.

    Args:
        size: see ``VisionTransformer``, whose position embeddings are trained here.
        image_size: side of the input in pixels.
        taps: indices of the blocks to return, in rising order; repeats are allowed.
        qkv_bias: whether queries, keys and values have a bias.
        final_norm: whether the last block's tokens pass the final norm, as in pre-training.
    """

    def __init__(
        self,
        size: VitSize,
        image_size: int,
        *,
        taps: tuple[int, ...],
        qkv_bias: bool,
        final_norm: bool,
    ) -> None:
        """Build the layers with MAE's initialisation."""
        super().__init__(size, image_size, train_positions=True, qkv_bias=qkv_bias)
        self.taps = tuple(taps)
        self.grid = image_size // size.patch
        if not final_norm:
            self.norm = nn.Identity()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Return one feature map (B, D, grid, grid) per entry of ``taps``, without [CLS]."""
        tokens, maps = self.embed(images), {}
        last = len(self.blocks) - 1
        for number, block in enumerate(self.blocks):
            tokens = block(tokens)
            if number in self.taps:
                patches = (self.norm(tokens) if number == last else tokens)[:, 1:]
                # (B, L, D) -> (B, D, grid, grid); patches are in row-major order.
                maps[number] = patches.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        return tuple(maps[number] for number in self.taps)


def taps(settings: NetworkSettings, depth: int) -> tuple[int, ...]:
    """Return the indices of the blocks with a head: the last, or 4, 6, 8 and 12 twelfths deep.

    Four heads are on blocks 3, 5, 7 and 11 of ViT-B; a shallow encoder may repeat a block.
    """
    twelfths = (4, 6, 8, 12) if settings.heads == "four" else (12,)
    return tuple(max(depth * twelfth // 12, 1) - 1 for twelfth in twelfths)


def build_network(settings: NetworkSettings, backbones: BackboneSizes) -> Any:
    """Build mmseg's EncoderDecoder: ``network(images)`` gives logits (B, 1, H, W).

    Parts are ``backbone`` (a ``Backbone``), ``decode_head`` and, with ``heads="four"``,
    ``auxiliary_head``, whose parameters are frozen because their output is never used.

    Raises:
        UserError: mmseg is not installed, or the patch size is no power of two.
    """
    config = _config(settings, backbones)
    models, config_dict = _import_mmseg()
    with _warnings_ignored():
        network = models.build(config_dict(config))
    auxiliary = list(getattr(network, "auxiliary_head", []))
    for head in (network.decode_head, *auxiliary):
        _adjust_head(head, settings)
    for head in auxiliary:
        head.requires_grad_(requires_grad=False)
    return network


def _config(settings: NetworkSettings, backbones: BackboneSizes) -> dict[str, Any]:
    """Return mmseg's configuration of the network, as its registry builds it."""
    size = backbones.vit
    blocks = taps(settings, size.depth)
    head = {
        "type": "SETRUPHead",
        "in_channels": size.width,
        "channels": settings.channels or max(size.width // 3, 1),
        "num_convs": upsamplings(size.patch),
        "up_scale": 2,
        "kernel_size": 3,
        "num_classes": 2,
        "out_channels": 1,
        "threshold": 0.5,
        "dropout_ratio": 0.0,
        "norm_cfg": {"type": "BN"},
        "align_corners": settings.align_corners,
        # mmseg requires a loss; it is never called, because the task computes its own (mmseg's
        # Dice is inverted for one channel).
        "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": True, "avg_non_ignore": True},
    }
    return {
        "type": "EncoderDecoder",
        "backbone": {
            "type": BACKBONE,
            "size": size,
            "image_size": backbones.image_size,
            "taps": blocks,
            "qkv_bias": settings.qkv_bias,
            "final_norm": settings.final_norm,
        },
        "decode_head": {**head, "in_index": len(blocks) - 1},
        "auxiliary_head": [{**head, "in_index": i} for i in range(len(blocks) - 1)] or None,
        "test_cfg": {"mode": "whole"},
    }


def _adjust_head(head: Any, settings: NetworkSettings) -> None:
    """Apply the settings that SETRUPHead has no option for, and initialise its convolutions."""
    if not settings.head_norm:
        head.norm = nn.Identity()
    for step in head.up_convs:
        convolution = step[0].conv
        if settings.conv_bias:
            bias = torch.zeros_like(convolution.weight[:, 0, 0, 0])
            convolution.bias = nn.Parameter(bias)
        if settings.align_corners:
            # The same interpolation as mmseg's Upsample, which warns about most sizes.
            step[1] = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    if settings.final_conv == "3x3":
        head.conv_seg = nn.Conv2d(head.channels, head.out_channels, 3, padding=1)
    if settings.head_init == "torch":
        # torch's default of weights and biases: uniform in ± 1 / sqrt(fan-in).
        for convolution in (*(step[0].conv for step in head.up_convs), head.conv_seg):
            convolution.reset_parameters()
    else:
        # mmseg has initialised the stages when it built them (Kaiming's normal, fan-out).
        nn.init.normal_(head.conv_seg.weight, std=0.01)
        nn.init.zeros_(head.conv_seg.bias)


def require() -> None:
    """Check that the packages of ``PACKAGES`` are installed, without importing them.

    Raises:
        UserError: a package is missing; the message says how to install it.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"Segmentation needs {', '.join(missing)}, not installed here: {INSTALL}")


def _import_mmseg() -> tuple[Any, Any]:
    """Import mmseg; return its registry of models, with ``Backbone``, and mmengine's ConfigDict.

    mmengine's default scope is process-wide and is not set here: the registry is used directly,
    so that other code in the process that uses mmengine is not affected.
    """
    require()
    try:
        with _warnings_ignored():
            with _compiled_ops_replaced():
                import mmcv.ops  # noqa: F401 (importing registers its layers)
            import mmseg.models  # noqa: F401 (importing registers its heads)
            from mmengine.config import ConfigDict
            from mmseg.registry import MODELS
    except (ImportError, AssertionError) as error:
        # mmseg checks the versions of mmcv and mmengine with assert statements.
        raise UserError(f"mmsegmentation cannot be imported ({error}): {INSTALL}") from error
    if BACKBONE not in MODELS.module_dict:
        MODELS.register_module(name=BACKBONE, module=Backbone)
    return MODELS, ConfigDict


@contextmanager
def _warnings_ignored() -> Iterator[None]:
    """Ignore warnings within the block; mmseg and mmengine warn on every import and build."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _StubOps(types.ModuleType):
    """Stand-in for mmcv's compiled module: has every op, and calling one raises an error."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*_: Any, **__: Any) -> None:
            raise NotImplementedError(f"mmcv's op {name!r} is compiled; it needs the full mmcv.")

        return refuse


@contextmanager
def _compiled_ops_replaced() -> Iterator[None]:
    """Provide a stand-in for ``mmcv._ext`` within the block, so that mmcv-lite's ops import.

    mmseg imports all of mmcv.ops for a few heads that SETR does not use. The stand-in is removed
    afterwards: mmengine checks ``mmcv._ext`` to find out whether the full mmcv is installed.
    """
    name = "mmcv._ext"
    if "mmcv.ops" in sys.modules or importlib.util.find_spec(name) is not None:
        yield
        return
    sys.modules[name] = _StubOps(name)
    try:
        yield
    finally:
        del sys.modules[name]
