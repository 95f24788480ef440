"""SETR with progressive upsampling heads (PUP), built by mmsegmentation from our own encoder.

The only module that imports mmseg, mmengine and mmcv, and it does so when a network is built: they
take seconds. The encoder is ``harness.methods.msmae.vit.VisionTransformer`` registered as a
backbone, so that weights are handed on under the names they have; mmseg's own would need every key
renamed, and its attention drops the bias of the projection together with those of queries, keys and
values.
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
from harness.methods.msmae.vit import VisionTransformer
from harness.spec.backbones import BackboneSizes, VitSize

BACKBONE = "MSMAEBackbone"
"""Our encoder's name in mmseg's registry."""

PACKAGES = ("mmengine", "mmcv", "mmseg", "ftfy", "regex")
"""What must be there; mmseg imports the last two without declaring them."""

INSTALL = 'pip install "mmengine>=0.10.7" "mmcv-lite>=2.1,<2.2" "mmsegmentation>=1.2.2" ftfy regex'


class NetworkSettings(Protocol):
    """What the network reads of a segmentation's settings, see ``segmentation.Segment``."""

    @property
    def channels(self) -> int | None:
        """Width of the head; None: a third of the encoder's."""
        ...

    @property
    def heads(self) -> Literal["last", "four"]:
        """Which blocks feed a head."""
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
        """Size of the head's last convolution."""
        ...

    @property
    def conv_bias(self) -> bool:
        """Whether convolutions before BatchNorm have biases."""
        ...

    @property
    def align_corners(self) -> bool:
        """How the bilinear upsampling aligns."""
        ...

    @property
    def qkv_bias(self) -> bool:
        """Whether queries, keys and values have biases."""
        ...


class Backbone(VisionTransformer):
    """An encoder that returns the patch tokens of some blocks as maps.

    Args:
        size: see ``VisionTransformer``, whose positions are trained here.
        image_size: likewise.
        taps: numbers of the blocks to return, rising; repeats are allowed.
        qkv_bias: queries, keys and values have a bias.
        final_norm: the last block's tokens pass the final norm, as in pre-training.
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
        """Build and initialise as MAE does."""
        super().__init__(size, image_size, train_positions=True, qkv_bias=qkv_bias)
        self.taps = tuple(taps)
        self.grid = image_size // size.patch
        if not final_norm:
            self.norm = nn.Identity()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Return maps (B, D, grid, grid), one a tap, [CLS] left out."""
        tokens, maps = self.embed(images), {}
        last = len(self.blocks) - 1
        for number, block in enumerate(self.blocks):
            tokens = block(tokens)
            if number in self.taps:
                patches = (self.norm(tokens) if number == last else tokens)[:, 1:]
                maps[number] = patches.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        return tuple(maps[number] for number in self.taps)


def upsamplings(patch: int) -> int:
    """Return how often a map is doubled until it has the image's size.

    Raises:
        UserError: the patch size is not 2, 4, 8 or another power of two.
    """
    if patch < 2 or patch & (patch - 1):
        raise UserError(
            f"The patch size is {patch}; SETR's head doubles its map step by step, so it must be a"
            " power of two (2, 4, 8, 16, ...). Choose another profile."
        )
    return patch.bit_length() - 1


def taps(settings: NetworkSettings, depth: int) -> tuple[int, ...]:
    """Return the blocks that feed heads: the last, or those at 4, 6, 8 and 12 twelfths.

    That is blocks 3, 5, 7 and 11 of ViT-B; in a shallow encoder some are the same.
    """
    parts = (4, 6, 8, 12) if settings.heads == "four" else (12,)
    return tuple(max(depth * part // 12, 1) - 1 for part in parts)


def build_network(settings: NetworkSettings, backbones: BackboneSizes) -> Any:
    """Build mmseg's EncoderDecoder: ``network(images)`` gives logits (B, 1, H, W).

    Parts are ``backbone`` (a ``Backbone``), ``decode_head`` and, with ``heads="four"``,
    ``auxiliary_head``, whose parameters are frozen: nothing ever asks for their output.

    Raises:
        UserError: mmseg is not installed, or the patch size is no power of two.
    """
    config = _config(settings, backbones)
    models, wrap = _mmseg()
    with _silence():
        network = models.build(wrap(config))
    auxiliary = list(getattr(network, "auxiliary_head", []))
    for head in (network.decode_head, *auxiliary):
        _finish(head, settings)
    for head in auxiliary:
        head.requires_grad_(requires_grad=False)
    return network


def _config(settings: NetworkSettings, backbones: BackboneSizes) -> dict[str, Any]:
    size = backbones.vit
    places = taps(settings, size.depth)
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
        # Never called: the task has its own. mmseg's Dice is inverted with one channel.
        "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": True, "avg_non_ignore": True},
    }
    return {
        "type": "EncoderDecoder",
        "backbone": {
            "type": BACKBONE,
            "size": size,
            "image_size": backbones.image_size,
            "taps": places,
            "qkv_bias": settings.qkv_bias,
            "final_norm": settings.final_norm,
        },
        "decode_head": {**head, "in_index": len(places) - 1},
        "auxiliary_head": [{**head, "in_index": i} for i in range(len(places) - 1)] or None,
        "test_cfg": {"mode": "whole"},
    }


def _finish(head: Any, settings: NetworkSettings) -> None:
    """Change what SETRUPHead has no option for, and initialise its last layer as mmseg does."""
    if not settings.head_norm:
        head.norm = nn.Identity()
    for step in head.up_convs:
        convolution = step[0].conv
        if settings.conv_bias:
            bias = torch.zeros_like(convolution.weight[:, 0, 0, 0])
            convolution.bias = nn.Parameter(bias)
        if settings.align_corners:
            # mmseg's own warns of every size whose corners do not meet.
            step[1] = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    if settings.final_conv == "3x3":
        head.conv_seg = nn.Conv2d(head.channels, head.out_channels, 3, padding=1)
    nn.init.normal_(head.conv_seg.weight, std=0.01)
    nn.init.zeros_(head.conv_seg.bias)


def require() -> None:
    """Refuse a machine without the packages; imports none of them.

    Raises:
        UserError: names what is missing and how to install it.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"Segmentation needs {', '.join(missing)}, not installed here: {INSTALL}")


def _mmseg() -> tuple[Any, Any]:
    """Import mmseg; return its registry of models, with our backbone, and mmengine's ConfigDict.

    No default scope is set: the registry is used by name, and other users of mmengine in the
    process keep theirs.
    """
    require()
    try:
        with _silence():
            with _compiled_ops():
                import mmcv.ops  # noqa: F401 (for what it registers)
            import mmseg.models  # noqa: F401 (likewise)
            from mmengine.config import ConfigDict
            from mmseg.registry import MODELS
    except (ImportError, AssertionError) as error:
        # mmseg asserts the versions that it works with.
        raise UserError(f"mmsegmentation cannot be imported ({error}): {INSTALL}") from error
    if BACKBONE not in MODELS.module_dict:
        MODELS.register_module(name=BACKBONE, module=Backbone)
    return MODELS, ConfigDict


@contextmanager
def _silence() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _Missing(types.ModuleType):
    """Stands in for mmcv's compiled part: every op is there, and refuses to be called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*_: Any, **__: Any) -> None:
            raise NotImplementedError(f"mmcv's op {name!r} is compiled; it needs the full mmcv.")

        return refuse


@contextmanager
def _compiled_ops() -> Iterator[None]:
    """Let ``mmcv.ops`` be imported from mmcv-lite, which lacks ``mmcv._ext``.

    mmseg imports all of mmcv.ops for a few heads that SETR does not have. The stand-in must be
    gone afterwards: mmengine asks for its ``__spec__`` to tell whether mmcv is the full one.
    """
    name = "mmcv._ext"
    if "mmcv.ops" in sys.modules or importlib.util.find_spec(name) is not None:
        yield
        return
    sys.modules[name] = _Missing(name)
    try:
        yield
    finally:
        del sys.modules[name]
