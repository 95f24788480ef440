"""The name that a stage's randomness is derived from; it stays when the form of keys changes.

A key says what a stage is; its form may be tidied, and stores are migrated. The random numbers of
a stage must not move with that: a training that was interrupted before a migration goes on with
the same draws after it, and numbers that were once published come out again. So the name of a
stage's random stream is the SHA-256 of its definition as version 0.1 wrote it, where 0.1 could
write it, and of the definition as the first form that could write it has it, where 0.1 could not.

This file holds 0.1's words and grows no more: what is new has its present name, and a migration
(``harness.migrations``) is undone before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from harness import migrations

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "amt": "baselines.amt.AMT",
        "augmentation": "harness.augment.Augmentation",
        "contrastivecrop": "baselines.contrastivecrop.ContrastiveCrop",
        "erasing": "harness.erasing.Erasing",
        "finetune": "msmae.finetune.Finetune",
        "mae": "baselines.mae.MAE",
        "mocov3": "baselines.mocov3.MoCoV3",
        "msmae": "msmae.method.MSMAE",
        "randaugment": "harness.randaugment.RandAugment",
        "recipe": "harness.spec.Recipe",
        "resnet": "harness.encoders.ResNetSize",
        "resnet50": "baselines.supervised.ResNet50",
        "rotating-augmentation": "harness.augment.RotatingAugmentation",
        "segment": "msmae.segmentation.Segment",
        "simclr": "baselines.simclr.SimCLR",
        "simmim": "baselines.simmim.SimMIM",
        "swin": "harness.encoders.SwinSize",
        "swin-classifier": "baselines.supervised.Swin",
        "vit": "harness.encoders.VitSize",
    }
)
"""0.1's names of types by their stable names: the modules that they lay in then."""


def _vit(patch: int, width: int, depth: int, heads: int, decoder: tuple[int, int, int]) -> Any:
    names = ("decoder_width", "decoder_depth", "decoder_heads")
    sizes = {"patch": patch, "width": width, "depth": depth, "heads": heads}
    return {"type": "vit", **sizes, **dict(zip(names, decoder, strict=True))}


def _swin(patch: int, width: int, depths: list[int], heads: list[int], window: int) -> Any:
    return {
        "type": "swin",
        "patch": patch,
        "width": width,
        "depths": depths,
        "heads": heads,
        "window": window,
    }


def _resnet(layers: list[int], width: int) -> Any:
    return {"type": "resnet", "layers": layers, "width": width}


_PROFILES: tuple[dict[str, Any], ...] = (
    {
        "name": "smoke",
        "train_images": 256,
        "eval_images": 128,
        "encoders": {
            "image_size": 32,
            "vit": _vit(4, 48, 2, 3, (32, 1, 2)),
            "swin": _swin(2, 16, [1, 1, 1, 1], [1, 2, 4, 8], 2),
            "resnet": _resnet([1, 1, 1, 1], 8),
        },
    },
    {
        "name": "laptop",
        "train_images": 3000,
        "eval_images": 1000,
        "encoders": {
            "image_size": 64,
            "vit": _vit(8, 96, 4, 3, (64, 1, 4)),
            "swin": _swin(4, 32, [1, 1, 2, 1], [1, 2, 4, 8], 4),
            "resnet": _resnet([1, 1, 1, 1], 16),
        },
    },
    {
        "name": "paper",
        "train_images": None,
        "eval_images": None,
        "encoders": {
            "image_size": 224,
            "vit": _vit(16, 768, 12, 12, (512, 8, 16)),
            "swin": _swin(4, 96, [2, 2, 6, 2], [3, 6, 12, 24], 7),
            "resnet": _resnet([3, 4, 6, 3], 64),
        },
    },
)
"""0.1's profiles. Their names and the sizes of all backbones were part of its keys."""


def stream_name(definition: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) that names the random stream of a definition, see ``Run``."""
    for number, migration in reversed([*enumerate(migrations.MIGRATIONS, migrations.FIRST + 1)]):
        if not migration.can_undo(definition):
            # New in this form. Its number keeps it apart from what an old name once stood for.
            return _digest({"form": number, "definition": definition})
        definition = migration.undo(definition)
    profile = _first_profile(definition)
    form: Mapping[str, Any] = definition
    if profile is not None:
        stages = [
            {"type": "harness.spec.Stage", **{k: v for k, v in stage.items() if k != "backbone"}}
            for stage in definition["stages"]
        ]
        form = {
            **definition,
            "type": "harness.spec.Run",
            "profile": {"type": "harness.spec.Profile", **_with_type(profile)},
            "stages": stages,
        }
        form = _renamed(form)
    return _digest(form)


def _digest(form: Mapping[str, Any]) -> str:
    text = json.dumps(form, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _with_type(profile: Mapping[str, Any]) -> dict[str, Any]:
    backbones = {"type": "harness.encoders.Encoders", **profile["encoders"]}
    return {**profile, "encoders": backbones}


def _first_profile(definition: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return 0.1's profile of this image size and subset that has the stages' backbones."""
    asked = definition["profile"]
    sizes = [stage["backbone"] for stage in definition["stages"]]
    for profile in _PROFILES:
        backbones = profile["encoders"]
        same = asked == {
            "image_size": backbones["image_size"],
            "train_images": profile["train_images"],
            "eval_images": profile["eval_images"],
        }
        if same and all(size is not None and backbones.get(size["type"]) == size for size in sizes):
            return profile
    return None


def _renamed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: WORDS.get(inner, inner) if name == "type" else _renamed(inner)
            for name, inner in value.items()
        }
    return [_renamed(inner) for inner in value] if isinstance(value, list) else value
