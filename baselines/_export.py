"""Trained encoders under timm's names, with the arguments that make timm build the same network.

ViT, Swin and ResNet are timm's own layers at other sizes, so that nothing but a prefix and the norm
after pooling is renamed. Only the definition and the weights of a stage are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from harness.augment.view import MEAN, STD
from harness.errors import UserError, listed

PREFIXES = ("encoder.", "network.backbone.")
"""Where the tasks keep their encoder; the second is that of a segmenter."""

CLASSIFIER = re.compile(r"(head|fc|head\.fc|classifier)\.(weight|bias)")
"""Names of a classifier's last layer in timm's models, which is no part of the encoder."""


@dataclass(frozen=True, kw_only=True)
class TimmEncoder:
    """An encoder as timm builds and loads it.

    Attributes:
        architecture: name for ``timm.create_model``.
        arguments: its keyword arguments.
        tensors: by timm's names.
        features: what ``model(images)`` returns, in words.
        image_size: side of the images, in pixels.
        mean, std: with which images in 0..1 are normalised.
        central: whether test images are a central crop, not the whole image stretched.
    """

    architecture: str
    arguments: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    features: str
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    central: bool

    @property
    def config(self) -> dict[str, Any]:
        """Content of ``config.json``, by which timm's hf-hub: and local-dir: names work."""
        return {
            "architecture": self.architecture,
            "num_classes": 0,
            "model_args": dict(self.arguments),
            "pretrained_cfg": {
                "input_size": [3, self.image_size, self.image_size],
                "fixed_input_size": "img_size" in self.arguments,
                "interpolation": "bicubic" if self.central else "bilinear",
                "crop_pct": 224 / 256 if self.central else 1.0,
                "crop_mode": "center" if self.central else "squash",
                "mean": list(self.mean),
                "std": list(self.std),
                "num_classes": 0,
                "pool_size": None,
                "first_conv": _first(self.tensors),
                "classifier": _classifier(self.architecture),
            },
        }

    def model(self) -> Any:
        """Build timm's network with the tensors, of which none may be missing or left.

        Raises:
            RuntimeError: some are.
        """
        import timm

        model = timm.create_model(self.architecture, **self.arguments)
        model.load_state_dict(dict(self.tensors), strict=True)
        return model


def encoder_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a stage's encoder without their prefix.

    Raises:
        UserError: there is none.
    """
    for prefix in PREFIXES:
        found = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
        if found:
            return found
    raise UserError(
        f"The stage has no encoder: none of its {len(weights)} tensors begins with"
        f" {' or '.join(PREFIXES)} ({listed(tuple(weights)[:3])})."
    )


def to_timm(definition: Mapping[str, Any], weights: Mapping[str, Tensor]) -> TimmEncoder:
    """Return the encoder of the last stage of a definition as timm's.

    Raises:
        UserError: timm has no network of this kind, or it does not take the tensors.
    """
    stage = definition["stages"][-1]
    size, method = stage["backbone"], stage["method"]
    tensors = encoder_weights(weights)
    kind = None if size is None else size["type"]
    side = int(definition["profile"]["image_size"])
    if kind == "vit":
        architecture, arguments, features = _vit(size, side, tensors, weights, method)
    elif kind == "swin":
        architecture, arguments, features = _swin(size, side)
    elif kind == "resnet":
        architecture, arguments, features = _resnet(size)
    elif kind == "timm":
        architecture, arguments, features = _named(size, side)
    else:
        raise UserError(
            f"timm has no counterpart of the backbone {kind!r} of {method['type']!r}; --format"
            " torch and --format safetensors write its encoder under its own names."
        )
    tensors = {name: v for name, v in tensors.items() if not CLASSIFIER.fullmatch(name)}
    if "pool_norm.weight" in weights:
        tensors |= {f"fc_norm.{part}": weights[f"pool_norm.{part}"] for part in ("weight", "bias")}
    unit = method.get("image_range", "normalised") == "unit"
    encoder = TimmEncoder(
        architecture=architecture,
        arguments={"num_classes": 0, **arguments},
        tensors=tensors,
        features=features,
        image_size=side,
        mean=(0.0, 0.0, 0.0) if unit else MEAN,
        std=(1.0, 1.0, 1.0) if unit else STD,
        central=method.get("evaluation") == "centre-crop",
    )
    check(encoder)
    return encoder


def check(encoder: TimmEncoder) -> None:
    """Build timm's network and load the tensors, of which none may be missing or left.

    Raises:
        UserError: some are.
    """
    try:
        encoder.model()
    except RuntimeError as error:
        first = " ".join(str(error).split())[:300]
        raise UserError(
            f"timm's {encoder.architecture} does not take this encoder ({first}); --format torch"
            " and --format safetensors write it under its own names."
        ) from error


def _vit(
    size: Mapping[str, Any],
    side: int,
    tensors: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    method: Mapping[str, Any],
) -> tuple[str, dict[str, Any], str]:
    arguments: dict[str, Any] = {
        "img_size": side,
        "patch_size": size["patch"],
        "embed_dim": size["width"],
        "depth": size["depth"],
        "num_heads": size["heads"],
    }
    if "blocks.0.attn.qkv.bias" not in tensors:
        arguments["qkv_bias"] = False
    if "pool_norm.weight" in weights:
        pooling = {"global_pool": "avg", "fc_norm": True}
        features = "the mean of the patch tokens, then the classifier's norm"
    elif "norm.weight" not in tensors:
        pooling = {"global_pool": "avg", "final_norm": False}
        features = "the mean of the patch tokens, without a norm"
    elif method["type"] == "mocov3" or method.get("pool") == "class":
        pooling = {"global_pool": "token"}
        features = "the [CLS] token after the final norm"
    else:
        pooling = {"global_pool": "avg", "fc_norm": False}
        features = "the mean of the patch tokens after the final norm"
    return "vit_base_patch16_224", {**arguments, **pooling}, features


def _swin(size: Mapping[str, Any], side: int) -> tuple[str, dict[str, Any], str]:
    arguments = {
        "img_size": side,
        "patch_size": size["patch"],
        "embed_dim": size["width"],
        "depths": list(size["depths"]),
        "num_heads": list(size["heads"]),
        "window_size": size["window"],
    }
    return "swin_tiny_patch4_window7_224", arguments, "the mean of the last stage's tokens"


def _resnet(size: Mapping[str, Any]) -> tuple[str, dict[str, Any], str]:
    width = int(size["width"])
    arguments = {
        "layers": list(size["layers"]),
        "channels": [width, 2 * width, 4 * width, 8 * width],
        "stem_width": width,
    }
    return "resnet50", arguments, "the mean of the last feature map"


def _named(size: Mapping[str, Any], side: int) -> tuple[str, dict[str, Any], str]:
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(size["name"])
    fixed = config is not None and config.fixed_input_size
    return str(size["name"]), {"img_size": side} if fixed else {}, "timm's pooled features"


def _first(tensors: Mapping[str, Tensor]) -> str:
    """Return the name of the first convolution, the only one that sees three channels."""
    name = next(n for n, v in tensors.items() if v.ndim == 4 and v.shape[1] == 3)
    return name.removesuffix(".weight")


def _classifier(architecture: str) -> str:
    from timm.models import get_pretrained_cfg

    found = get_pretrained_cfg(architecture)
    return str(found.classifier) if found is not None else "head"
